import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { JSONWebKeySet } from 'jose'
import { expect } from 'vitest'
import { parse, stringify } from 'yaml'
import type { RealmAdmin } from '../../scripts/stage/admin.ts'
import { call } from '../../scripts/stage/http.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import type { RelayServer } from '../../scripts/stage/relay.ts'

/** The command, on the relay's own config: what it prints, and its exit status. */
export function keys(relay: RelayServer, ...args: string[]): Promise<{ code: number; out: string }> {
  const command = [join(ROOT, 'relay', 'cli.ts'), 'keys', ...args, '--config', join(relay.dir, 'relay.yaml')]
  return promisify(execFile)(process.execPath, command).then(
    ({ stdout }) => ({ code: 0, out: stdout }),
    (cause: unknown) => {
      const { code, stdout } = cause as { code: number; stdout: string }
      return { code, out: stdout }
    },
  )
}

export async function publishedKeys(issuer: string): Promise<JSONWebKeySet> {
  return (await call<JSONWebKeySet>('GET', `${issuer}/protocol/openid-connect/certs`)).json()
}

/** Gives the relay keys that the realm publishes as passive keys; answers the relay that signs with them. */
export async function giveKeys(relay: RelayServer, admin: RealmAdmin): Promise<RelayServer> {
  const algs = ['RS256', 'ES256']
  const config = join(relay.dir, 'relay.yaml')
  const yaml = parse(readFileSync(config, 'utf8')) as { issuers: [object] }
  Object.assign(yaml.issuers[0], {
    signing: {
      keys: algs.map((alg) => ({ alg, key_file: join(relay.dir, 'keys', `${alg}.pem`) })),
      published_for_s: 1,
    },
  })
  writeFileSync(config, stringify(yaml))
  expect((await keys(relay, 'create')).code).toBe(0)
  expect((await keys(relay, 'status')).code).toBe(3)
  for (const alg of algs) {
    // What an administrator does with kcadm.sh create components -f -
    await admin.must('POST', '/components', JSON.parse((await keys(relay, 'export', '--alg', alg)).out))
  }
  await relay.stop()
  const signing = await relay.restart()
  await until('the relay signs by itself', async () => (await keys(signing, 'status')).code === 0, { everyMs: 500 })
  return signing
}
