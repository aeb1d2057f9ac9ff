import { beforeAll, describe, expect, test } from 'vitest'
import type { RealmAdmin } from '../../scripts/stage/admin.ts'
import { until } from '../../scripts/stage/process.ts'
import { nextSecond, type SharedDemoRealm, shareDemoRealm } from './demo-realm.ts'

const ISSUER = 'https://login.example.com'
const OTHER = 'https://login.example.org'
const THIRD = 'https://login.example.net'
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type'

let realm: SharedDemoRealm
let admin: RealmAdmin
beforeAll(async () => {
  realm = await shareDemoRealm('upstream')
  admin = realm.admin
  await admin.letRelayHearUpstreams()
  for (const [alias, issuer] of [
    ['theirs', ISSUER],
    ['others', OTHER],
    ['third', `https://old.example.net, ${THIRD}`],
  ]) {
    const config = { issuer, clientId: 'x', clientSecret: 'x', authorizationUrl: issuer, tokenUrl: issuer }
    await admin.must('POST', '/identity-provider/instances', { alias, providerId: 'oidc', config })
  }
  await giveWord('decider', 'confirm')
})

/** Somebody with the link to an identity provider, by the name `sub-NAME`, who has logged in. */
async function linked(name: string, alias = 'theirs') {
  const user = await realm.person(name)
  await admin.must('POST', `/users/${user}/federated-identity/${alias}`, { userId: `sub-${name}`, userName: name })
  const login = async () => {
    const tokens = await realm.tokens.directGrant('flows-app', name, 'password')
    return () => realm.tokens.lives('flows-app', tokens)
  }
  return { name, user, sub: `sub-${name}`, login, lives: await login() }
}

async function giveWord(name: string, role: string): Promise<void> {
  await admin.giveRole(await realm.person(name), 'logout-relay', role)
}

interface Outcome {
  readonly contained: number
  readonly held: number
  readonly known: number
}
const NOBODY: Outcome = { contained: 0, held: 0, known: 0 }
let told = 0

/** What the relay tells of an identity provider that it has verified. */
function word(subject: object, more: object = {}) {
  const id = `message ${++told}`
  return {
    ...{ issuer: ISSUER, subjects: [subject], type: `${CAEP}/credential-change`, credential_type: 'password', id },
    ...{ txn: `their ${id}`, ...more },
  }
}
const say = (said: object) => realm.ask<Outcome>('upstream-events', said)

const settings = (attributes: Record<string, string>) => admin.must('PUT', '', { attributes })

describe('what an identity provider says of its users', () => {
  test('ends what its linked user has from before, and the evidence names it and what it calls the event', async () => {
    const [person, other] = [await linked('changed'), await linked('bystander')]
    await nextSecond()
    const said = word({ sub: person.sub })
    expect(await say(said)).toEqual({ ...NOBODY, contained: 1 })
    expect([await person.lives(), await other.lives()]).toEqual([false, true])
    const event = await realm.toldOnce(person.user)
    expect(event).toMatchObject({
      type: `${CAEP}/credential-change`,
      trigger: 'upstream-password-changed',
      containment: { upstream: { iss: ISSUER, txn: said.txn } },
      sessions: [{ client_id: 'flows-app' }],
    })
    expect(await realm.told(other.user)).toEqual([])
  })

  test('told twice, or by several at once, ends once', async () => {
    const person = await linked('twice')
    await nextSecond()
    const said = word({ sub: person.sub })
    const outcomes = await Promise.all([say(said), say(said), say(said), say(said)])
    expect(outcomes.map(({ contained }) => contained).sort()).toEqual([0, 0, 0, 1])
    await nextSecond()
    const after = await person.login()
    expect(await say(said)).toEqual({ ...NOBODY, known: 1 })
    await realm.toldOnce(person.user)
    expect(await after()).toBe(true)
  })

  test('ends what is from before it happened, and leaves a login that came before it was heard', async () => {
    const person = await linked('late')
    await nextSecond()
    const happenedMs = Date.now()
    await nextSecond()
    const after = await person.login()
    expect(await say(word({ sub: person.sub }, { at_ms: happenedMs }))).toEqual({ ...NOBODY, contained: 1 })
    expect([await person.lives(), await after()]).toEqual([false, true])
    // Of two events the older may come last, by another way: it has nothing left to end.
    const older = word({ sub: person.sub }, { at_ms: happenedMs - 60_000 })
    expect(await say(older)).toEqual({ ...NOBODY, known: 1 })
  })

  test('of a time that is yet to come counts as of now', async () => {
    const person = await linked('future')
    await nextSecond()
    await say(word({ sub: person.sub }, { at_ms: Date.now() + 3_600_000 }))
    expect(await person.lives()).toBe(false)
    await nextSecond()
    await nextSecond()
    expect(await (await person.login())()).toBe(true)
  })

  describe('about somebody else', () => {
    let people: Awaited<ReturnType<typeof linked>>[]
    beforeAll(async () => {
      people = [await linked('theirs-only', 'others'), await linked('ours')]
    })

    test.each([
      ['a user whom nobody is linked as', () => word({ sub: 'nobody' })],
      ['one who is linked to another identity provider', () => word({ sub: 'sub-theirs-only' })],
      [
        'the user of an identity provider that the realm does not have',
        () => word({ sub: 'sub-theirs-only' }, { issuer: `${ISSUER}/` }),
      ],
      ['a user by an address, where the realm does not let it', () => word({ email: 'theirs-only@example.org' })],
      ['something that means nothing here', () => word({ sub: 'sub-ours' }, { type: `${CAEP}/session-presented` })],
      [
        'a higher assurance',
        () => word({ sub: 'sub-ours' }, { type: `${CAEP}/assurance-level-change`, change_direction: 'increase' }),
      ],
      [
        'a device that is as it must be',
        () => word({ sub: 'sub-ours' }, { type: `${CAEP}/device-compliance-change`, current_status: 'compliant' }),
      ],
      ['other claims', () => word({ sub: 'sub-ours' }, { type: `${CAEP}/token-claims-change` })],
      ['another address', () => word({ sub: 'sub-ours' }, { type: `${RISC}/identifier-changed` })],
    ])('%s ends nothing, and is answered alike', async (_, said) => {
      expect(await say(said())).toEqual(NOBODY)
      expect(await Promise.all(people.map(({ lives }) => lives()))).toEqual([true, true])
    })
  })

  test('an address names who is linked to it and has verified it, where the realm lets it, and nobody else', async () => {
    await settings({ 'logout-relay.upstreams.email': 'theirs' })
    try {
      const [person, elsewhere, unverified] = [
        await linked('by-mail'),
        await linked('by-mail-elsewhere', 'others'),
        await linked('by-mail-unverified'),
      ]
      await admin.must('PUT', `/users/${unverified.user}`, { emailVerified: false })
      await nextSecond()
      for (const one of [elsewhere, unverified]) {
        expect(await say(word({ email: `${one.name}@example.org` }))).toEqual(NOBODY)
        expect(await one.lives()).toBe(true)
      }
      expect(await say(word({ email: 'y-mail@example.org' }))).toEqual(NOBODY)
      expect(await say(word({ email: 'BY-mail@example.org' }))).toEqual({ ...NOBODY, contained: 1 })
      expect(await person.lives()).toBe(false)
    } finally {
      await settings({ 'logout-relay.upstreams.email': '' })
    }
  })

  test('all whom its names name end, each once', async () => {
    const people = [await linked('alias-one'), await linked('alias-two')]
    await nextSecond()
    const subjects = people.flatMap(({ sub }) => [{ sub }, { sub }])
    expect(await say(word({}, { subjects }))).toEqual({ ...NOBODY, contained: 2 })
    for (const { user, lives } of people) {
      expect(await lives()).toBe(false)
      await realm.toldOnce(user)
    }
  })

  test.each([
    ['of an account that was disabled', { type: `${RISC}/account-disabled` }, 'upstream-account-disabled'],
    ['of an account that was deleted', { type: `${RISC}/account-purged` }, 'upstream-account-disabled'],
    ['of a password that is known', { type: `${RISC}/credential-compromise` }, 'upstream-password-changed'],
    [
      'of a password that must change',
      { type: `${RISC}/account-credential-change-required` },
      'upstream-password-changed',
    ],
    [
      'of another credential',
      { type: `${CAEP}/credential-change`, credential_type: 'fido2-roaming' },
      'upstream-credential-changed',
    ],
    ['of a revoked session', { type: `${CAEP}/session-revoked` }, 'upstream-sessions-revoked'],
    ['of revoked sessions', { type: `${RISC}/sessions-revoked` }, 'upstream-sessions-revoked'],
    ['of a request to revoke', { type: 'global-token-revocation' }, 'upstream-sessions-revoked'],
    [
      'of a lower assurance',
      { type: `${CAEP}/assurance-level-change`, change_direction: 'decrease' },
      'upstream-assurance-decreased',
    ],
    ['of an assurance without a direction', { type: `${CAEP}/assurance-level-change` }, 'upstream-assurance-decreased'],
    [
      'of a device that is not as it must be',
      { type: `${CAEP}/device-compliance-change`, current_status: 'not-compliant' },
      'upstream-device-not-compliant',
    ],
  ])('%s ends what the user has', async (name, said, trigger) => {
    const person = await linked(name.replaceAll(' ', '-'))
    await nextSecond()
    expect(await say(word({ sub: person.sub }, said))).toEqual({ ...NOBODY, contained: 1 })
    expect(await person.lives()).toBe(false)
    expect(await realm.toldOnce(person.user)).toMatchObject({ trigger, sessions: [{ client_id: 'flows-app' }] })
  })

  test('causes what is set for that identity provider alone, where something is', async () => {
    const policy = 'logout-relay.policy'
    await settings({
      [`${policy}.upstream-sessions-revoked`]: 'off',
      [`${policy}.upstream-sessions-revoked.third`]: 'sessions',
      [`${policy}.upstream-claims-changed.theirs`]: 'sessions',
      [`${policy}.upstream-claims-changed.misspelt`]: 'sessions',
    })
    try {
      const [theirs, third] = [await linked('policy-theirs'), await linked('policy-third', 'third')]
      await nextSecond()
      const revoked = { type: `${CAEP}/session-revoked` }
      const claims = { type: `${CAEP}/token-claims-change` }
      expect(await say(word({ sub: theirs.sub }, revoked))).toEqual(NOBODY)
      expect(await say(word({ sub: third.sub }, { ...claims, issuer: THIRD }))).toEqual(NOBODY)
      expect([await theirs.lives(), await third.lives()]).toEqual([true, true])
      const ended = { ...NOBODY, contained: 1 }
      expect(await say(word({ sub: third.sub }, { ...revoked, issuer: THIRD }))).toEqual(ended)
      expect(await say(word({ sub: theirs.sub }, claims))).toEqual(ended)
      expect([await theirs.lives(), await third.lives()]).toEqual([false, false])
      expect(await realm.toldOnce(theirs.user)).toMatchObject({ trigger: 'upstream-claims-changed' })
      const told = (await realm.ask<{ realm: Record<string, unknown> }>('relying-parties')).realm
      expect(told).toMatchObject({
        policy: { 'upstream-claims-changed': 'off', 'upstream-claims-changed.theirs': 'sessions' },
        policy_of_nobody: [{ attribute: `${policy}.upstream-claims-changed.misspelt`, alias: 'misspelt' }],
      })
      const refused = await admin.call('PUT', '', { attributes: { [`${policy}.email-changed.theirs`]: 'off' } })
      expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('names no trigger')])
    } finally {
      await settings({})
    }
  })

  test('ends nothing where the policy for it is off', async () => {
    await settings({ 'logout-relay.policy.upstream-sessions-revoked': 'off' })
    try {
      const person = await linked('policy-off')
      expect(await say(word({ sub: person.sub }, { type: `${CAEP}/session-revoked` }))).toEqual(NOBODY)
      expect(await person.lives()).toBe(true)
    } finally {
      await settings({ 'logout-relay.policy.upstream-sessions-revoked': '' })
    }
  })

  test('counts for nothing from a service account without the role, and is refused where it is none', async () => {
    const program = await realm.tokens.serviceAccount('logout-relay-operator', 'secret-of-a-test')
    expect((await realm.call('upstream-events', word({ sub: 'x' }), program)).status).toBe(403)
    for (const bad of [
      { subjects: [] },
      { subjects: [{}] },
      { subjects: [{ sub: 'a', email: 'b' }] },
      { subjects: [{ sub: 'a\0' }] },
      { subjects: Array.from({ length: 21 }, () => ({ sub: 'a' })) },
      { issuer: ' ' },
      { at_ms: -1 },
      { id: undefined },
      { txn: 'x'.repeat(256) },
    ]) {
      const answer = await realm.call<{ error: string }>('upstream-events', word({ sub: 'x' }, bad))
      expect([answer.status, answer.json().error], JSON.stringify(bad)).toEqual([400, 'invalid_request'])
    }
  })
})

describe('more users than the limit', () => {
  interface Waiting {
    readonly upstreams: readonly { readonly id: string; readonly issuer: string; readonly held: number }[]
  }
  const waiting = async () =>
    (await realm.ask<Waiting>('upstreams', undefined, await realm.wordOf('decider'))).upstreams.find(
      ({ issuer }) => issuer === OTHER,
    )
  const decide = async (decision: string) =>
    realm.ask('upstreams', { id: (await waiting())?.id, decision, reason: 'of a test' }, await realm.wordOf('decider'))

  test('wait for a person’s word, which ends them or leaves them; none is lost and none jumps the queue', async () => {
    await settings({ 'logout-relay.upstreams.limit': '1' })
    try {
      const people: Awaited<ReturnType<typeof linked>>[] = []
      for (const name of ['many-one', 'many-two', 'many-three', 'many-four']) {
        people.push(await linked(name, 'others'))
      }
      await nextSecond()
      const outcomes = []
      for (const { sub } of people) {
        outcomes.push(await say(word({ sub }, { issuer: OTHER })))
      }
      const held = { ...NOBODY, held: 1 }
      expect(outcomes).toEqual([{ ...NOBODY, contained: 1 }, held, held, held])
      const living = () => Promise.all(people.map(({ lives }) => lives()))
      expect(await living()).toEqual([false, true, true, true])
      // Said again it is held once, as of the later time.
      await nextSecond()
      expect(await say(word({ sub: people[1]?.sub }, { issuer: OTHER }))).toEqual(held)
      // Also of whom it had ended before: what waits comes first.
      await nextSecond()
      const again = await people[0]?.login()
      await nextSecond()
      expect(await say(word({ sub: people[0]?.sub }, { issuer: OTHER }))).toEqual(held)
      expect(await waiting()).toMatchObject({ held: 4 })
      const { upstreams } = (await realm.ask<{ realm: Waiting }>('relying-parties')).realm
      expect(upstreams.find(({ issuer }) => issuer === OTHER)).toMatchObject({ held: 4 })
      const program = await realm.tokens.serviceAccount('logout-relay', 'secret-of-a-test')
      const confirmed = { id: (await waiting())?.id, decision: 'confirm', reason: 'of a test' }
      expect((await realm.call('upstreams', confirmed, program)).status).toBe(403)
      const bare = await realm.call('upstreams', { ...confirmed, reason: ' ' }, await realm.wordOf('decider'))
      expect([bare.status, bare.text]).toEqual([400, expect.stringContaining('reason must say why')])
      await decide('confirm')
      expect(await waiting()).toMatchObject({ held: 0 })
      await until('all who were held have ended', async () => !(await living()).includes(true) && !(await again?.()))
      for (const person of people.slice(1)) {
        const ended: unknown[] = []
        await until('it is told', async () => {
          ended.push(...(await realm.told(person.user)))
          return ended.length > 0
        })
        expect(ended).toHaveLength(1)
      }

      // From a decision on the count begins anew.
      await nextSecond()
      await nextSecond()
      const more = [await linked('many-five', 'others'), await linked('many-six', 'others')]
      await nextSecond()
      const [five, six] = [
        await say(word({ sub: more[0]?.sub }, { issuer: OTHER })),
        await say(word({ sub: more[1]?.sub }, { issuer: OTHER })),
      ]
      expect([five, six]).toEqual([{ ...NOBODY, contained: 1 }, held])
      await decide('dismiss')
      expect(await waiting()).toMatchObject({
        held: 0,
        ...{ decision: 'dismissed', decided_reason: 'of a test', decided_by: await admin.userId('decider') },
        decided_ms: expect.any(Number) as number,
      })
      expect(await more[1]?.lives()).toBe(true)
      const nothing = await realm.call(
        'upstreams',
        { ...confirmed, id: (await waiting())?.id },
        await realm.wordOf('decider'),
      )
      expect(nothing.status).toBe(400)
    } finally {
      await settings({ 'logout-relay.upstreams.limit': '' })
    }
  })
})
