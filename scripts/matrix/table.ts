import { KINDS } from './access.ts'
import { asItShouldBe, type Cell } from './play.ts'

/** All that was played on one version of Keycloak. */
export interface Run {
  readonly keycloak: string
  readonly seconds: number
  readonly cells: readonly Cell[]
}

interface Column {
  readonly trigger: string
  readonly how?: string | undefined
}

const ABSENT = 'not there'
const COLUMNS_IN_A_TABLE = 5

/** For people at a terminal: kinds of access from top to bottom, triggers by number. */
export function asText({ keycloak, cells }: Run): string {
  const columns = columnsOf(cells)
  const legend = columns.map((column, n) => `${String(n + 1).padStart(3)}  ${title(column)}`)
  const rows = KINDS.map((kind) => [kind.title, ...columns.map((column) => word(find(cells, column, kind.id)))])
  const head = ['', ...columns.map((_, n) => String(n + 1))]
  const widths = head.map((_, n) => Math.max(...[head, ...rows].map((row) => row[n]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row.map((text, n) => (n === 0 ? text.padEnd(widths[n] ?? 0) : text.padStart(widths[n] ?? 0))).join('  ')
  return [
    `Keycloak ${keycloak}, milliseconds until it was dead`,
    '',
    ...legend,
    '',
    line(head),
    ...rows.map(line),
    ...absences([{ keycloak, cells }]).map((one) => `\n${one}`),
  ].join('\n')
}

/** For docs/coverage.md: as many tables as fit on a page, the versions side by side in each cell. */
export function asMarkdown(runs: readonly Run[]): string {
  const columns = columnsOf(runs.flatMap(({ cells }) => cells))
  const tables: string[] = []
  for (let from = 0; from < columns.length; from += COLUMNS_IN_A_TABLE) {
    const shown = columns.slice(from, from + COLUMNS_IN_A_TABLE)
    const row = (first: string, rest: readonly string[]) => `| ${[first, ...rest].join(' | ')} |`
    tables.push(
      [
        row(
          '',
          shown.map(({ trigger, how }) => `\`${trigger}\`${how === undefined ? '' : ` ${how}`}`),
        ),
        row(
          '---',
          shown.map(() => '---'),
        ),
        ...KINDS.map((kind) =>
          row(
            kind.title,
            shown.map((column) => {
              const words = runs.map(({ cells }) => word(find(cells, column, kind.id)))
              return new Set(words).size === 1 ? (words[0] ?? '') : words.join(' · ')
            }),
          ),
        ),
      ].join('\n'),
    )
  }
  return [...tables, ...absences(runs)].join('\n\n')
}

function columnsOf(cells: readonly Cell[]): Column[] {
  return [...new Map(cells.map(({ trigger, how }) => [title({ trigger, how }), { trigger, how }])).values()]
}

function title({ trigger, how }: Column): string {
  return how === undefined ? trigger : `${trigger}, ${how}`
}

function find(cells: readonly Cell[], { trigger, how }: Column, access: string): Cell | undefined {
  return cells.find((cell) => cell.trigger === trigger && cell.how === how && cell.access === access)
}

/** Why cells say {@link ABSENT}: a sentence for each kind of access that a version does not have. */
function absences(runs: readonly Pick<Run, 'keycloak' | 'cells'>[]): string[] {
  const sentences = runs.flatMap(({ keycloak, cells }) =>
    cells.flatMap(({ access, absent }) => {
      const kind = KINDS.find(({ id }) => id === access)
      return absent === undefined ? [] : [`\`${ABSENT}\`: ${kind?.title ?? access}, on ${keycloak}: ${absent}.`]
    }),
  )
  return [...new Set(sentences)]
}

function word(cell: Cell | undefined): string {
  if (!cell || !asItShouldBe(cell)) {
    return 'WRONG'
  }
  if (cell.absent !== undefined) {
    return ABSENT
  }
  return cell.aliveAfter ? 'lives' : cell.deadAfterMs === undefined ? 'dead' : String(cell.deadAfterMs)
}
