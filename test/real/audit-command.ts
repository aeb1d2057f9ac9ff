import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { ROOT } from '../../scripts/stage/process.ts'

export interface Audit {
  readonly answered_by_the_extension: boolean
  readonly survives: { client_id: string; offline_token: object | null; worst: object; alive_now: object }[]
  readonly findings: { id: string; level: string; where: { kind: string; name: string }; detail: string }[]
}

/** The command as an operator runs it. */
export function audit(args: readonly string[], env: Record<string, string>) {
  return new Promise<{ status: number; out: string; err: string }>((resolve) => {
    const cli = [join(ROOT, 'relay', 'cli.ts'), 'audit', ...args]
    const child = execFile(process.execPath, cli, { env: { PATH: process.env['PATH'], ...env } }, (_, out, err) =>
      resolve({ status: child.exitCode ?? -1, out, err }),
    )
  })
}
