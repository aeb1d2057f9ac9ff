import { readdirSync, readFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const DOCS = readdirSync(join(ROOT, 'docs')).filter((file) => file.endsWith('.md'))
const CLI = readFileSync(join(ROOT, 'relay', 'cli.ts'), 'utf8')
const read = (file: string) => readFileSync(join(ROOT, 'docs', file), 'utf8')

test.each(DOCS)('every logout-relay command and every npm script in docs/%s exists', (file) => {
  const shell = [...read(file).matchAll(/```sh\n([^]*?)```/g)].map(([, text]) => text ?? '').join('\n')
  const commands = [...shell.matchAll(/(?:npx logout-relay|relay\/cli\.ts) ([a-z-]+)(?: (list|retry|dismiss))?/g)]
  for (const [, command = '', below] of commands) {
    expect(CLI).toMatch(new RegExp(`command\\('${command}'\\)|onRelay\\(program, '${command}'`))
    expect(below === undefined || CLI.includes(`('${below}',`)).toBe(true)
  }
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }
  const asked = [...shell.matchAll(/npm run ([\w:]+)/g)].map(([, script]) => script ?? '')
  expect(asked.filter((script) => !(script in scripts))).toEqual([])
})

test.each(DOCS)('every file that docs/%s leads to is there', (file) => {
  const links = [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => link ?? '')
  expect(links.filter((link) => !existsSync(join(ROOT, 'docs', link)))).toEqual([])
})

test('every reason in the runbook is one that the relay gives', () => {
  const words = readFileSync(join(ROOT, 'relay', 'domain', 'judge.ts'), 'utf8')
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
