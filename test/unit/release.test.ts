import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { VERSION } from '../../relay/version.ts'
import { obstacles } from '../../scripts/release/obstacles.ts'
import { FILES, namingAnother, writeVersion } from '../../scripts/release/versions.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** A repository of one commit whose changelog has that heading. */
function repository(heading = '0.1.0, 2026-12-01') {
  const dir = mkdtempSync(join(tmpdir(), 'release-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'CHANGELOG.md'), `# Changelog\n\n## ${heading}\n\nIt begins.\n`)
  const as = ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-c', 'commit.gpgsign=false']
  for (const args of [
    ['init', '-q'],
    ['add', '.'],
    [...as, 'commit', '-q', '-m', 'Begin'],
  ]) {
    execFileSync('git', args, { cwd: dir })
  }
  return dir
}

test('nothing is in the way of a version that the changelog has, where everything is committed', () => {
  expect(obstacles(repository(), '0.1.0')).toEqual([])
})

test.each(['1.0', 'v1.0.0', '01.0.0', '1.0.0-', '1.0.0-01', '1.0.0+built', 'latest', ''])(
  '%j is no version',
  (version) => {
    expect(obstacles('/nowhere', version)).toEqual([expect.stringContaining('such as 0.2.0')])
  },
)

test('a work tree with a change, also in a new file, makes no release, and the change is named', () => {
  const changed = repository()
  writeFileSync(join(changed, 'CHANGELOG.md'), '## 0.1.0\n')
  writeFileSync(join(changed, 'new.ts'), '')
  const [said = '', ...more] = obstacles(changed, '0.1.0')
  expect([said.split('\n').slice(1), more]).toEqual([[' M CHANGELOG.md', '?? new.ts'], []])
})

test('a version that the changelog has no entry of makes no release, also where one begins like it', () => {
  expect(obstacles(repository(), '0.1.0-rc.1')).toEqual([expect.stringContaining('write "## 0.1.0-rc.1"')])
  expect(obstacles(repository('0.1.0-rc.1, 2026-12-01'), '0.1.0')).toEqual([
    expect.stringContaining('write "## 0.1.0"'),
  ])
})

test('every file that names the version names the same one, and another is written into all of them', () => {
  expect(namingAnother(ROOT, VERSION)).toEqual([])
  const copy = mkdtempSync(join(tmpdir(), 'versions-'))
  onTestFinished(() => rmSync(copy, { recursive: true }))
  for (const file of FILES) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(join(ROOT, file), join(copy, file))
  }
  expect(namingAnother(copy, '7.8.9-rc.1')).toEqual(FILES)
  writeVersion(copy, '7.8.9-rc.1')
  expect(namingAnother(copy, '7.8.9-rc.1')).toEqual([])
  expect(namingAnother(copy, VERSION)).toEqual(FILES)
})
