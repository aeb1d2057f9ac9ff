import { aliveOrDead, inColumns, mark, milliseconds } from '../table.ts'
import { held, type Line } from './story.ts'

const HEAD = ['', 'realm', 'at', 'before', 'after', 'dead after', 'after new login', 'evidence', 'event', '']
/** Enough of a name to tell it from the others of a table. It begins with the time. */
const SHOWN = 8

/** The story as a table for people, one act after the other. `event` is what the first realm calls it. */
export function table(story: readonly Line[]): string {
  const acts = [...new Set(story.map(({ act }) => act))]
  const rows = acts.flatMap((act) => [[act], ...story.filter((line) => line.act === act).map(row)])
  return inColumns(HEAD, rows)
}

function row(line: Line): string[] {
  return [
    `  ${line.access}`,
    line.realm,
    line.clientId,
    aliveOrDead(line.aliveBefore),
    aliveOrDead(line.aliveAfter),
    milliseconds(line.deadAfterMs),
    line.deadAfterNewLogin === undefined ? '' : aliveOrDead(!line.deadAfterNewLogin),
    line.trigger ?? '',
    line.txn?.slice(-SHOWN) ?? '',
    mark(held(line)),
  ]
}
