import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let root: string | undefined

/** A directory that goes when this process does, however it ends. KEEP=1 in the environment leaves it to be looked into. */
export function temporary(name: string): string {
  root ??= makeRoot()
  return mkdtempSync(join(root, `${name}-`))
}

function makeRoot(): string {
  const dir = mkdtempSync(join(tmpdir(), 'logout-relay-'))
  // Apache and PostgreSQL run as users of their own and must get through to the directory that is theirs.
  chmodSync(dir, 0o711)
  if (!process.env['KEEP']) {
    sweepAtOurEnd(dir)
  }
  return dir
}

/** An exit handler would not run after SIGKILL; the end of a pipe is seen always. */
function sweepAtOurEnd(dir: string): void {
  // The same end kills what was started here; a second later nothing writes into the directory any more.
  const script = 'cat >/dev/null; sleep 1; rm -rf "$1"'
  const sweeper = spawn('/bin/sh', ['-c', script, 'sweeper', dir], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  sweeper.unref()
  // Nor may the pipe alone keep this process up; @types/node does not know that it is a socket.
  ;(sweeper.stdin as unknown as { unref(): void }).unref()
}
