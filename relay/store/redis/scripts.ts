import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from './connection.ts'

const NAMES = [
  'accept',
  'beat',
  'claim',
  'close_gap',
  'dismiss',
  'forget_subjects',
  'give_back',
  'hasten',
  'leave',
  'meet',
  'next_due',
  'add_change',
  'prune',
  'record',
  'release',
  'replace_note',
  'reported',
  'settle_security_feed',
  'stored',
  'take_security_feed',
  'watermarks',
] as const

export type ScriptName = (typeof NAMES)[number]

/** Runs one script on the connection that work goes over. */
export type Script = (name: ScriptName, ...args: (string | number)[]) => Promise<unknown>

/** The form of what is stored. It is raised where an older relay could not live with what a newer one writes. */
export const LAYOUT = 1

const read = (name: string) => readFileSync(join(import.meta.dirname, 'lua', `${name}.lua`), 'utf8')

/** Every state change is one script: it happens whole or not at all, and nothing happens in between. */
const SCRIPTS = new Map(
  NAMES.map((name) => {
    const text = `local LAYOUT = ${LAYOUT}\n${read('prelude')}\n${read(name)}`
    return [name, { text, sha: createHash('sha1').update(text).digest('hex') }]
  }),
)

/** All in one hash tag, so that a Redis Cluster keeps them on one server and a script may touch any of them. */
export const PREFIX = '{logout-relay}:'

export async function loadScripts(client: Client): Promise<void> {
  await Promise.all([...SCRIPTS.values()].map(({ text }) => client.scriptLoad(text)))
}

export function runScript(client: Client, name: ScriptName, args: readonly (string | number)[]): Promise<unknown> {
  return client.sendCommand(['EVALSHA', SCRIPTS.get(name)?.sha ?? '', '1', PREFIX, ...args.map(String)])
}
