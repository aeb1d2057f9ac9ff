import { expect, test } from 'vitest'
import { type Line, planOf, undoOf } from '../../relay/idp/keycloak/setup/plan.ts'
import type { Wish } from '../../relay/idp/keycloak/setup/parts.ts'
import type { ClientState, Made, RealmState } from '../../relay/idp/keycloak/setup/state.ts'

const CONSOLE = 'https://logout-relay.example.org/console'
const ROLES = [
  ...['outbox', 'logout-tokens', 'answers', 'relying-parties', 'upstream-events'],
  ...['view', 'operate', 'confirm', 'dismiss', 'guard'],
]

const EMPTY: RealmState = {
  installed: true,
  listeners: ['jboss-logging'],
  mode: undefined,
  made: {},
  roles: [],
  clients: new Map(),
}

const service = (id: string, granted: readonly string[], more: Partial<ClientState> = {}): ClientState => ({
  ...{ id, granted, audience: 'own', scope: undefined },
  settings: {
    ...{ enabled: true, publicClient: false, bearerOnly: false, serviceAccountsEnabled: true },
    ...{ clientAuthenticatorType: 'client-secret', standardFlowEnabled: false },
  },
  ...more,
})
const RELAY = service('relay-id', ['outbox', 'logout-tokens', 'answers', 'relying-parties'])
const OPERATOR = service('operator-id', ['view', 'operate'])

/** A realm that has it all but for the console. */
const done = (made: Made = {}): RealmState => ({
  ...EMPTY,
  ...{ made, listeners: ['jboss-logging', 'logout-relay'], mode: 'shadow', roles: ROLES },
  clients: new Map([
    ['logout-relay', RELAY],
    ['logout-relay-operator', OPERATOR],
  ]),
})

let n = 0
const plan = (realm: RealmState, wish: Wish = {}) => planOf(realm, wish, () => `id-${++n}`)
const says = (lines: readonly Line[]) => lines.map((line) => line.says)
const changesOf = (lines: readonly Line[]) => lines.flatMap(({ changes }) => changes)
/** What a plan notes for its undoing. */
const notedBy = (lines: readonly Line[]): unknown => {
  const over = lines[0]?.changes[0]?.over as { attributes?: { 'logout-relay.setup'?: string } } | undefined
  return JSON.parse(over?.attributes?.['logout-relay.setup'] ?? 'null')
}

test('a realm that knows nothing of it gets all, each kind in a line, what is made noted first and the listener last', () => {
  const lines = plan(EMPTY, { console: CONSOLE })
  expect(says(lines)).toEqual([
    'note       realm attribute logout-relay.setup: what setup makes here, for --undo',
    'make       client logout-relay, confidential, with a service account and without logins',
    `make       roles of client logout-relay: ${ROLES.join(', ')}`,
    'give       to the service account of logout-relay roles of client logout-relay: outbox, logout-tokens, answers, relying-parties',
    'make       client logout-relay-operator, confidential, with a service account and without logins, whose tokens act at the relay',
    'give       to the service account of logout-relay-operator roles of client logout-relay: view, operate',
    `make       client logout-relay-console, confidential, for logins at ${CONSOLE} alone`,
    'give       to the scope of client logout-relay-console roles of client logout-relay: view, operate, dismiss',
    'switch on  event listener logout-relay, in shadow mode: all is found and told, and nothing ended',
  ])
  expect(notedBy(lines)).toEqual({
    'client logout-relay': expect.stringMatching(/^id-/) as string,
    'client logout-relay-operator': expect.stringMatching(/^id-/) as string,
    'client logout-relay-console': expect.stringMatching(/^id-/) as string,
    listener: null,
  })
  expect(changesOf(lines).at(-1)).toMatchObject({
    method: 'PUT',
    path: '',
    over: { eventsListeners: ['jboss-logging', 'logout-relay'], attributes: { 'logout-relay.mode': 'shadow' } },
  })
})

test('a client is made under the id that was noted for it, and again under that one where it was not made', () => {
  const lines = plan(EMPTY)
  const noted = notedBy(lines) as Record<string, string>
  const made = changesOf(lines).find(({ path }) => path === 'clients')?.body
  expect(made).toMatchObject({ clientId: 'logout-relay', id: noted['client logout-relay'] })
  const again = plan({ ...EMPTY, made: noted })
  expect(says(again)).toEqual(says(lines).slice(1))
  expect(changesOf(again)[0]?.body).toEqual(made)
})

test('no secret is in a plan: Keycloak makes them', () => {
  expect(JSON.stringify(plan(EMPTY, { console: CONSOLE }))).not.toMatch(/"secret"/)
})

test('a realm that has it all is left alone, in shadow mode or not', () => {
  expect(plan(done())).toEqual([])
  expect(plan({ ...done(), mode: undefined })).toEqual([])
  expect(plan({ ...done(), mode: 'enforce' }, { enforce: true })).toEqual([])
  expect(plan({ ...done(), mode: undefined }, { enforce: true })).toEqual([])
})

test('of a half-made realm only what is missing is made, and noted with what was there before', () => {
  const half: RealmState = {
    ...done(),
    roles: ROLES.filter((role) => !['confirm', 'guard'].includes(role)),
    clients: new Map([
      [
        'logout-relay',
        { ...RELAY, granted: ['outbox'], settings: { ...RELAY.settings, serviceAccountsEnabled: false } },
      ],
      ['logout-relay-operator', { ...OPERATOR, audience: undefined }],
    ]),
  }
  const lines = plan(half)
  expect(says(lines).slice(1)).toEqual([
    'set        settings of client logout-relay: serviceAccountsEnabled true',
    'make       roles of client logout-relay: confirm, guard',
    'give       to the service account of logout-relay roles of client logout-relay: logout-tokens, answers, relying-parties',
    'make       audience mapper of client logout-relay-operator',
  ])
  expect(notedBy(lines)).toEqual({
    'setting logout-relay serviceAccountsEnabled': false,
    ...{ 'role confirm': null, 'role guard': null },
    ...{ 'grant logout-relay logout-tokens': null, 'grant logout-relay answers': null },
    ...{ 'grant logout-relay relying-parties': null, 'audience logout-relay-operator': null },
  })
  expect(changesOf(lines)[1]).toEqual({
    ...{ needs: 'manage-clients', method: 'PUT', path: 'clients/{client logout-relay}' },
    over: { serviceAccountsEnabled: true },
  })
})

test('a console’s client that is there keeps its redirect URIs, and gets the one that is missing', () => {
  const settings = { ...RELAY.settings, standardFlowEnabled: true, redirectUris: ['https://old.example.org/callback'] }
  const realm = done()
  const clients = new Map(realm.clients).set('logout-relay-console', { ...RELAY, settings, scope: ['view'] })
  const lines = plan({ ...realm, clients }, { console: CONSOLE })
  expect(changesOf(lines)).toContainEqual(
    expect.objectContaining({ over: { redirectUris: ['https://old.example.org/callback', `${CONSOLE}/callback`] } }),
  )
  expect(says(lines).at(-1)).toBe(
    'give       to the scope of client logout-relay-console roles of client logout-relay: operate, dismiss',
  )
})

test('--enforce takes a realm out of shadow mode, and nothing else ever does', () => {
  expect(says(plan(done(), { enforce: true })).slice(1)).toEqual([
    'set        realm attribute logout-relay.mode, enforce: resets end sessions from here on',
  ])
  const lines = plan({ ...EMPTY, mode: 'shadow' }, { enforce: true })
  expect(changesOf(lines).at(-1)?.over).toMatchObject({ attributes: { 'logout-relay.mode': 'enforce' } })
  expect(says(lines).at(-1)).toBe('switch on  event listener logout-relay, resets end sessions from here on')
})

test('what was noted first counts: a second run does not take what the first has made for what was there', () => {
  const made = { listener: null }
  expect(notedBy(plan({ ...done(made), roles: [] }, { enforce: true }))).toMatchObject({
    listener: null,
    mode: 'shadow',
  })
  const offAgain = { ...done(made), listeners: ['jboss-logging'], roles: [] }
  expect(notedBy(plan(offAgain))).toMatchObject({ listener: null, 'role view': null })
  const { lines } = undoOf({ ...done({ listener: 'enforce', mode: 'shadow' }), mode: 'enforce' })
  expect(changesOf(lines).map(({ over }) => over)).toEqual([
    { attributes: { 'logout-relay.mode': 'shadow' } },
    { eventsListeners: ['jboss-logging'], attributes: { 'logout-relay.mode': 'enforce' } },
    { attributes: { 'logout-relay.setup': null } },
  ])
})

test('undone is what was made, in the other order, the record last, and the rest is named and left', () => {
  const made = { 'client logout-relay': 'relay-id', listener: null }
  const { lines, left } = undoOf(done(made))
  expect(says(lines)).toEqual([
    'switch off event listener logout-relay',
    'remove     client logout-relay',
    'remove     realm attribute logout-relay.setup',
  ])
  expect(says(left)).toEqual(['leave      client logout-relay-operator'])
})

test('a client that somebody has put in the place of ours is left, with all that is in it', () => {
  const { lines, left } = undoOf(done({ 'client logout-relay': 'another-id' }))
  expect(says(lines)).toEqual(['remove     realm attribute logout-relay.setup'])
  expect(says(left)[0]).toBe('leave      client logout-relay')
})

test('what was added to a client that was there is taken from it, and the settings of before put back', () => {
  const made = { 'role guard': null, 'grant logout-relay outbox': null, 'setting logout-relay publicClient': true }
  expect(says(undoOf(done(made)).lines)).toEqual([
    'take       to the service account of logout-relay roles of client logout-relay: outbox',
    'remove     roles of client logout-relay: guard',
    'put back   settings of client logout-relay: publicClient',
    'remove     realm attribute logout-relay.setup',
  ])
})

test('of a realm in which setup has made nothing, nothing is undone', () => {
  expect(undoOf(done()).lines).toEqual([])
  expect(undoOf(EMPTY)).toEqual({ lines: [], left: [] })
})
