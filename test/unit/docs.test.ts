import { readdirSync, readFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { program } from '../../relay/cli.ts'
import { table } from '../../scripts/demo/table.ts'
import { references } from '../../scripts/reference.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const DOCS = readdirSync(join(ROOT, 'docs')).filter((file) => file.endsWith('.md'))
const read = (file: string) => readFileSync(join(ROOT, 'docs', file), 'utf8')

test('what is generated in docs/ is up to date: if this fails, run npm run docs', async () => {
  const made = await references()
  expect([...made.keys()].length).toBeGreaterThan(3)
  for (const [file, text] of made) {
    expect(readFileSync(file, 'utf8')).toBe(text)
  }
})

const shellOf = (file: string) =>
  [...read(file).matchAll(/```sh\n([^]*?)```/g)].map(([, text]) => text ?? '').join('\n')

/** What is wrong with the words behind `logout-relay`: a command or an option that is not there. */
function wrongWith(words: readonly string[]): string[] {
  let command: Command = program
  const rest = [...words]
  for (let next = below(command, rest[0]); next; next = below(command, rest[0])) {
    command = next
    rest.shift()
  }
  if (command.commands.length > 0 && !rest.includes('--help')) {
    return [`${words.join(' ')} is no command`]
  }
  const options = rest.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0] ?? '')
  const known = [...command.options.flatMap(({ long, short }) => [long, short]), '--help']
  return options.filter((option) => !known.includes(option)).map((option) => `${command.name()} knows no ${option}`)
}
const below = (command: Command, name: string | undefined) => command.commands.find((each) => each.name() === name)

test.each(DOCS)('every logout-relay command, its options, and every npm script in docs/%s exist', (file) => {
  const shell = shellOf(file).replaceAll('\\\n', ' ')
  const commands = [...shell.matchAll(/(?:npx logout-relay|relay\/cli\.ts) ([^|;&\n]+)/g)].map(
    ([, words = '']) => words,
  )
  expect(commands.flatMap((words) => wrongWith(words.trim().split(/\s+/)))).toEqual([])
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }
  const asked = [...shell.matchAll(/npm run ([\w:]+)/g)].map(([, script]) => script ?? '')
  expect(asked.filter((script) => !(script in scripts))).toEqual([])
})

test('the table of the demo in README.md and docs/tutorial.md has the columns that it has', () => {
  const columns = (text: string) => /^ +at +before.*$/m.exec(text)?.[0].trim().split(/ {2,}/)
  for (const file of ['README.md', join('docs', 'tutorial.md')]) {
    expect([file, columns(readFileSync(join(ROOT, file), 'utf8'))]).toEqual([file, columns(table([]))])
  }
})

test('a command or an option that is not there would be seen', () => {
  expect(wrongWith(['deliveries', 'forget', '--client', 'wiki'])).toEqual([
    'deliveries forget --client wiki is no command',
  ])
  expect(wrongWith(['status', '--jsn'])).toEqual(['status knows no --jsn'])
  expect(wrongWith(['check', '--config', 'relay.yaml'])).toEqual([])
})

test('every document is in the index', () => {
  const index = read('README.md')
  expect(DOCS.filter((file) => file !== 'README.md' && !index.includes(`(${file}`))).toEqual([])
})

test.each(DOCS)('every file that docs/%s leads to is there', (file) => {
  const links = [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => link ?? '')
  expect(links.filter((link) => !existsSync(join(ROOT, 'docs', link)))).toEqual([])
})

test('every reason in the runbook is one that the relay gives', () => {
  const words = ['failures.ts', 'backchannel/judge.ts']
    .map((file) => readFileSync(join(ROOT, 'relay', 'delivery', file), 'utf8'))
    .join('')
  const table = read('runbook.md').match(/^ {3}\| `.*$/gm) ?? []
  const reasons = table.flatMap((row) =>
    [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, word]) => word ?? ''),
  )
  expect(reasons.length).toBeGreaterThan(8)
  expect(
    reasons.filter(
      (reason) =>
        !words.includes(`'${reason}'`) && !words.includes(`  ${reason}: '`) && !words.includes(`  ${reason}:\n`),
    ),
  ).toEqual([])
})
