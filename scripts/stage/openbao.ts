import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { call } from './http.ts'
import { freePort, ROOT, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const BAO = join(ROOT, '.cache', 'bao')
const ROOT_TOKEN = 'root-of-a-test'

export interface OpenBao extends Running {
  readonly url: string
  /** As root; throws for anything but a 2xx. */
  must<T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, json?: object): Promise<T>
  /** The name under which OpenBao has this policy from now on. */
  policy(rules: string): Promise<string>
  /** A token with this policy alone. */
  tokenFor(rules: string): Promise<string>
}

/** OpenBao's development server, which keeps everything in memory and has a key-value store of version 2 at `secret/`. */
export async function startOpenBao(): Promise<OpenBao> {
  if (!existsSync(BAO)) {
    throw new Error('OpenBao is not there; run: sh scripts/setup test')
  }
  const port = await freePort()
  const dir = temporary('openbao')
  const args = [
    '-dev',
    '-dev-no-store-token',
    `-dev-root-token-id=${ROOT_TOKEN}`,
    `-dev-listen-address=127.0.0.1:${port}`,
  ]
  const running = start(BAO, ['server', ...args], { cwd: dir, env: { HOME: dir }, logFile: join(dir, 'log') })
  const url = `http://127.0.0.1:${port}`
  const must = async <T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, json?: object) => {
    const headers = { 'x-vault-token': ROOT_TOKEN }
    const answer = await call<T>(method, `${url}/v1/${path}`, { headers, ...(json ? { json } : {}) })
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    }
    return answer.text === '' ? (undefined as T) : answer.json()
  }
  const isUp = async () => (await call('GET', `${url}/v1/sys/health`)).status === 200
  await untilUp('OpenBao does not come up', running, isUp, 60)
  // The store at secret/ is made over after the server answers.
  await untilUp('OpenBao has no store', running, async () => {
    await must('GET', 'secret/config')
    return true
  })
  const policy = async (rules: string) => {
    const name = randomUUID()
    await must('PUT', `sys/policies/acl/${name}`, { policy: rules })
    return name
  }
  return {
    ...{ ...running, url, must, policy },
    tokenFor: async (rules) => {
      const policies = [await policy(rules)]
      const { auth } = await must<{ auth: { client_token: string } }>('POST', 'auth/token/create', { policies })
      return auth.client_token
    },
  }
}
