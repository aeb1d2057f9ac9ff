import type { Change } from '../relay/domain/change.ts'
import type { Notes } from '../relay/store/notes.ts'

export interface NoteTables {
  /** By issuer and name. */
  readonly notes: Map<string, { readonly issuer: string; readonly name: string; readonly text: string }>
  readonly changes: (Change & { readonly seq: number })[]
}

function append({ changes }: NoteTables, change: Change): void {
  changes.push({ ...change, seq: (changes.at(-1)?.seq ?? 0) + 1 })
}

/** Notes and changes on the model of a disk. */
export function modelNotes(
  write: <T>(change: (tables: NoteTables) => T) => Promise<T>,
  read: <T>(look: (tables: NoteTables) => T) => Promise<T>,
): Notes {
  return {
    notes: () => read(({ notes }) => [...notes.values()]),

    replaceNote: ({ issuer, name }, was, text, made) =>
      write((tables) => {
        const { notes } = tables
        const key = JSON.stringify([issuer, name])
        if (notes.get(key)?.text !== was) {
          return false
        }
        if (text === undefined) {
          notes.delete(key)
        } else {
          notes.set(key, { issuer, name, text })
        }
        made.forEach((change) => append(tables, change))
        return true
      }),

    addChange: (change) => write((tables) => append(tables, change)),

    changes: (issuer, limit, before = Infinity) =>
      read(({ changes }) =>
        changes
          .filter((change) => change.issuer === issuer && change.seq < before)
          .reverse()
          .slice(0, limit),
      ),
  }
}
