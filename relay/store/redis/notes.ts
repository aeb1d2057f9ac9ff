import type { Change } from '../../domain/change.ts'
import type { Notes } from '../notes.ts'
import type { Client } from './connection.ts'
import { PREFIX, type Script } from './scripts.ts'

/** Notes and changes on Redis. */
export function notesOn(script: Script, read: <T>(use: (client: Client) => Promise<T>) => Promise<T>): Notes {
  const written = (text: string | undefined) => (text === undefined ? '' : `=${text}`)
  return {
    notes: () =>
      read(async (client) =>
        Object.entries(await client.hGetAll(`${PREFIX}notes`)).map(([place, text]) => {
          const at = place.indexOf(' ')
          return { issuer: place.slice(0, at), name: place.slice(at + 1), text }
        }),
      ),

    replaceNote: async ({ issuer, name }, was, text, changes) => {
      const lines = changes.map((change) => JSON.stringify(change))
      return (await script('replace_note', issuer, name, written(was), written(text), ...lines)) === 1
    },

    addChange: async (change) => {
      await script('add_change', change.issuer, JSON.stringify(change))
    },

    changes: (issuer, limit, before) =>
      read(async (client) => {
        const range = { BY: 'SCORE', REV: true, LIMIT: { offset: 0, count: limit } } as const
        const from = before === undefined ? '+inf' : `(${before}`
        const lines = await client.zRange(`${PREFIX}changes:${issuer}`, from, '-inf', range)
        return lines.map((line) => {
          const at = line.indexOf(' ')
          return { ...(JSON.parse(line.slice(at)) as Change), seq: Number(line.slice(0, at)) }
        })
      }),
  }
}
