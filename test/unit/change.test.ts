import { describe, expect, test } from 'vitest'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import { differences, type RealmSeen, weakens } from '../../relay/domain/change.ts'
import { DirectoryItem } from '../../relay/idp/keycloak/directories.ts'
import { dismissedIn } from '../../relay/idp/keycloak/dismissed.ts'
import { RealmLogoutItem } from '../../relay/idp/keycloak/realm-logouts.ts'
import { UpstreamItem } from '../../relay/idp/keycloak/upstreams.ts'

const seen: RealmSeen = {
  listener: true,
  policy: {
    mode: 'enforce',
    'admin-reset-password': 'sessions, consents',
    'brute-force-lockout': 'off',
    'realm-logout': 'sessions',
    'step-up.users': 'all',
    'spare-offline.clients': 'backup',
    clients: 'logout-relay-operator, oncall',
    'operator.limit': '20',
    'operator.window': '3600',
    'directories.limit': '100',
    'upstreams.limit': '100',
    'upstreams.window': '3600',
    'upstreams.email': 'okta',
    'upstream-logout': 'sessions, consents',
    'upstream-claims-changed': 'off',
    'upstream-claims-changed.okta': 'sessions',
  },
  targets: { wiki: backchannelAt('https://wiki.example.org/logout') },
}

describe('between two looks at a realm', () => {
  const kinds = (before: RealmSeen | undefined, now: RealmSeen) =>
    differences(before, now).map(({ kind, clientId }) => (clientId === undefined ? kind : `${kind} ${clientId}`))

  test('nothing has changed', () => {
    expect(differences(seen, structuredClone(seen))).toEqual([])
  })

  test('nothing has changed where the steps are told in another order, as after a start of Keycloak', () => {
    const policy = { ...seen.policy, 'admin-reset-password': 'consents, sessions' }
    expect(differences(seen, { ...seen, policy })).toEqual([])
  })

  test('the listener is off, and on again; at the first look only that it is off is told', () => {
    expect(kinds(seen, { ...seen, listener: false })).toEqual(['listener_off'])
    expect(kinds({ ...seen, listener: false }, seen)).toEqual(['listener_on'])
    expect(kinds(undefined, { ...seen, listener: false })).toEqual(['listener_off'])
    expect(kinds(undefined, seen)).toEqual([])
  })

  test('an extension that tells nothing of the listener or the policy is not taken for one that is off', () => {
    expect(kinds(seen, { targets: seen.targets })).toEqual([])
    expect(kinds({ targets: seen.targets }, seen)).toEqual([])
  })

  test('a logout URL is changed, removed or new, also of a client with the name of a property', () => {
    const uri = 'https://elsewhere.example.org/'
    expect(differences(seen, { ...seen, targets: { wiki: backchannelAt(uri) } })).toEqual([
      { kind: 'logout_uri_changed', clientId: 'wiki', data: { was: 'https://wiki.example.org/logout', is: uri } },
    ])
    expect(kinds(seen, { ...seen, targets: {} })).toEqual(['logout_uri_removed wiki'])
    expect(kinds(seen, { ...seen, targets: { ...seen.targets, constructor: backchannelAt(uri) } })).toEqual([
      'logout_uri_added constructor',
    ])
  })

  test.each<[string, Record<string, string>, string]>([
    ['a trigger is off', { 'admin-reset-password': 'off' }, 'policy_weakened'],
    ['a step is gone', { 'admin-reset-password': 'sessions' }, 'policy_weakened'],
    ['a step is there in place of another', { 'admin-reset-password': 'sessions, factors' }, 'policy_weakened'],
    ['a step is added', { 'admin-reset-password': 'sessions, consents, factors' }, 'policy_changed'],
    ['a trigger is on', { 'brute-force-lockout': 'sessions' }, 'policy_changed'],
    ['everybody at once is asked about first', { 'realm-logout': 'ask' }, 'policy_weakened'],
    ['one more client is spared', { 'spare-offline.clients': 'backup, report' }, 'policy_weakened'],
    ['no client is spared any more', { 'spare-offline.clients': '' }, 'policy_changed'],
    ['one more client’s tokens may act', { clients: 'logout-relay-operator, oncall, wiki' }, 'policy_weakened'],
    ['one client’s tokens may act no more', { clients: 'logout-relay-operator' }, 'policy_changed'],
    ['fewer owe a second factor', { 'step-up.users': 'privileged' }, 'policy_weakened'],
    ['fewer may be ended on somebody’s word', { 'operator.limit': '5' }, 'policy_weakened'],
    ['more changes of a directory wait for somebody', { 'directories.limit': '10' }, 'policy_weakened'],
    ['fewer changes of a directory wait for somebody', { 'directories.limit': '1000' }, 'policy_changed'],
    ['more may be ended on somebody’s word', { 'operator.limit': '100' }, 'policy_changed'],
    ['words count against the limit for longer', { 'operator.window': '7200' }, 'policy_weakened'],
    ['words count against the limit for less long', { 'operator.window': '60' }, 'policy_changed'],
    ['fewer may be ended on an identity provider’s word', { 'upstreams.limit': '5' }, 'policy_weakened'],
    ['more may be ended on an identity provider’s word', { 'upstreams.limit': '500' }, 'policy_changed'],
    ['its words count against the limit for longer', { 'upstreams.window': '7200' }, 'policy_weakened'],
    ['its words count against the limit for less long', { 'upstreams.window': '60' }, 'policy_changed'],
    ['it may name nobody by an address any more', { 'upstreams.email': '' }, 'policy_weakened'],
    ['a trigger is off of one identity provider', { 'upstream-logout.staff.eu': 'off' }, 'policy_weakened'],
    ['a step is gone of one', { 'upstream-logout.okta': 'sessions' }, 'policy_weakened'],
    ['a step is added of one', { 'upstream-logout.okta': 'sessions, consents, factors' }, 'policy_changed'],
    ['a trigger is on of one', { 'upstream-claims-changed.staff': 'sessions' }, 'policy_changed'],
    ['nothing is enforced', { mode: 'shadow' }, 'policy_weakened'],
  ])('%s in the policy', (_, policy, kind) => {
    expect(kinds(seen, { ...seen, policy: { ...seen.policy, ...policy } })).toEqual([kind])
  })
})

test('what is set for one identity provider counts from when it is set until it is taken back', () => {
  const policy = Object.fromEntries(
    Object.entries(seen.policy ?? {}).filter(([setting]) => setting !== 'upstream-claims-changed.okta'),
  )
  const [was, is] = ['sessions', 'off']
  expect(differences(seen, { ...seen, policy })).toEqual([
    { kind: 'policy_weakened', data: { setting: 'upstream-claims-changed.okta', was, is } },
  ])
  expect(differences({ ...seen, policy }, seen)).toEqual([
    { kind: 'policy_changed', data: { setting: 'upstream-claims-changed.okta', was: is, is: was } },
  ])
  // What is set for one as it is for all changes nothing.
  expect(
    differences(seen, { ...seen, policy: { ...seen.policy, 'upstream-logout.okta': 'consents, sessions' } }),
  ).toEqual([])
})

describe('that somebody lets go what waits', () => {
  const decided = { decision: 'dismissed', decided_by: 'a-sub', decided_reason: 'CHG-42' }
  const at = (decided_ms: number, more: object = {}) =>
    dismissedIn({
      directories: [DirectoryItem.parse({ id: 'd', name: 'ad', state: 'watched', ...decided, decided_ms, ...more })],
      upstreams: [UpstreamItem.parse({ id: 'u', issuer: 'https://okta', held: 0, ...decided, decided_ms, ...more })],
      realm_logouts: [RealmLogoutItem.parse({ id: 'r', at_ms: 0, state: 'dismissed', ...decided, decided_ms })],
    })
  const seenOf = (now: ReturnType<typeof dismissedIn>): RealmSeen => ({ targets: {}, ...now })

  test('is a change with who, when and why, told once for each time', () => {
    const said = { by: 'a-sub', reason: 'CHG-42' }
    const decided_at = '1970-01-01T00:00:01.000Z'
    const found = differences(seenOf(at(1)), seenOf(at(1000)))
    expect(found).toEqual([
      { kind: 'directory_dismissed', ...said, data: { directory: 'ad', decided_at } },
      { kind: 'upstream_dismissed', ...said, data: { upstream: 'https://okta', decided_at } },
      { kind: 'realm_logout_dismissed', ...said, data: { signed_out_at: '1970-01-01T00:00:00.000Z', decided_at } },
    ])
    expect(found.every(({ kind }) => weakens(kind))).toBe(true)
    expect(differences(seenOf(at(1000)), seenOf(at(1000)))).toEqual([])
  })

  test('is not told of what was before the first look, nor of what somebody has confirmed', () => {
    expect(differences(seenOf({}), seenOf(at(1)))).toEqual([])
    expect(differences(undefined, seenOf(at(1)))).toEqual([])
    const kinds = differences(seenOf(at(1)), seenOf(at(2, { decision: 'confirmed' }))).map(({ kind }) => kind)
    expect(kinds).toEqual(['realm_logout_dismissed'])
    const confirmed = RealmLogoutItem.parse({ id: 'r', at_ms: 0, state: 'done', decided_ms: 2, decided_by: 'a-sub' })
    expect(dismissedIn({ realm_logouts: [confirmed] })).toEqual({ dismissed: {} })
  })
})

test('what takes something back raises no alarm, and everything else does', () => {
  expect((['listener_on', 'relying_party_resumed', 'policy_changed', 'logout_uri_added'] as const).some(weakens)).toBe(
    false,
  )
  expect(
    (['listener_off', 'logout_uri_removed', 'relying_party_paused', 'deliveries_dismissed'] as const).every(weakens),
  ).toBe(true)
})
