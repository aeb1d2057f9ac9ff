import { type Command, Option } from 'commander'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { openApi } from '../api/client.ts'
import { plain } from '../text.ts'
import { caFileOption, caOf } from './ca-file.ts'
import { accessToken } from './token.ts'

/** What the commands that speak to a running relay have in common. */
export interface RelayOptions {
  readonly url: string
  readonly caFile?: string
  readonly json?: boolean
}

export function onRelay(parent: Command, name: string, description: string, more: { isDefault?: boolean } = {}) {
  return parent
    .command(name, more)
    .description(description)
    .addOption(new Option('--url <url>', 'the relay').env('LOGOUT_RELAY_URL').default('http://127.0.0.1:8484'))
    .addOption(caFileOption())
    .option('--json', 'one JSON object a line')
}

/** The caller's own, one for all that a command asks. */
let token: Promise<string> | undefined
export const ownToken = (ca: string | undefined) => (token ??= accessToken(process.env, Date.now(), ca))
export const api = (options: Pick<RelayOptions, 'url' | 'caFile'>) => {
  const ca = caOf(options)
  return openApi(options.url, () => ownToken(ca), ca)
}

/** Whose token it is, as it says of itself; undefined of one that says nothing. */
export function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss
  } catch {
    return undefined
  }
}

/** The key that has signed it; undefined of one that does not say. */
export function kidOf(token: string): string | undefined {
  try {
    return decodeProtectedHeader(token).kid
  } catch {
    return undefined
  }
}

export const print = (line: string) => process.stdout.write(`${line}\n`)
export const show = (json: boolean | undefined, one: object, words: readonly (string | number)[]) =>
  print(json ? JSON.stringify(one) : plain(words.join('  ')))
export const time = (ms: number) => new Date(ms).toISOString()

/** How often somebody who reads a log is told how far it is. */
const TOLD_EVERY_MS = 10_000

export interface Progress {
  /** How far it is, in a few words. */
  say(text: string): void
  /** Takes the line away, so that a result can be written in its place. */
  clear(): void
}

/**
 * How far long work is, on standard error: on a terminal a line that is written over, elsewhere a line every ten seconds,
 * with --json nothing.
 */
export function openProgress(
  json: boolean | undefined,
  out: { readonly isTTY?: boolean; write(text: string): unknown } = process.stderr,
  nowMs: () => number = () => performance.now(),
): Progress {
  let toldMs = nowMs()
  let shown = false
  return {
    say: (text) => {
      if (json) {
        return
      }
      if (out.isTTY) {
        // To the line's beginning, and clear it.
        out.write(`\r\u001b[K${plain(text)}`)
        shown = true
      } else if (nowMs() - toldMs >= TOLD_EVERY_MS) {
        toldMs = nowMs()
        out.write(`${plain(text)}\n`)
      }
    },
    clear: () => {
      if (shown) {
        out.write('\r\u001b[K')
        shown = false
      }
    },
  }
}
