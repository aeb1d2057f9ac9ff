import { execFileSync, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { VERSION } from '../../relay/version.ts'
import { FILES } from '../../scripts/release/versions.ts'
import { ROOT } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

let clone: string
const inClone = (file: string, ...args: string[]) =>
  execFileSync(file, args, { cwd: clone, encoding: 'utf8', stdio: 'pipe' })
const release = (version: string) =>
  spawnSync(process.execPath, ['scripts/release.ts', version], { cwd: clone, encoding: 'utf8' })

// The package of the relay, from the work tree as it is: test/real/install.test.ts.
beforeAll(() => {
  clone = join(temporary('release'), 'clone')
  execFileSync('git', ['clone', '-q', ROOT, clone])
  // .gitignore has them as folders.
  appendFileSync(join(clone, '.git', 'info', 'exclude'), 'node_modules\n.cache\n')
  for (const brought of ['node_modules', '.cache']) {
    symlinkSync(join(ROOT, brought), join(clone, brought))
  }
})

test('a release of a commit holds all that is to be installed, bears its sums, and is the same twice', () => {
  const first = release(VERSION)
  expect([first.status, first.stderr]).toEqual([0, expect.stringContaining(`Logout Relay ${VERSION}`)])
  const dist = join(clone, 'dist')
  expect(readdirSync(dist).sort()).toEqual([
    'SHA256SUMS',
    `logout-relay-${VERSION}.cdx.json`,
    `logout-relay-${VERSION}.tgz`,
    `logout-relay-chart-${VERSION}.tgz`,
    `logout-relay-guard-${VERSION}.cdx.json`,
    `logout-relay-guard-${VERSION}.tgz`,
    'logout-relay-keycloak-sources.jar',
    'logout-relay-keycloak.cdx.json',
    'logout-relay-keycloak.jar',
    'logout-relay-keycloak.pom',
  ])
  execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: dist })
  expect(inClone('git', 'status', '--porcelain')).toBe('')

  const jar = inClone('unzip', '-l', join(dist, 'logout-relay-keycloak.jar'))
  expect(jar).toContain('META-INF/LICENSE')
  expect(inClone('unzip', '-p', join(dist, 'logout-relay-keycloak.jar'), 'META-INF/MANIFEST.MF')).toContain(
    `Implementation-Version: ${VERSION}`,
  )
  expect(inClone('unzip', '-l', join(dist, 'logout-relay-keycloak-sources.jar'))).toContain('gate/Gate.java')

  const sums = () =>
    readFileSync(join(dist, 'SHA256SUMS'), 'utf8').match(/^.* {2}(?!logout-relay-chart).*\.(jar|pom|tgz)$/gm)
  const before = sums()
  expect(release(VERSION).status).toBe(0)
  expect([before?.length, sums()]).toEqual([5, before])
})

test('npx runs the file itself, and npm installs it for all', () => {
  const folder = temporary('reader')
  const run = (file: string, ...args: string[]) =>
    execFileSync(file, args, {
      cwd: folder,
      encoding: 'utf8',
      stdio: 'pipe',
      env: { ...process.env, npm_config_cache: join(folder, 'cache') },
    })
  const file = `logout-relay-${VERSION}.tgz`
  copyFileSync(join(clone, 'dist', file), join(folder, file))
  expect(run('npx', '--yes', `./${file}`, '--version')).toBe(`${VERSION}\n`)
  run('npm', 'install', '--global', '--prefix', join(folder, 'opt'), `./${file}`)
  expect(run(join(folder, 'opt', 'bin', 'logout-relay'), '--version')).toBe(`${VERSION}\n`)
})

test('a version that the files do not name yet is written into them, to be committed, and nothing is made of it', () => {
  rmSync(join(clone, 'dist'), { recursive: true, force: true })
  expect(release('7.8.9').stderr).toContain('write "## 7.8.9"')
  const changelog = join(clone, 'CHANGELOG.md')
  writeFileSync(changelog, readFileSync(changelog, 'utf8').replace('## ', '## 7.8.9, 2026-12-01\n\nIt goes on.\n\n## '))
  expect(release('7.8.9').stderr).toContain(' M CHANGELOG.md')
  const commit = [
    '-c',
    'user.name=a',
    '-c',
    'user.email=a@example.org',
    '-c',
    'commit.gpgsign=false',
    'commit',
    '-q',
    '-a',
    '-m',
    'It',
  ]
  inClone('git', ...commit)
  const told = release('7.8.9')
  expect([told.status, told.stderr]).toEqual([1, expect.stringContaining('commit them, and run this again')])
  expect(
    inClone('git', 'status', '--porcelain')
      .trim()
      .split(/\s+M\s+|^M\s+/)
      .filter(Boolean)
      .sort(),
  ).toEqual([...FILES].sort())
  expect(existsSync(join(clone, 'dist'))).toBe(false)
})
