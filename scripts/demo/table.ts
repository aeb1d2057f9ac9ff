import { held, type Line } from './story.ts'

const HEAD = ['', 'at', 'before', 'stock Keycloak', 'Logout Relay', 'dead after', 'after new login', '']

/** The story as a table for people: what an administrator's reset leaves alive, and whether that is as it should be. */
export function table(story: readonly Line[]): string {
  const rows = story.map((line) => [
    line.access,
    line.clientId,
    aliveOrDead(line.aliveBefore),
    aliveOrDead(line.aliveAfterStockReset),
    aliveOrDead(line.aliveAfterRelayReset),
    milliseconds(line.deadAfterMs),
    line.deadAfterNewLogin === undefined ? '' : aliveOrDead(!line.deadAfterNewLogin),
    mark(held(line)),
  ])
  return inColumns(HEAD, rows)
}

/** Nothing where it was not asked. */
export function aliveOrDead(alive: boolean | undefined): string {
  return alive === undefined ? '' : alive ? 'alive' : 'dead'
}

export function milliseconds(ms: number | undefined): string {
  return ms === undefined ? '' : `${ms} ms`
}

export function mark(isAsItShouldBe: boolean): string {
  return isAsItShouldBe ? '✓' : '✗ NOT AS IT SHOULD BE'
}

/** Each column as wide as its widest cell. A row of one cell is a heading of those below it, and as long as it likes. */
export function inColumns(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].filter((row) => row.length > 1)
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const text = (row: readonly string[]) =>
    (row.length > 1 ? row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ') : (row[0] ?? '')).trimEnd()
  return [text(head), widths.map((width) => '─'.repeat(width)).join('──'), ...rows.map(text)].join('\n')
}
