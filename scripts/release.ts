import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packChart } from './release/chart.ts'
import { makeExtension } from './release/extension.ts'
import { obstacles } from './release/obstacles.ts'
import { packGuard, packRelay } from './release/packages.ts'
import { namingAnother, writeVersion } from './release/versions.ts'
import { ROOT } from './stage/process.ts'
import { temporary } from './stage/temporary.ts'

const USAGE = `npm run release -- VERSION

Makes what a release of the commit that is checked out consists of, in dist/: the extension's jar with its sources and POM, the
npm packages logout-relay and @logout-relay/guard, the Helm chart, what each is made of (CycloneDX), and SHA256SUMS. It publishes nothing.

Where files name another version, it writes this one and ends with 1: commit them, and run it again.`

const DIST = join(ROOT, 'dist')
const say = (what: string) => void process.stderr.write(`${what}\n`)
const git = (...args: readonly string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()

const [version, ...more] = process.argv.slice(2)
if (version === undefined || more.length > 0 || version === '--help') {
  say(USAGE)
  process.exit(version === '--help' ? 0 : 1)
}

const inTheWay = obstacles(ROOT, version)
if (inTheWay.length > 0) {
  say(`There is no release of ${version}:\n\n${inTheWay.join('\n\n')}`)
  process.exit(1)
}
const files = namingAnother(ROOT, version)
if (files.length > 0) {
  writeVersion(ROOT, version)
  say(`${files.join(', ')} named another version and name ${version} now: commit them, and run this again.`)
  process.exit(1)
}

// The commit alone, in a folder of its own: what git ignores does not get in, and nothing here is written but dist/.
const source = temporary('source')
execFileSync('/bin/sh', ['-c', 'git archive HEAD | tar -x -C "$1"', 'sh', source], { cwd: ROOT })
for (const brought of ['node_modules', '.cache']) {
  symlinkSync(join(ROOT, brought), join(source, brought))
}

rmSync(DIST, { recursive: true, force: true })
mkdirSync(DIST)
say('The extension')
makeExtension(source, DIST, git('show', '--no-patch', '--format=%cI', 'HEAD'))
say('The npm packages')
packRelay(source, DIST)
packGuard(source, DIST)
say('The chart')
packChart(source, DIST, version)

const made = readdirSync(DIST).sort()
const hash = (file: string) =>
  createHash('sha256')
    .update(readFileSync(join(DIST, file)))
    .digest('hex')
writeFileSync(join(DIST, 'SHA256SUMS'), made.map((file) => `${hash(file)}  ${file}\n`).join(''))

const kilobytes = (file: string) => Math.ceil(statSync(join(DIST, file)).size / 1000).toLocaleString('en')
say(`\nLogout Relay ${version}, of commit ${git('rev-parse', '--short', 'HEAD')}, in dist/:`)
say(made.map((file) => `${kilobytes(file).padStart(6)} kB  ${file}`).join('\n'))
