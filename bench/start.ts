import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { packRelay } from '../scripts/release/packages.ts'
import { call } from '../scripts/stage/http.ts'
import { freePort, ROOT, start, until } from '../scripts/stage/process.ts'
import { StandInIdp } from '../scripts/stage/stand-in-idp.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import { figure, type Line, type Size } from './stats.ts'

/** The packed relay, installed: from its start to the first `/readyz` that says ready, on a new SQLite file; beside it Node alone. */
export async function starting({ rounds }: Size): Promise<Line[]> {
  const folder = temporary('start')
  const packed = packRelay(ROOT, folder)
  execFileSync('npm', ['install', '--offline', '--no-audit', join(folder, packed)], { cwd: folder, stdio: 'pipe' })
  const bin = join(folder, 'node_modules', 'logout-relay', 'relay', 'bin.js')
  const realm = await StandInIdp.start([])
  const [bare, ready]: [number[], number[]] = [[], []]
  try {
    // The first of each reads the files from the disk.
    for (let round = -1; round < rounds; round++) {
      const times = [nodeAlone(), await toReady(bin, realm)] as const
      if (round >= 0) {
        bare.push(times[0])
        ready.push(times[1])
      }
    }
  } finally {
    realm.stop()
  }
  return [
    { what: 'start to ready on SQLite', unit: 'ms', figure: figure(ready), goal: ['median', 'at most', 1000] },
    { what: 'Node’s own start and end', unit: 'ms', figure: figure(bare) },
  ]
}

function nodeAlone(): number {
  const began = performance.now()
  execFileSync(process.execPath, ['--eval', '0'])
  return performance.now() - began
}

async function toReady(bin: string, { issuer, clientSecret }: StandInIdp): Promise<number> {
  const dir = temporary('started')
  const port = await freePort()
  const config = { listen: { port }, issuers: [{ issuer, client_secret: clientSecret }] }
  writeFileSync(join(dir, 'relay.yaml'), stringify(config), { mode: 0o600 })
  const began = performance.now()
  const running = start(process.execPath, [bin, 'start'], { cwd: dir, logFile: join(dir, 'log') })
  const isReady = async () => (await call('GET', `http://127.0.0.1:${port}/readyz`)).status === 200
  try {
    await until('the relay is ready', isReady, { everyMs: 2 })
    return performance.now() - began
  } finally {
    await running.stop()
  }
}
