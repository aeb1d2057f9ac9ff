import type { Described } from './attack.ts'
import { type Result, verdictOn } from './play.ts'

/** All that was played on one version of Keycloak. */
export interface Run {
  readonly keycloak: string
  readonly seconds: number
  readonly results: readonly Result[]
}

/** For people at a terminal: an attack a line, with what lives on where something does. */
export function asText(attacks: readonly Described[], { keycloak, results }: Run): string {
  const rows = attacks.map((attack) => {
    const result = results.find(({ id }) => id === attack.id)
    return [attack.id, word(attack, result), result ? what(result) : '']
  })
  const widths = [0, 1].map((n) => Math.max(...rows.map((row) => row[n]?.length ?? 0)))
  const lines = rows.map((row) =>
    row
      .map((text, n) => text.padEnd(widths[n] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [`Keycloak ${keycloak}: survivors of tries, and what lives on`, '', ...lines].join('\n')
}

/** For docs/attacks.md: an attack a row, a column for each version, a table for each family. */
export function asMarkdown(attacks: readonly Described[], runs: readonly Run[]): string {
  const families = [...new Set(attacks.map(({ family }) => family))]
  return families
    .map((family) => {
      const own = attacks.filter((attack) => attack.family === family)
      const head = ['attack', 'what is true if it fails', 'the attacker', ...runs.map(({ keycloak }) => keycloak)]
      const rows = own.map((attack) => [
        `\`${attack.id}\`${'quick' in attack ? ' *' : ''}`,
        attack.title,
        attack.noControl === undefined ? attack.tries : `${attack.tries}. No control: ${attack.noControl}`,
        ...runs.map(({ results }) =>
          word(
            attack,
            results.find(({ id }) => id === attack.id),
          ),
        ),
      ])
      const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
      const source = `[\`${family}.ts\`](../scripts/attack/${family}.ts)`
      return [`### ${source}`, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
    })
    .join('\n\n')
}

/** `0 of 20`: survivors of tries. Whatever is not as it should be is in capitals. */
export function word(attack: Described, result: Result | undefined): string {
  if (!result) {
    return 'NOT PLAYED'
  }
  const { guarded } = result
  const { survivors = [], tries = 0 } = guarded ?? {}
  const count = `${survivors.length} of ${tries}`
  switch (verdictOn(attack, result)) {
    case 'held':
      return [count, ...(guarded?.says ?? [])].join('; ')
    case 'absent':
      return `not there: ${result.absent ?? ''}`
    case 'lives':
      return `LIVES: ${count}`
    case 'failed':
      return 'FAILED'
    case 'no attack':
      return 'NO ATTACK'
  }
}

function what({ guarded, stock }: Result): string {
  const [failure] = [...(guarded?.failures ?? []), ...(stock?.failures ?? [])]
  const lives = [...new Set(guarded?.survivors.flat())].join(', ')
  return [lives, ...(guarded?.says ?? []), failure?.split('\n')[0]].filter((part) => part).join('; ')
}
