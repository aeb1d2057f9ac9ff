import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { RelayError } from '../../relay/errors.ts'
import type { OperatorOutcome, OperatorRequest } from '../../relay/domain/model.ts'
import { consoleWorld } from './console-world.ts'
import { acceptInto, NOW_MS, securityEvent } from './given.ts'

const ALICE = '0b7e1a52-0000-4000-8000-00000000a11c'
const RIGHTS = { accessToken: 'olivias-token', untilMs: NOW_MS + 300_000, readsUsers: true }
const FOUND: OperatorOutcome & { readonly kind: 'done' } = {
  ...{ kind: 'done', subject: ALICE, sessions: 5, relyingParties: 3, unreachable: 1 },
  ...{ shadow: false, confirmationRequired: false },
}
const REFUSED = {
  kind: 'refused',
  status: 403,
  error: 'x',
  description: 'Tokens of the console do not count here',
} as const

/** A realm that says what is given, and pushes the event of what it has ended. */
function endingWorld() {
  const asked: [token: string, request: OperatorRequest][] = []
  const realm = {
    asked,
    says: FOUND as OperatorOutcome,
    fails: undefined as Error | undefined,
    pushes: true,
    /** It answers no sooner. */
    held: undefined as Promise<undefined> | undefined,
  }
  const world = consoleWorld({
    users: {
      names: () => Promise.resolve(new Map([[ALICE, 'alice']])),
      find: (_, name) => Promise.resolve(['alice', 'alice@example.org'].includes(name) ? ALICE : undefined),
    },
    contain: async (token, request) => {
      asked.push([token, request])
      await realm.held
      if (realm.fails) {
        throw realm.fails
      }
      if (realm.says.kind === 'refused' || request.dryRun) {
        return realm.says
      }
      if (realm.pushes) {
        await acceptInto(world.store, securityEvent(9, ['orders'], { subject: ALICE, trigger: 'operator' }))
      }
      return { ...realm.says, containmentId: 'txn-9' }
    },
  })
  world.rights = RIGHTS
  return Object.assign(realm, { world })
}

type Person = Awaited<ReturnType<ReturnType<typeof consoleWorld>['logIn']>>

/** Where somebody comes who looks at what would end. */
async function look(person: Person, form: Record<string, string> = { user: 'alice' }): Promise<string> {
  const answer = await person.post('/end', form)
  expect(answer.status).toBe(303)
  return answer.headers.get('location')?.replace('/console', '') ?? ''
}

test('what would end of a user is shown first and nothing ends; then it does, once a reason is given', async () => {
  const { world, asked } = endingWorld()
  const olivia = await world.logIn()
  const at = await look(olivia)
  expect(asked).toEqual([
    ['olivias-token', { subject: ALICE, reason: 'to see what would end', dryRun: true, confirm: false }],
  ])
  const page = await (await olivia.get(at)).text()
  expect(page).toContain(`<bdi title="${ALICE}">alice</bdi>`)
  expect(page).toMatch(/4 sessions<\/strong> at\s+3 applications.*1 session at applications without a logout URL/s)
  for (const reason of ['', ' x ', 'x'.repeat(501)]) {
    const refused = await olivia.post(at, { reason })
    expect([refused.status, await refused.text()]).toEqual([
      400,
      expect.stringMatching(/Nothing has ended.*a reason of 3/s),
    ])
  }
  expect(asked).toHaveLength(1)
  const done = await olivia.post(at, { reason: ' laptop stolen ' })
  expect([done.status, done.headers.get('location')]).toEqual([303, '/console/containments/txn-9'])
  expect(asked.slice(1)).toEqual([
    ['olivias-token', { subject: ALICE, reason: 'laptop stolen', dryRun: false, confirm: false }],
  ])
  // Back, or the same form once more: it says that it is done, and nothing is done again.
  expect(await (await olivia.get(at)).text()).toContain('It is done at Keycloak')
  expect((await olivia.post(at, { reason: 'laptop stolen' })).headers.get('location')).toBe(
    '/console/containments/txn-9',
  )
  expect(asked).toHaveLength(2)
})

test('a user is given by name, by email address, by id, or by a containment of theirs, and is in no address', async () => {
  const { world, asked } = endingWorld()
  await acceptInto(world.store, securityEvent(1, ['orders'], { subject: ALICE }))
  const olivia = await world.logIn()
  for (const form of [{ user: 'alice' }, { user: ' alice@example.org ' }, { user: ALICE }, { of: 'txn-1' }] as const) {
    expect(await look(olivia, form)).toMatch(/^\/end\/[\w-]{43}$/)
  }
  expect(asked.map(([, { subject }]) => subject)).toEqual([ALICE, ALICE, ALICE, ALICE])
  for (const form of [{ user: 'nobody' }, { user: '' }, { of: 'txn-gone' }] as const) {
    const answer = await olivia.post('/end', form)
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('Nobody was looked at')])
  }
  expect(asked).toHaveLength(4)
})

test('who may not look up users gives an id, and no name is asked for with their token', async () => {
  const { world, asked } = endingWorld()
  world.rights = { ...RIGHTS, readsUsers: false }
  const omar = await world.logIn({ subject: 'omar-1' })
  const byName = await omar.post('/end', { user: 'alice' })
  expect([byName.status, await byName.text()]).toEqual([400, expect.stringContaining('give the user’s id')])
  const page = await (await omar.get(await look(omar, { user: ALICE }))).text()
  expect([page.includes(ALICE), page.includes('>alice<')]).toEqual([true, false])
  expect(asked).toHaveLength(1)
})

test('the button is on the pages of those who have the role operate alone, and not for the account of a client', async () => {
  const { world } = endingWorld()
  await acceptInto(world.store, securityEvent(1, [], { subject: ALICE }))
  await acceptInto(world.store, securityEvent(2, [], { subject: 'account-1', trigger: 'client-secret-changed' }))
  const [olivia, victor] = [await world.logIn(), await world.logIn({ subject: 'victor-1', roles: ['view', 'dismiss'] })]
  const has = async (person: Person, path: string) => (await (await person.get(path)).text()).includes('/console/end"')
  for (const path of ['/containments', '/containments?of=txn-1', '/containments/txn-1']) {
    expect([path, await has(olivia, path), await has(victor, path)]).toEqual([path, true, false])
  }
  for (const path of ['/containments?of=txn-2', '/containments/txn-2']) {
    expect([path, await has(olivia, path)]).toEqual([path, false])
  }
})

test('a refusal of the realm is shown in its words, at the look and at the end, and nothing counts as done', async () => {
  const realm = endingWorld()
  const olivia = await realm.world.logIn()
  const at = await look(olivia)
  realm.says = REFUSED
  for (const [path, form] of [
    ['/end', { user: 'alice' }],
    [at, { reason: 'laptop stolen' }],
  ] as const) {
    const answer = await olivia.post(path, form)
    expect([path, answer.status, await answer.text()]).toEqual([
      path,
      403,
      expect.stringContaining(REFUSED.description),
    ])
  }
  expect(await (await olivia.get(at)).text()).toContain('Nothing has ended yet')
})

test('the same form twice at once asks Keycloak once, and again after a refusal', async () => {
  const realm = endingWorld()
  const olivia = await realm.world.logIn()
  const at = await look(olivia)
  const twice = async () => {
    const held = Promise.withResolvers<undefined>()
    realm.held = held.promise
    const both = Promise.all([1, 2].map(async () => olivia.post(at, { reason: 'laptop stolen' })))
    // Long enough for both to come as far as they do before it answers.
    for (let turn = 0; turn < 50; turn++) {
      await setImmediate()
    }
    held.resolve(undefined)
    return both
  }
  realm.says = REFUSED
  expect((await twice()).map(({ status }) => status)).toEqual([403, 403])
  expect(realm.asked).toHaveLength(2)
  realm.says = FOUND
  expect((await twice()).map(({ headers }) => headers.get('location'))).toEqual([
    '/console/containments/txn-9',
    '/console/containments/txn-9',
  ])
  expect(realm.asked).toHaveLength(3)
})

test('where Keycloak does not answer it is said that nobody knows, and it can be done again', async () => {
  const realm = endingWorld()
  const olivia = await realm.world.logIn()
  const at = await look(olivia)
  realm.fails = new RelayError('idp_unavailable', 'away')
  const failed = await olivia.post(at, { reason: 'laptop stolen' })
  expect([failed.status, await failed.text()]).toEqual([503, expect.stringContaining('it is not known whether')])
  realm.fails = undefined
  expect((await olivia.post(at, { reason: 'laptop stolen' })).headers.get('location')).toBe(
    '/console/containments/txn-9',
  )
})

test('an event that has not come yet is said to be on its way, and no page that is not there is shown', async () => {
  const realm = endingWorld()
  realm.pushes = false
  const olivia = await realm.world.logIn()
  const at = await look(olivia)
  expect((await olivia.post(at, { reason: 'laptop stolen' })).headers.get('location')).toBe(`/console${at}`)
  expect(await (await olivia.get(at)).text()).toMatch(/has not received the event yet/)
  await acceptInto(realm.world.store, securityEvent(9, ['orders'], { subject: ALICE, trigger: 'operator' }))
  expect(await (await olivia.get(at)).text()).toMatch(/href="\/console\/containments\/txn-9"/)
})

test('many on somebody’s word take a person with the role confirm: there is no form then, and shadow mode is said', async () => {
  const realm = endingWorld()
  realm.says = { ...FOUND, confirmationRequired: true, shadow: true }
  const olivia = await realm.world.logIn()
  const page = await (await olivia.get(await look(olivia))).text()
  expect(page).toMatch(/shadow mode.*contain --confirm/s)
  expect(page).not.toContain('name="reason"')
})

test('a look is its own person’s, in that session alone; the oldest of many is let go', async () => {
  const { world, asked } = endingWorld()
  const [olivia, omar] = [await world.logIn(), await world.logIn({ subject: 'omar-1' })]
  const at = await look(olivia)
  for (const answer of [await omar.get(at), await omar.post(at, { reason: 'laptop stolen' })]) {
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('is not there any more')])
  }
  for (let n = 0; n < 20; n++) {
    await look(olivia)
  }
  expect((await olivia.get(at)).status).toBe(400)
  expect(asked.every(([, { dryRun }]) => dryRun)).toBe(true)
})

test('a token that ends is renewed once for all who need it at that moment; where the realm has ended the login, nothing ends and the way is a login', async () => {
  const { world, asked } = endingWorld()
  const renewals: string[] = []
  const renew = (token: string) => {
    renewals.push(token)
    return Promise.resolve({ ...RIGHTS, accessToken: 'renewed', untilMs: world.nowMs + 60_000, refreshToken: 'next' })
  }
  world.ports.login.renew = renew
  world.rights = { ...RIGHTS, refreshToken: 'first' }
  const olivia = await world.logIn()
  world.nowMs += 300_000
  await Promise.all([look(olivia, { user: ALICE }), look(olivia, { user: ALICE })])
  expect([renewals, asked.map(([token]) => token)]).toEqual([['first'], ['renewed', 'renewed']])
  const at = await look(olivia)
  world.ports.login.renew = () => Promise.resolve(undefined)
  world.nowMs += 60_000
  const refused = await olivia.post(at, { reason: 'laptop stolen' })
  expect([refused.status, await refused.text()]).toEqual([
    403,
    expect.stringContaining('/console/login?to=/console/end'),
  ])
  expect(asked.every(([, { dryRun }]) => dryRun)).toBe(true)
})
