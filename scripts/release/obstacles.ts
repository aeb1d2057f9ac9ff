import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { many } from '../../relay/text.ts'

/** Of semver.org, 2.0.0, without its build metadata, which npm leaves out. */
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-z-][\da-z-]*)(\.(0|[1-9]\d*|\d*[a-z-][\da-z-]*))*)?$/i

/** What stands in the way of a release of what is checked out there, each as what to do; empty if nothing does. */
export function obstacles(root: string, version: string): string[] {
  if (!SEMVER.test(version)) {
    return [`${version} is no version: give one as of semver.org, such as 0.2.0 or 1.0.0-rc.1`]
  }
  return [...uncommitted(root), ...unwritten(root, version)]
}

function uncommitted(root: string): string[] {
  const said = execFileSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8' })
  const files = said.split('\n').filter(Boolean)
  return files.length === 0
    ? []
    : [
        `The work tree has ${many(files.length, 'change')} that no commit holds; commit or stash what is meant, since a release is what a commit holds:\n${files.slice(0, 10).join('\n')}`,
      ]
}

function unwritten(root: string, version: string): string[] {
  const headings = readFileSync(join(root, 'CHANGELOG.md'), 'utf8').match(/^## .*$/gm) ?? []
  return headings.some((heading) => heading.slice(3).split(',')[0] === version)
    ? []
    : [`CHANGELOG.md has no entry for it: write "## ${version}" and below it what is new for who operates this`]
}
