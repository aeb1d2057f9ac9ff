import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startGuarded } from '../../scripts/demo/guarded.ts'
import { held, play } from '../../scripts/demo/story.ts'
import { planWorld, startParts, type World } from '../../scripts/demo/world.ts'
import { RealmAdmin } from '../../scripts/stage/admin.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import type { ExpressApplication } from '../../scripts/stage/express.ts'
import { call } from '../../scripts/stage/http.ts'
import { type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { KEYCLOAK_VERSIONS } from '../../scripts/stage/keycloak-versions.ts'
import { startDirectory } from '../../scripts/stage/ldap.ts'
import { type Postgres, startPostgres } from '../../scripts/stage/postgres.ts'
import { freePort, ROOT, until } from '../../scripts/stage/process.ts'
import type { RelayServer } from '../../scripts/stage/relay.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import type { TokenEndpoint } from '../../scripts/stage/tokens.ts'
import { nextSecond } from './demo-realm.ts'
import { inCommon } from './in-common.ts'
import { giveKeys, publishedKeys } from './keys.ts'
import { startRecorder } from './recorder.ts'
import { exported, filesIn, setupAt, steps } from './setup-command.ts'

// From 26.7 Keycloak removes the sessions in the transaction of the reset; before, after its commit.
describe.each(KEYCLOAK_VERSIONS.toReversed())('on PostgreSQL with Keycloak %s', (version) => {
  let postgres: Postgres
  let keycloak: KeycloakServer
  let world: World
  let relay: RelayServer
  let express: ExpressApplication
  let tokens: TokenEndpoint
  /** Somebody whose Keycloak session is gone once Keycloak has been down. */
  let forgotten: { user: string; browser: Browser }

  beforeAll(async () => {
    const plan = await planWorld()
    postgres = await startPostgres()
    keycloak = await startKeycloak({
      ...{ ...inCommon(version), postgres, port: plan.keycloakPort },
      realms: ['demo', 'stock'].map((name) => join(ROOT, 'realm-export', `${name}-realm.json`)),
      env: plan.env,
      options: [
        ...inCommon(version).options,
        `--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${plan.relayPort}/events`,
      ],
    })
    const realm = (name: string) => new RealmAdmin(keycloak.admin, name)
    world = await startParts(keycloak, realm('demo'), realm('stock'), plan)
    relay = world.relay
    ;({ express, tokens } = world.demo)
  })

  afterAll(async () => {
    await Promise.all([relay.stop(), world.stop(), keycloak.stop()])
    await postgres.stop()
  })

  const person = (name: string) => keycloak.admin.createUser('demo', name, 'password')
  const operator = () => ({ authorization: `Bearer ${world.operatorToken}` })
  const reset = (userId: string) => keycloak.admin.resetPassword('demo', userId, 'another')
  const count = (table: string) => Number(postgres.psql(`select count(*) from ${table}`))
  /** Without what the gate has refused since an earlier event, which is told when it comes. */
  const events = () => count('logout_relay_outbox where refused_after is null')

  async function loggedIn(user: string): Promise<Browser> {
    const browser = new Browser()
    await browser.login(express.url, user, 'password')
    expect(await browser.isAlive(express.url)).toBe(true)
    return browser
  }

  /** As if the user's session had expired: gone from the database and, with a restart, from memory. Nobody is told of that. */
  function forget(user: string): void {
    const sessions = `from offline_user_session where user_id = '${user}'`
    postgres.psql(`delete from offline_client_session where user_session_id in (select user_session_id ${sessions})`)
    postgres.psql(`delete ${sessions}`)
  }

  /** While a table takes no row, does something and sees that it is refused. */
  async function withTableClosed<T>(table: string, act: () => Promise<T>): Promise<T> {
    postgres.psql(`alter table ${table} add constraint closed check (false) not valid`)
    try {
      return await act()
    } finally {
      postgres.psql(`alter table ${table} drop constraint closed`)
    }
  }

  test('logout-relay setup makes in a new realm all that it makes elsewhere, then finds nothing to do, and leaves no trace', async () => {
    await keycloak.admin.must('POST', '', { realm: 'setup', enabled: true })
    const realm = new RealmAdmin(keycloak.admin, 'setup')
    const setup = setupAt({ url: keycloak.url, administrator: keycloak.adminUser })
    const folder = temporary('setup')
    const before = await exported(realm)
    const done = await setup('setup', ['--yes', '--console', 'https://logout-relay.example.org/console'], { folder })
    expect([done.code, done.err]).toEqual([0, ''])
    expect(steps(done).map((line) => line.replace(/[:,].*/, ''))).toEqual([
      'note       realm attribute logout-relay.setup',
      'make       client logout-relay',
      'make       roles of client logout-relay',
      'give       to the service account of logout-relay roles of client logout-relay',
      'make       client logout-relay-operator',
      'give       to the service account of logout-relay-operator roles of client logout-relay',
      'make       client logout-relay-console',
      'give       to the scope of client logout-relay-console roles of client logout-relay',
      ...['logout-relay.secret', 'logout-relay-operator.secret', 'logout-relay-console.secret', 'relay.yaml'].map(
        (name) => `write      ${folder}/${name}`,
      ),
      'switch on  event listener logout-relay',
    ])
    expect((await setup('setup', ['--print'], { folder })).out).toContain('Nothing to do')
    expect((await setup('setup', ['--yes', '--undo'], { folder })).code).toBe(0)
    expect([await exported(realm), filesIn(folder)]).toEqual([before, []])
  })

  // On the newest it is played by the demo that tutorial.test.ts starts.
  test.runIf(version === KEYCLOAK_VERSIONS[0])(
    'on the oldest Keycloak a reset with the relay ends all that stock Keycloak leaves alive, and nothing else',
    async () => {
      const guarded = await startGuarded(world)
      onTestFinished(() => guarded.stop())
      const story = await play(world, guarded, () => undefined)
      expect(story.filter((line) => !held(line))).toEqual([])
      expect(new Set(story.map((line) => line.clientId))).toEqual(
        new Set(['apache-app', 'express-app', 'mobile-app', 'orders-api', 'intranet', 'browser-app']),
      )
      expect(story.some(({ access }) => access === 'browser app in Chromium')).toBe(true)
    },
  )

  test('a reset whose outbox row cannot be written is refused and changes nothing', async () => {
    const user = await person('karl')
    const browser = await loggedIn('karl')
    const held = await tokens.directGrant('mobile-app', 'karl', 'password')
    const rows = [events(), count('logout_relay_watermark')]
    await nextSecond()
    expect((await withTableClosed('logout_relay_outbox', () => reset(user))).status).toBe(500)
    expect([events(), count('logout_relay_watermark')]).toEqual(rows)
    expect(await browser.isAlive(express.url)).toBe(true)
    expect(await tokens.lives('mobile-app', held)).toBe(true)
    await tokens.directGrant('mobile-app', 'karl', 'password')
  })

  test('a login whose ledger row cannot be written gets no token', async () => {
    await person('lena')
    const form = {
      grant_type: 'password',
      client_id: 'mobile-app',
      username: 'lena',
      password: 'password',
      scope: 'openid',
    }
    const refused = await withTableClosed('logout_relay_ledger', () => tokens.ask(form))
    expect(refused.status).toBe(500)
    expect(refused.text).not.toContain('access_token')
    expect((await tokens.ask(form)).status).toBe(200)
  })

  test('a password that a program sets in a directory by updating the user ends its sessions, and another update none', async () => {
    const directory = await startDirectory({ people: ['edda'] }, 'password')
    try {
      await keycloak.admin.must('POST', '/demo/components', directory.federation('people', { importUsers: true }))
      const browser = await loggedIn('edda')
      const held = await tokens.directGrant('mobile-app', 'edda', 'password')
      const user = `/demo/users/${await keycloak.admin.userId('demo', 'edda')}`
      await nextSecond()
      await keycloak.admin.must('PUT', user, { lastName: 'Other' })
      expect(await tokens.lives('mobile-app', held)).toBe(true)
      await keycloak.admin.must('PUT', user, { credentials: [{ type: 'password', value: 'another' }] })
      await until('the session is dead', async () => !(await browser.isAlive(express.url)))
      expect(await tokens.lives('mobile-app', held)).toBe(false)
      expect(postgres.psql('select trigger_id from logout_relay_outbox')).toContain('admin-set-password')
    } finally {
      const [federation] = (await keycloak.admin.must<{ id: string }[]>('GET', '/demo/components?name=people')).json()
      await keycloak.admin.must('DELETE', `/demo/components/${federation?.id ?? ''}`)
      await directory.stop()
    }
  })

  test('a reset that is rolled back at the commit ends nothing', async () => {
    const user = await person('mona')
    const browser = await loggedIn('mona')
    const held = await tokens.directGrant('mobile-app', 'mona', 'password')
    const rows = events()
    await nextSecond()
    postgres.psql(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
      create constraint trigger refuse after update on credential deferrable initially deferred for each row execute function refuse()`)
    const answer = await reset(user)
    postgres.psql('drop trigger refuse on credential; drop function refuse')
    expect(answer.status).toBeGreaterThanOrEqual(400)
    await delay(1500)
    expect(events()).toBe(rows)
    expect(await browser.isAlive(express.url)).toBe(true)
    expect(await tokens.lives('mobile-app', held)).toBe(true)
  })

  test('an administrator’s reset is contained when Keycloak is killed after the commit, before the removal and the push', async () => {
    const user = await person('nina')
    const browser = await loggedIn('nina')
    const held = await tokens.directGrant('mobile-app', 'nina', 'password')
    const offline = await tokens.directGrant('mobile-app', 'nina', 'password', 'openid offline_access')
    forgotten = { user: await person('olga'), browser: await loggedIn('olga') }
    await nextSecond()
    const listeners = (names: string[]) => keycloak.admin.must('PUT', '/demo', { eventsListeners: names })
    await listeners(['logout-relay', 'crash-after-commit'])
    const rows = events()
    await expect(reset(user)).rejects.toThrow()
    await until('Keycloak is dead', () => keycloak.exited())
    expect(events()).toBe(rows + 1)
    expect(await browser.isAlive(express.url)).toBe(true)
    forget(forgotten.user)
    keycloak = await keycloak.restart()
    await listeners(['logout-relay'])
    await until('the session is dead', async () => !(await browser.isAlive(express.url)))
    expect(await tokens.lives('mobile-app', held)).toBe(false)
    expect(await tokens.lives('mobile-app', offline)).toBe(false)
    expect(await keycloak.admin.sessions('demo', user)).toEqual([])
  })

  test('a relying party’s session is ended whose Keycloak session is long gone', async () => {
    const { user, browser } = forgotten
    expect(await keycloak.admin.sessions('demo', user)).toEqual([])
    expect(await browser.isAlive(express.url)).toBe(true)
    expect((await reset(user)).status).toBe(204)
    await until('the session is dead', async () => !(await browser.isAlive(express.url)))
  })

  test('an answer reported by the relay ends the ledger row, and nothing else does', async () => {
    const user = await person('paul')
    await loggedIn('paul')
    const rows = () => Number(postgres.psql(`select count(*) from logout_relay_ledger where user_id = '${user}'`))
    expect(rows()).toBe(1)
    await keycloak.admin.must('POST', `/demo/users/${user}/logout`)
    expect(rows()).toBe(1)
    await nextSecond()
    expect((await reset(user)).status).toBe(204)
    await until('the answer is recorded', () => rows() === 0)
  })

  test('when Keycloak dies after the event, a relay that holds its key delivers all the same, also what it tries again', async () => {
    const port = await freePort()
    const user = await person('niaj')
    await keycloak.admin.createClient('demo', {
      clientId: 'down-app',
      publicClient: true,
      directAccessGrantsEnabled: true,
      attributes: {
        'backchannel.logout.url': `http://127.0.0.1:${port}/logout`,
        'backchannel.logout.session.required': 'true',
      },
    })
    relay = await giveKeys(relay, new RealmAdmin(keycloak.admin, 'demo'))
    await tokens.directGrant('down-app', 'niaj', 'password')
    const published = await publishedKeys(keycloak.issuer('demo'))
    const attempts = async () => {
      const open = `${relay.url}/api/v1/deliveries?client_id=down-app&state=open`
      const answer = await call<{ deliveries: { attempts: number }[] }>('GET', open, { headers: operator() })
      return answer.json().deliveries[0]?.attempts
    }
    await nextSecond()
    expect((await reset(user)).status).toBe(204)
    await until('it has been attempted', attempts)
    await keycloak.kill9()
    const recorder = await startRecorder(port)
    try {
      await until('it is told', () => recorder.tokens.length > 0, { seconds: 60 })
      const { token, claims } = recorder.tokens[0] ?? { token: '', claims: {} }
      await jwtVerify(token, createLocalJWKSet(published), { audience: 'down-app' })
      expect(claims.sub).toBeUndefined()
      await until('it is recorded', async () =>
        (await relay.metrics()).includes('client_id="down-app",outcome="delivered"'),
      )
    } finally {
      recorder.close()
    }
  })

  test('an operator’s word is not called done while Keycloak is down', async () => {
    await keycloak.kill9()
    const json = { subject: 'niaj', reason: 'laptop stolen' }
    const answer = await call('POST', `${relay.url}/api/v1/containments`, { json, headers: operator() })
    expect([answer.status, answer.json()]).toMatchObject([503, { error: 'temporarily_unavailable' }])
  })
})
