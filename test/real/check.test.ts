import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startWorld, type World } from '../../scripts/demo/world.ts'
import { ROOT } from '../../scripts/stage/process.ts'
import { startRecorder } from './recorder.ts'

let world: World
let config: string

beforeAll(async () => {
  world = await startWorld(() => undefined)
  config = join(world.relay.dir, 'relay.yaml')
})

afterAll(() => world.stop())

interface Line {
  readonly check: string
  readonly about: string
  readonly ok: boolean
  readonly says: string
}

/** Runs the command as a person does; answers its exit status and its lines. */
async function check(file = config): Promise<{ status: number; lines: Line[]; todo: Line[] }> {
  const command = [join(ROOT, 'relay', 'cli.ts'), 'check', '--json', '--config', file]
  const { code, stdout } = await promisify(execFile)(process.execPath, command).then(
    (done) => ({ ...done, code: 0 }),
    (failed: unknown) => failed as { code: number; stdout: string },
  )
  const lines = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)
  return { status: code, lines, todo: lines.filter(({ ok }) => !ok) }
}

/** The config with something in it replaced: a text wherever it is, since the console names the realm too. */
function configWith(from: string | RegExp, to: string): string {
  const file = join(world.relay.dir, 'broken.yaml')
  const text = readFileSync(config, 'utf8')
  expect(text).toMatch(from)
  const changed = typeof from === 'string' ? text.replaceAll(from, to) : text.replace(from, to)
  writeFileSync(file, changed, { mode: 0o600 })
  return file
}

const admin = () => world.keycloak.admin

/** A client of a realm and one of its roles, as the Admin API takes them. */
async function roleOf(client: string, role: string) {
  const uuid = await admin().clientUuid('demo', client)
  return { uuid, role: (await admin().must('GET', `/demo/clients/${uuid}/roles/${role}`)).json() }
}

test('on a healthy stage every line is ok, the real relying parties refuse the token, and the status is 0', async () => {
  const { status, lines, todo } = await check()
  expect(todo).toEqual([])
  expect(status).toBe(0)
  expect(lines.find((line) => line.check === 'relay')?.says).toBe('runs and is ready')
  expect(lines.find((line) => line.check === 'extension')?.says).toContain('26.7.3')
  expect(lines.filter((line) => line.check === 'relying party').map((line) => line.about)).toEqual(
    expect.arrayContaining(['apache-app', 'express-app']),
  )
})

describe('what is broken is named, and the status is 1:', () => {
  test('the listener is off', async () => {
    await admin().must('PUT', '/demo', { eventsListeners: ['jboss-logging'] })
    try {
      const { status, todo } = await check()
      expect([status, todo.map((line) => line.check)]).toEqual([1, ['listener']])
    } finally {
      await admin().must('PUT', '/demo', { eventsListeners: ['jboss-logging', 'logout-relay'] })
    }
  })

  test('the relay’s account has a role of realm-management, and lacks one of its own', async () => {
    const users = (
      await admin().must<{ id: string }[]>('GET', '/demo/users?username=service-account-logout-relay&exact=true')
    ).json()
    const path = `/demo/users/${users[0]?.id ?? ''}/role-mappings/clients`
    const tooMuch = await roleOf('realm-management', 'manage-users')
    const own = await roleOf('logout-relay', 'answers')
    await admin().must('POST', `${path}/${tooMuch.uuid}`, [tooMuch.role])
    await admin().must('DELETE', `${path}/${own.uuid}`, [own.role])
    try {
      const { todo } = await check()
      expect(todo.map((line) => line.check)).toEqual(['roles', 'roles it must not have'])
      expect(todo[0]?.says).toContain('answers')
      expect(todo[1]?.says).toContain('realm-management/manage-users')
    } finally {
      await admin().must('DELETE', `${path}/${tooMuch.uuid}`, [tooMuch.role])
      await admin().must('POST', `${path}/${own.uuid}`, [own.role])
    }
  })

  test('the secret is another one', async () => {
    const { status, todo } = await check(configWith(/client_secret: \S+/, 'client_secret: another'))
    expect([status, todo.map((line) => line.check)]).toEqual([1, ['client']])
  })

  test('the issuer is not the realm’s own name', async () => {
    const { todo } = await check(configWith('http://localhost:', 'http://127.0.0.1:'))
    expect(todo.map((line) => line.check)).toEqual(['issuer'])
  })

  test('there is no such realm', async () => {
    const { todo } = await check(configWith('realms/demo', 'realms/nobody'))
    expect(todo.map((line) => line.check)).toEqual(['keycloak'])
  })

  test('a relying party that relay.yaml registers is not there', async () => {
    const registered = `relying_parties:
  - { issuer: ${world.keycloak.issuer('demo')}, client_id: shop, backchannel_logout_uri: 'http://localhost:9/logout' }
issuers:`
    const { todo } = await check(configWith('issuers:', registered))
    expect(todo.map(({ about, says }) => [about, says])).toEqual([['shop', 'Nothing listens at its address.']])
  })

  test('relying parties that accept anything, and at an address that nobody answers', async () => {
    const recorder = await startRecorder()
    try {
      const client = (clientId: string, url: string) =>
        admin().createClient('demo', { clientId, publicClient: true, attributes: { 'backchannel.logout.url': url } })
      await client('accepts-anything', recorder.logoutUri)
      await client('nobody-there', 'http://127.0.0.1:9/logout')
      await client('never-http', 'http://logout.example.org/logout')
      const { todo } = await check()
      expect(Object.fromEntries(todo.map((line) => [line.about, line.says]))).toEqual({
        'accepts-anything': expect.stringContaining('accepts anything') as string,
        'nobody-there': expect.stringContaining('Nothing listens') as string,
        'never-http': expect.stringContaining('plain http') as string,
      })
    } finally {
      recorder.close()
      for (const clientId of ['accepts-anything', 'nobody-there', 'never-http']) {
        await admin().must('DELETE', `/demo/clients/${await admin().clientUuid('demo', clientId)}`)
      }
    }
  })

  test('Keycloak is down', async () => {
    await world.keycloak.stop()
    const { status, todo } = await check()
    expect(status).toBe(1)
    expect(todo.find((line) => line.check === 'keycloak')?.says).toContain('ECONNREFUSED')
  })
})

test('a config that is wrong ends with status 78', async () => {
  expect((await check(configWith('issuers:', 'issuer:'))).status).toBe(78)
})
