import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { generate } from 'selfsigned'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { CLI, exported, filesIn, type How, lines, run, setupAt, steps } from './setup-command.ts'
import { type Shared, shared } from './shared.ts'

const PASSWORD = 'password-of-a-test'

let server: Shared
let setup: ReturnType<typeof setupAt>

beforeAll(async () => {
  server = await shared()
  setup = setupAt({ url: server.keycloak.url, administrator: server.administrator })
})

const secretsIn = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.secret'))
    .map((name) => readFileSync(join(folder, name), 'utf8').trim())

test('a realm that knows nothing of it is set up once, is then left alone, and after --undo it is as it was', async () => {
  const realm = await server.make('setup')
  const folder = temporary('setup')
  const console = 'http://127.0.0.1:8484/console'
  const before = await exported(realm)

  const printed = await setup('setup', ['--print', '--console', console], { folder })
  expect([printed.code, printed.err]).toEqual([0, ''])
  expect(printed.out).toContain('\n    POST /admin/realms/setup/clients\n    {"id":"')
  expect([await exported(realm), filesIn(folder)]).toEqual([before, []])
  const unasked = await setup('setup', ['--console', console], { folder })
  expect([unasked.code, unasked.err]).toEqual([1, expect.stringContaining('say --yes. Nothing was changed') as string])
  expect([await exported(realm), filesIn(folder)]).toEqual([before, []])

  const done = await setup('setup', ['--yes', '--console', console], { folder })
  expect([done.code, done.err]).toEqual([0, ''])
  expect(steps(done)).toEqual(steps(printed))
  expect(lines(done.out).filter((line) => line.startsWith('ok '))).toHaveLength(steps(done).length)
  const files = ['logout-relay-console.secret', 'logout-relay-operator.secret', 'logout-relay.secret', 'relay.yaml']
  expect(filesIn(folder).toSorted()).toEqual(files)
  const modes = files.map((name) => (statSync(join(folder, name)).mode & 0o777).toString(8))
  expect(modes.slice(0, 3)).toEqual(['600', '600', '600'])
  const secrets = secretsIn(folder)
  expect(secrets.map((secret) => secret.length > 20)).toEqual([true, true, true])
  expect(secrets.filter((secret) => done.out.includes(secret))).toEqual([])

  const checked = await run(['check', '--config', 'relay.yaml', '--json'], { folder })
  const todo = lines(checked.out)
    .map((line) => JSON.parse(line) as { ok: boolean; check: string; says: string })
    .filter(({ ok, says }) => !ok && !says.includes('ECONNREFUSED'))
  expect(todo.map(({ check, says }) => `${check} ${says}`)).toEqual([
    expect.stringMatching(/^policy is in shadow mode/),
    // The console of a relay that does not run.
    expect.stringMatching(/^relying party /),
  ])

  const after = await exported(realm)
  const again = await setup('setup', ['--yes', '--console', console], { folder })
  expect([again.code, steps(again)]).toEqual([0, []])
  expect(again.out).toContain('Nothing to do')
  expect(await exported(realm)).toEqual(after)

  expect(steps(await setup('setup', ['--yes', '--enforce'], { folder }))).toEqual([
    'note       realm attribute logout-relay.setup: what setup makes here, for --undo',
    'set        realm attribute logout-relay.mode, enforce: resets end sessions from here on',
  ])
  expect((await setup('setup', ['--yes', '--enforce'], { folder })).out).toContain('Nothing to do')

  const undone = await setup('setup', ['--yes', '--undo'], { folder })
  expect([undone.code, undone.err]).toEqual([0, ''])
  expect([await exported(realm), filesIn(folder)]).toEqual([before, []])
  expect(steps(await setup('setup', ['--yes', '--undo'], { folder }))).toEqual([])
}, 120_000)

test('a realm that somebody has half set up by hand is completed, and --undo takes away no more than that', async () => {
  const realm = await server.make('setup-half')
  const folder = temporary('setup')
  await realm.createClient({ clientId: 'logout-relay', secret: PASSWORD, serviceAccountsEnabled: false })
  const uuid = await realm.clientUuid('logout-relay')
  await realm.must('POST', `/clients/${uuid}/roles`, { name: 'outbox' })
  await realm.createClient({ clientId: 'logout-relay-operator', serviceAccountsEnabled: true })
  const settings = (await realm.must<object>('GET', '')).json()
  const attributes = { 'logout-relay.policy.email-changed': 'off', 'logout-relay.mode': 'shadow' }
  await realm.must('PUT', '', { ...settings, eventsListeners: ['jboss-logging', 'logout-relay'], attributes })
  const before = await exported(realm)

  const done = await setup('setup-half', ['--yes'], { folder })
  expect([done.code, done.err]).toEqual([0, ''])
  expect(steps(done)).not.toContainEqual(expect.stringMatching(/listener|make +client/))
  expect(steps(done)).toContainEqual(
    'set        settings of client logout-relay: serviceAccountsEnabled true, standardFlowEnabled false',
  )
  expect(secretsIn(folder)).toContain(PASSWORD)
  const checked = await run(['check', '--config', 'relay.yaml'], { folder })
  expect(lines(checked.out).filter((line) => line.startsWith('TO DO'))).toEqual([
    expect.stringContaining('is in shadow mode'),
  ])
  expect((await setup('setup-half', ['--yes'], { folder })).out).toContain('Nothing to do')

  const undone = await setup('setup-half', ['--yes', '--undo'], { folder })
  expect([undone.code, undone.err]).toEqual([0, ''])
  expect(undone.out).toContain('leave      client logout-relay, which setup has not made')
  expect(await exported(realm)).toEqual(before)
}, 120_000)

/** What happens at a change of the realm: before it gets to Keycloak, or once it is made and not yet answered. */
interface Accident {
  left: number
  readonly isMade: boolean
  readonly happens: (response: ServerResponse) => void
}

/** A way to Keycloak on which an accident can happen, and on which its answers can be changed. */
async function openWay(realm: string, changed = (_path: string, body: string) => body) {
  let coming: Accident | undefined
  const isChange = ({ method = '', url = '' }: IncomingMessage) =>
    url.startsWith(`/admin/realms/${realm}`) && method !== 'GET' && !/export|converter|attack-detection/.test(url)
  const way = createServer((request, response) => {
    pass(request, response).catch(() => response.destroy())
  })
  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    const accident = isChange(request) && coming !== undefined && --coming.left === 0 ? coming : undefined
    if (accident && !accident.isMade) {
      accident.happens(response)
      return
    }
    const { authorization = '', 'content-type': type = 'application/json' } = request.headers
    const { method = 'GET', url = '' } = request
    const there = await fetch(`${server.keycloak.url}${url}`, {
      ...{ method, headers: { authorization, 'content-type': type } },
      ...(body === '' ? {} : { body }),
    })
    const answer = changed(url, await there.text())
    if (accident) {
      accident.happens(response)
      return
    }
    response.writeHead(there.status, { 'content-type': 'application/json' }).end(answer)
  }
  await new Promise<void>((resolve) => way.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    way.closeAllConnections()
    way.close()
  })
  const expectAccident = (accident: Accident) => (coming = accident)
  return { url: `http://127.0.0.1:${(way.address() as AddressInfo).port}`, expectAccident }
}

test('killed, interrupted or cut off half way, again and again, it comes to its end, and so does --undo', async () => {
  const realm = await server.make('setup-killed')
  const folder = temporary('setup')
  const before = await exported(realm)
  const way = await openWay('setup-killed')
  const untilDone = async (...args: string[]) => {
    const accidents: string[] = []
    for (let runs = 1; ; runs++) {
      const accident = ['SIGKILL', 'SIGINT', 'cut off'][runs % 3] ?? ''
      const ran = await setup('setup-killed', ['--yes', ...args], {
        ...{ folder, url: way.url },
        started: (kill) =>
          way.expectAccident({
            // More changes each time, so that it ends.
            left: 1 + Math.ceil(runs / 2),
            isMade: runs % 2 === 0,
            happens: (response) => (accident === 'cut off' ? response.destroy() : kill(accident as NodeJS.Signals)),
          }),
      })
      if (ran.code === 0) {
        return accidents
      }
      const said = {
        SIGKILL: /^$/,
        SIGINT: /interrupted\. .*goes on from there/,
        'cut off': /No Keycloak .*goes on from there/,
      }
      expect([ran.code, ran.err]).toEqual([
        { SIGKILL: null, SIGINT: 130, 'cut off': 1 }[accident],
        expect.stringMatching(said[accident as keyof typeof said]) as string,
      ])
      accidents.push(accident)
      expect(runs).toBeLessThan(30)
    }
  }
  expect(new Set(await untilDone()).size).toBe(3)
  expect((await setup('setup-killed', ['--print'], { folder })).out).toContain('Nothing to do')
  const checked = await run(['check', '--config', 'relay.yaml'], { folder })
  expect(lines(checked.out).filter((line) => line.startsWith('TO DO'))).toEqual([
    expect.stringContaining('is in shadow mode'),
  ])
  expect((await untilDone('--undo')).length).toBeGreaterThan(1)
  expect([await exported(realm), filesIn(folder)]).toEqual([before, []])
}, 240_000)

test('an account with too few rights is told all that it lacks, before anything is changed; to look takes less', async () => {
  const realm = await server.make('setup-rights')
  const carol = await realm.createUser('carol', PASSWORD)
  const before = await exported(realm)
  const asCarol = (...args: string[]) =>
    setup('setup-rights', ['--user', 'carol', '--login-realm', 'setup-rights', ...args], {
      env: { LOGOUT_RELAY_ADMIN_PASSWORD: PASSWORD },
    })
  const lacks = (roles: string) => expect.stringContaining(`lacks ${roles} of the client realm-management`) as string
  const run = async (...args: string[]) => {
    const { code, err } = await asCarol(...args)
    return [code, err]
  }
  expect(await run('--yes')).toEqual([1, lacks('manage-realm and manage-clients and manage-users')])
  expect(await run('--print')).toEqual([1, lacks('view-realm')])
  for (const role of ['view-realm', 'view-clients', 'view-users', 'manage-clients']) {
    await realm.giveRole(carol, 'realm-management', role)
  }
  expect(await run('--print')).toEqual([0, ''])
  expect(await run('--yes')).toEqual([1, lacks('manage-realm and manage-users')])
  expect(await run('--yes', '--undo')).toEqual([1, lacks('manage-realm and manage-users')])
  expect(await exported(realm)).toEqual(before)
  await realm.giveRole(carol, 'realm-management', 'manage-realm')
  await realm.giveRole(carol, 'realm-management', 'manage-users')
  expect(await run('--yes')).toEqual([0, ''])
  expect(await run('--yes', '--undo')).toEqual([0, ''])
  expect(await exported(realm)).toEqual(before)
}, 120_000)

test('what is in the way, wrong or missing is said in a sentence, and nothing is changed', async () => {
  const realm = await server.make('setup-wrong')
  const before = await exported(realm)
  const says = async (name: string, args: string[], how: How = {}) => {
    const { code, err } = await setup(name, ['--yes', ...args], how)
    expect(err).not.toMatch(/\n\s+at /)
    return [code, err]
  }
  const saying = (code: number, words: string) => [code, expect.stringContaining(words) as string]

  expect(await says('setup-nowhere', [])).toEqual(saying(1, 'There is no realm setup-nowhere'))
  const nobody = `http://127.0.0.1:${await freePort()}`
  expect(await says('setup-wrong', [], { url: nobody })).toEqual(
    saying(1, `No Keycloak answers at ${nobody} (ECONNREFUSED)`),
  )
  expect(await says('setup-wrong', [], { url: 'idp.example.org' })).toEqual(saying(78, '--url is no URL'))
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }])
  const tls = createTlsServer({ key, cert }).listen(0, '127.0.0.1')
  onTestFinished(() => void tls.close())
  await new Promise((resolve) => tls.once('listening', resolve))
  const untrusted = `https://localhost:${(tls.address() as AddressInfo).port}`
  expect(await says('setup-wrong', [], { url: untrusted })).toEqual(
    saying(1, 'has a certificate of a CA that is not trusted here'),
  )
  const withoutJar = await openWay('setup-wrong', (path, body) =>
    path === '/admin/serverinfo' ? body.replaceAll('"logout-relay"', '"another"') : body,
  )
  expect(await says('setup-wrong', [], { url: withoutJar.url })).toEqual(
    saying(1, 'put logout-relay-keycloak.jar into providers/ of each node'),
  )
  const printed = await setup('setup-wrong', ['--print'], { url: withoutJar.url })
  expect([printed.code, printed.out]).toEqual([0, expect.stringContaining('TO DO  Keycloak does not have') as string])
  const wrong = { env: { LOGOUT_RELAY_ADMIN_PASSWORD: 'another' } }
  expect(await says('setup-wrong', [], wrong)).toEqual(saying(1, 'The realm master does not let admin in '))
  const token = { env: { LOGOUT_RELAY_TOKEN: 'a.b.c' } }
  expect(await says('setup-wrong', [], token)).toEqual(saying(1, 'Keycloak refuses the token (401)'))
  for (const url of ['https://logout-relay.example.org', 'http://logout-relay.example.org/console']) {
    expect(await says('setup-wrong', ['--console', url])).toEqual(saying(78, '--console must be a URL that ends in'))
  }

  const folder = temporary('setup')
  writeFileSync(join(folder, 'relay.yaml'), 'issuers: [{ issuer: https://idp.example.org/realms/other }]\n')
  expect(await says('setup-wrong', [], { folder })).toEqual(saying(78, 'relay.yaml is there already and does not name'))
  const other = temporary('setup')
  writeFileSync(join(other, 'logout-relay.secret'), 'of another realm\n')
  expect(await says('setup-wrong', ['--folder', other])).toEqual(
    saying(78, 'logout-relay.secret is there already and is not the secret of the client logout-relay'),
  )
  expect(readFileSync(join(other, 'logout-relay.secret'), 'utf8')).toBe('of another realm\n')
  expect(existsSync(join(other, 'relay.yaml'))).toBe(false)
  expect(await exported(realm)).toEqual(before)
}, 120_000)

test('at a terminal it asks for the password without showing it, shows the plan, and takes nothing but yes for yes', async () => {
  const realm = await server.make('setup-asked')
  const before = await exported(realm)
  const command = `"${process.execPath}" "${CLI}" setup --url ${server.keycloak.url} --realm setup-asked --user admin`
  const atTerminal = async (answer: string) => {
    const { LOGOUT_RELAY_ADMIN_PASSWORD: _, ...env } = process.env
    // A terminal of its own: what is typed there is echoed unless the program forbids it.
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      ...{ cwd: temporary('setup'), env, stdio: ['pipe', 'pipe', 'inherit'] },
    })
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => {
      const asked = (question: string) => !out.includes(question) && (out + chunk.toString()).includes(question)
      if (asked('Password of admin in the realm master: ')) {
        child.stdin.write(`${server.administrator.password}\n`)
      }
      if (asked('Do all of this? [y/N] ')) {
        child.stdin.write(`${answer}\n`)
      }
      out += chunk.toString()
    })
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
    return { code, out }
  }
  const refused = await atTerminal('n')
  expect(refused).toEqual({ code: 1, out: expect.stringMatching(/switch on [^]*Nothing was changed/) as string })
  expect(refused.out).not.toContain(server.administrator.password)
  expect(await exported(realm)).toEqual(before)
  expect(await atTerminal('y')).toEqual({ code: 0, out: expect.stringMatching(/ok +switch on [^]*Next: /) as string })
}, 120_000)
