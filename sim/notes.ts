import type { Change } from '../relay/domain/change.ts'
import type { Notes } from '../relay/registry/port.ts'

export interface NoteTables {
  /** By issuer and name. */
  readonly notes: Map<string, { readonly issuer: string; readonly name: string; readonly text: string }>
  /** The place is the `seq`. */
  readonly changes: Change[]
}

/** Notes and changes on the model of a disk. */
export function modelNotes(
  write: <T>(change: (tables: NoteTables) => T) => Promise<T>,
  read: <T>(look: (tables: NoteTables) => T) => Promise<T>,
): Notes {
  return {
    notes: () => read(({ notes }) => [...notes.values()]),

    replaceNote: ({ issuer, name }, was, text, made) =>
      write(({ notes, changes }) => {
        const key = JSON.stringify([issuer, name])
        if (notes.get(key)?.text !== was) {
          return false
        }
        if (text === undefined) {
          notes.delete(key)
        } else {
          notes.set(key, { issuer, name, text })
        }
        changes.push(...made)
        return true
      }),

    noteChange: (change) => write(({ changes }) => void changes.push(change)),

    changes: (issuer, limit, before = Infinity) =>
      read(({ changes }) =>
        changes
          .map((change, at) => ({ ...change, seq: at + 1 }))
          .filter((change) => change.issuer === issuer && change.seq < before)
          .reverse()
          .slice(0, limit),
      ),
  }
}
