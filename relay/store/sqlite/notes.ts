import type { SQLOutputValue, StatementSync } from 'node:sqlite'
import type { Change, ChangeKind } from '../../domain/change.ts'
import type { Notes } from '../notes.ts'
import type { Commits } from './commits.ts'

/** Notes and changes on SQLite, in the store's own file and commits. */
export function notesOn(
  sql: (text: string) => StatementSync,
  read: <T>(work: () => T) => Promise<T>,
  commits: Commits,
): Notes {
  const append = ({ issuer, kind, atMs, clientId, by, reason, data }: Change) =>
    sql('insert into change (issuer, kind, at_ms, client_id, by, reason, data) values (?, ?, ?, ?, ?, ?, ?)').run(
      issuer,
      kind,
      atMs,
      clientId ?? null,
      by ?? null,
      reason ?? null,
      JSON.stringify(data),
    )
  return {
    notes: () =>
      read(() =>
        sql('select issuer, name, text from note')
          .all()
          .map(({ issuer, name, text }) => ({ issuer: String(issuer), name: String(name), text: String(text) })),
      ),

    replaceNote: ({ issuer, name }, was, text, changes) =>
      commits.run(() => {
        const [sqlText, values] =
          text === undefined
            ? (['delete from note where issuer = ? and name = ? and text is ?', [issuer, name, was ?? null]] as const)
            : was === undefined
              ? (['insert into note values (?, ?, ?) on conflict do nothing', [issuer, name, text]] as const)
              : ([
                  'update note set text = ? where issuer = ? and name = ? and text = ?',
                  [text, issuer, name, was],
                ] as const)
        if (sql(sqlText).run(...values).changes === 0) {
          return false
        }
        changes.forEach(append)
        return true
      }),

    addChange: (change) => commits.run(() => void append(change)),

    changes: (issuer, limit, before) =>
      read(() =>
        sql('select * from change where issuer = ? and seq < ? order by seq desc limit ?')
          .all(issuer, before ?? Number.MAX_SAFE_INTEGER, limit)
          .map(changeOf),
      ),
  }
}

function changeOf(row: Record<string, SQLOutputValue>): Change & { readonly seq: number } {
  return {
    seq: Number(row['seq']),
    issuer: String(row['issuer']),
    kind: String(row['kind']) as ChangeKind,
    atMs: Number(row['at_ms']),
    ...(row['client_id'] == null ? {} : { clientId: String(row['client_id']) }),
    ...(row['by'] == null ? {} : { by: String(row['by']) }),
    ...(row['reason'] == null ? {} : { reason: String(row['reason']) }),
    data: JSON.parse(String(row['data'])) as Change['data'],
  }
}
