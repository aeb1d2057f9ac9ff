import { describe, expect, test } from 'vitest'
import { type Directory, directoryState } from '../../relay/domain/directory.ts'
import { judgeDirectories } from '../../relay/idp/keycloak/check/directories.ts'
import { DirectoryItem } from '../../relay/idp/keycloak/directories.ts'
import { makeMetrics } from '../../relay/telemetry/metrics.ts'
import { ISSUER, NOW_MS } from './given.ts'

const MINUTE_MS = 60_000

/** One that is well, but for what is given, as the extension tells it. */
const told = (more: object = {}): Directory =>
  DirectoryItem.parse({
    ...{ id: '0d1c', name: 'ad', provider: 'ldap', state: 'watched', users: 12, without_clock: 0, held: 0 },
    ...{ looked_ms: NOW_MS - 1000, clock_ahead_ms: -40 },
    ...more,
  })
const FAILS = { failing_since_ms: NOW_MS - MINUTE_MS, failure: 'AuthenticationException' }

test.each<[string, object, string]>([
  ['is looked at', {}, 'watched'],
  ['is looked at, a person having decided', { state: 'dismissed' }, 'watched'],
  ['does not answer', FAILS, 'failing'],
  ['does not answer while changes wait', { state: 'held', held: 300, ...FAILS }, 'held'],
  ['is switched off, whatever was before', { state: 'off', ...FAILS }, 'off'],
  ['is of a kind that cannot be asked', { provider: 'kerberos', state: 'unwatched' }, 'unwatched'],
  ['is in a state that this relay does not know', { state: 'asleep' }, 'unwatched'],
])('a directory that %s', (_, more, state) => {
  expect(directoryState(told(more))).toBe(state)
})

describe('the check of a realm', () => {
  const judged = (directory: Directory, more: { listener?: boolean; policy?: Record<string, string> } = {}) =>
    judgeDirectories(ISSUER, { listener: true, policy: {}, directories: [directory], ...more }, NOW_MS)

  test('says of a directory that is well how many are heard, and how', () => {
    expect(judged(told())).toMatchObject([{ check: 'directory', about: ISSUER, ok: true }])
    expect(judged(told())[0]?.says).toBe('ad is watched: 12 users there are logged in')
    const silent = judged(told({ clock_ahead_ms: undefined, without_clock: 3 }))[0]
    expect(silent).toMatchObject({ ok: true })
    expect(silent?.says).toMatch(/of 3 of them .* no time of the password; it does not tell its time, so run NTP/)
  })

  test('says that somebody let changes go', () => {
    const dismissed = told({ decision: 'dismissed', decided_ms: NOW_MS - MINUTE_MS, decided_by: 'a-sub' })
    expect(judged(dismissed)[0]).toMatchObject({ ok: true })
    expect(judged(dismissed)[0]?.says).toContain(`by ${new Date(NOW_MS - MINUTE_MS).toISOString()} was let go`)
    expect(judged(dismissed)[0]?.says).not.toContain('a-sub')
    expect(judged(told({ decision: 'confirmed', decided_ms: NOW_MS }))[0]?.says).not.toContain('let go')
  })

  test.each<[string, object, RegExp]>([
    ['is down', { ...FAILS, failure: 'CommunicationException' }, /cannot be looked at since .*is it up/],
    ['refuses', FAILS, /cannot be looked at since .*bind DN and credential/],
    ['shows nobody', { ...FAILS, failure: 'it shows no user at all' }, /users DN and user filter/],
    ['fails in another way', { ...FAILS, failure: 'NamingException' }, /NamingException.*Keycloak’s log/],
    ['has changes that wait', { state: 'held', held: 300 }, /300 users at once end nothing until.*held confirm 0d1c/],
    ['is slow', { looked_ms: NOW_MS - 11 * MINUTE_MS }, /was gone through last at .* ends late/],
    ['has not been gone through', { looked_ms: undefined }, /not once yet/],
    ['has not been looked at', { state: 'new', looked_ms: undefined }, /not been looked at yet/],
    ['tells no time', { without_clock: 12 }, /none of its 12 users .* ppolicy.*logout-relay\.directories\.clock/],
    ['cannot be asked', { provider: 'kerberos', state: 'unwatched' }, /no LDAP directory .*\(kerberos\).*contain/],
  ])('says what to do where a directory %s', (_, more, says) => {
    expect(judged(told(more))).toMatchObject([{ check: 'directory', about: ISSUER, ok: false }])
    expect(judged(told(more))[0]?.says).toMatch(says)
  })

  test('says of one that is switched off whether that is all, or the listener', () => {
    expect(judged(told({ state: 'off' }))).toMatchObject([{ ok: true }])
    expect(judged(told({ state: 'off' }), { listener: false })).toMatchObject([{ ok: false }])
  })

  test('says which of its changes policy has end nothing', () => {
    const policy = { 'directory-password-changed': 'off', 'directory-account-disabled': 'sessions' }
    const [, line] = judged(told(), { policy })
    expect(line).toMatchObject({ ok: false })
    expect(line?.says).toMatch(
      /directory-password-changed end nothing: .*logout-relay\.policy\.directory-password-changed/,
    )
    expect(judged(told({ provider: 'own', state: 'unwatched' }), { policy })).toHaveLength(1)
  })

  test('says that there is none, and asks for a jar that tells', () => {
    expect(judgeDirectories(ISSUER, { listener: true, policy: {}, directories: [] }, NOW_MS)).toMatchObject([
      { ok: true },
    ])
    const older = judgeDirectories(ISSUER, { listener: true, policy: {}, directories: undefined }, NOW_MS)
    expect(older).toMatchObject([{ ok: false }])
  })
})

test('metrics say of each directory how it stands, and nothing of one that is gone or not asked', async () => {
  const metrics = makeMetrics()
  const other = told({ id: '2', state: 'off', ...FAILS })
  metrics.directories.set(ISSUER, [told({ ...FAILS, held: 7, without_clock: 2 }), other])
  const labels = `issuer="${ISSUER}",directory="ad",directory_id="0d1c"`
  const text = await metrics.registry.metrics()
  expect(text).toContain(`logout_relay_directory_state{${labels},state="failing"} 1`)
  expect(text).toContain(`logout_relay_directory_failing_timestamp_seconds{${labels}} ${(NOW_MS - MINUTE_MS) / 1000}`)
  expect(text).toContain(`logout_relay_directory_looked_timestamp_seconds{${labels}} ${(NOW_MS - 1000) / 1000}`)
  expect(text).toContain(`logout_relay_directory_held{${labels}} 7`)
  expect(text).toContain(`logout_relay_directory_users{${labels}} 12`)
  expect(text).toContain(`logout_relay_directory_users_without_clock{${labels}} 2`)
  expect(text.split('\n').filter((line) => line.includes('directory_id="2"'))).toEqual([
    `logout_relay_directory_state{issuer="${ISSUER}",directory="ad",directory_id="2",state="off"} 1`,
  ])
  metrics.directories.set(ISSUER, [told({ looked_ms: undefined })])
  const after = await metrics.registry.metrics()
  expect(after).toContain(`logout_relay_directory_looked_timestamp_seconds{${labels}} 0`)
  expect(after).not.toContain('state="failing"')
  expect(after).not.toMatch(/failing_timestamp_seconds{|directory_id="2"/)
})
