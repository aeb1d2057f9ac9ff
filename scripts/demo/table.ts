import { held, type Line } from './story.ts'

const HEAD = ['', 'at', 'before', 'stock Keycloak', 'Logout Relay', 'dead after', 'after new login', '']

/** The story as a table for people: what an administrator's reset leaves alive, and whether that is as it should be. */
export function table(story: readonly Line[]): string {
  const rows = story.map((line) => [
    line.access,
    line.clientId,
    word(line.aliveBefore),
    word(line.aliveAfterStockReset),
    word(line.aliveAfterRelayReset),
    line.deadAfterMs === undefined ? '' : `${line.deadAfterMs} ms`,
    line.deadAfterNewLogin === undefined ? '' : word(!line.deadAfterNewLogin),
    held(line) ? '✓' : '✗ NOT AS IT SHOULD BE',
  ])
  const widths = HEAD.map((_, column) => Math.max(...[HEAD, ...rows].map((row) => row[column]?.length ?? 0)))
  const text = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [text(HEAD), widths.map((width) => '─'.repeat(width)).join('──'), ...rows.map(text)].join('\n')
}

function word(alive: boolean | undefined): string {
  return alive === undefined ? '' : alive ? 'alive' : 'dead'
}
