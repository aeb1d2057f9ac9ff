/** A number with its noun. @param more its noun for any other number than one, by default with an s */
export function many(count: number, one: string, more = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : more}`
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A duration in its two largest units. From a minute on it is rounded up: nothing is said to be shorter than it is. */
export function duration(ms: number): string {
  if (ms === Infinity) {
    return 'no end'
  }
  const units = [
    [DAY, 'd', HOUR, 'h'],
    [HOUR, 'h', MINUTE, 'min'],
    [MINUTE, 'min', SECOND, 's'],
  ] as const
  for (const [large, name, small, part] of units) {
    const rounded = Math.ceil(ms / small) * small
    if (rounded >= large) {
      const rest = (rounded % large) / small
      return `${Math.floor(rounded / large)} ${name}${rest > 0 ? ` ${rest} ${part}` : ''}`
    }
  }
  return ms >= SECOND ? `${Number((ms / SECOND).toFixed(1))} s` : `${Math.max(0, Math.round(ms))} ms`
}

/** Names come from elsewhere, and must neither drive the terminal nor turn the text around. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
}
