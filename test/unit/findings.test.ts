import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { judgesOf } from '../../relay/idp/keycloak/check/realm.ts'
import { findingsOn } from '../../relay/domain/finding.ts'
import { RelayError } from '../../relay/errors.ts'
import type { Idp } from '../../relay/flow/ports.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { roomComplaint } from '../../relay/store/sqlite/room.ts'
import { Findings } from '../../relay/telemetry/findings.ts'
import { measureStore, STORE, watchIdp } from '../../relay/telemetry/measure.ts'
import { makeMetrics } from '../../relay/telemetry/metrics.ts'
import { acceptInto, ISSUER, NOW_MS, OTHER_ISSUER, securityEvent, temporaryFolder } from './given.ts'
import { realm } from './signed.ts'

const toDo = (findings: Findings, ...about: string[]) =>
  findings.about(...about).map(({ check, says }) => `${check} ${says}`)

test('a finding is there until the same check finds it well, and is of its own realm alone', () => {
  const findings = new Findings()
  const [ours, theirs] = [findingsOn(ISSUER), findingsOn(OTHER_ISSUER)]
  findings.found(ours.todo('listener', 'is OFF'))
  findings.found(theirs.todo('outbox', 'holds 2 events'))
  findings.found(theirs.ok('listener', 'is on'))
  expect([toDo(findings, ISSUER), toDo(findings, OTHER_ISSUER), toDo(findings, STORE)]).toEqual([
    ['listener is OFF'],
    ['outbox holds 2 events'],
    [],
  ])
  findings.found(ours.ok('listener', 'is on'))
  expect(toDo(findings, ISSUER)).toEqual([])
})

test('of several things that one check finds at once, none hides another, and the next time counts', () => {
  const findings = new Findings()
  const { ok, todo } = findingsOn(ISSUER)
  findings.found(todo('directory', 'ad is held'), todo('directory', 'ldap is late'), ok('directory', 'ipa is watched'))
  expect(toDo(findings, ISSUER)).toEqual(['directory ad is held', 'directory ldap is late'])
  findings.found(ok('directory', 'ad is watched'), todo('directory', 'ldap is late'))
  expect(toDo(findings, ISSUER)).toEqual(['directory ldap is late'])
  findings.found(ok('directory', 'each is watched'))
  expect(toDo(findings, ISSUER)).toEqual([])
})

test('one cause that several calls meet is told once', () => {
  const findings = new Findings()
  const { todo } = findingsOn(ISSUER)
  findings.found(todo('poll', 'cannot be reached (ECONNREFUSED)'))
  findings.found(todo('logout tokens', 'cannot be reached (ECONNREFUSED)'))
  findings.found(todo('roles', 'lacks one'))
  expect(toDo(findings, ISSUER)).toEqual(['poll cannot be reached (ECONNREFUSED)', 'roles lacks one'])
})

test('a realm that makes no tokens is told of in its own words until it makes them', async () => {
  const findings = new Findings()
  let refuses = true
  const idp: Idp = {
    mint: () =>
      refuses
        ? Promise.reject(new RelayError('idp_unavailable', `${ISSUER}: logout-tokens answered 403: give it the role`))
        : Promise.resolve({ tokens: new Map(), refused: new Map() }),
    report: () => Promise.reject(new Error('something with a secret in it')),
  }
  const watched = watchIdp(ISSUER, idp, findings)
  await expect(watched.mint([])).rejects.toThrow('403')
  await expect(watched.report([])).rejects.toThrow()
  expect(toDo(findings, ISSUER)).toEqual([
    'logout tokens logout-tokens answered 403: give it the role',
    'answers failed; the relay’s log says more',
  ])
  refuses = false
  await watched.mint([])
  expect(toDo(findings, ISSUER)).toEqual(['answers failed; the relay’s log says more'])
})

test('a store that could not write is told of until it has written, and one that could not read until it has read that', async () => {
  const findings = new Findings()
  const kept = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  onTestFinished(() => kept.close())
  let [full, gone] = [true, false]
  const store = measureStore(
    {
      ...kept,
      accept: (...event) =>
        full ? Promise.reject(new RelayError('store_unavailable', 'the disk is full')) : kept.accept(...event),
      open: () => (gone ? Promise.reject(new RelayError('store_unavailable', 'it does not answer')) : kept.open()),
    },
    makeMetrics(),
    findings,
  )
  await expect(acceptInto(store, securityEvent(1, []))).rejects.toThrow('full')
  await store.open()
  expect(toDo(findings, STORE)).toEqual(['store the disk is full'])
  full = false
  await acceptInto(store, securityEvent(1, []))
  expect(toDo(findings, STORE)).toEqual([])
  gone = true
  await expect(store.open()).rejects.toThrow('answer')
  await store.notes()
  expect(toDo(findings, STORE)).toEqual(['store it does not answer'])
  gone = false
  await store.open()
  expect(toDo(findings, STORE)).toEqual([])
})

test('a disk with hardly any room is told of before it is full', () => {
  const left = (mib: number) => roomComplaint('/', () => ({ bavail: mib, bsize: 1024 * 1024 }) as never)
  expect(left(199)).toMatch(/^has 199 MiB of disk left: make room/)
  expect(left(200)).toBeUndefined()
})

test('what a relay meets by the way is judged as logout-relay check judges it: roles, clocks, and what the realm says', async () => {
  const judges = judgesOf({ issuer: ISSUER, identifier: 'logout-relay' }, () => NOW_MS)
  const { sign } = await realm()
  const roles = ['outbox', 'answers', 'relying-parties']
  const token = await sign({ iat: NOW_MS / 1000 - 90, resource_access: { 'logout-relay': { roles } } }, { typ: 'JWT' })
  expect(judges.token(token).map(({ ok, check, says }) => [ok, check, says])).toEqual([
    [false, 'clocks', expect.stringMatching(/^differ by 90 s: run NTP/)],
    [false, 'roles', expect.stringMatching(/client logout-relay: logout-tokens$/)],
  ])
  const said = {
    ...{ listener: false, push: true, audience: 'logout-relay', keycloak: '26.7.3' },
    outbox: { waiting: 3, refused: 2 },
    policy: { mode: 'shadow' },
  }
  const found = (more: object) =>
    judges
      .realm({ ...said, ...more })
      .filter(({ ok }) => !ok)
      .map(({ check }) => check)
  expect(found({})).toEqual(['listener', 'policy', 'outbox'])
  // What somebody has decided is among the changes; that nothing at all is ended is said all the time.
  const off = { mode: 'enforce', 'admin-reset-password': 'off' }
  expect(
    found({ listener: true, issuer_fixed: false, policy: off, outbox: { waiting: 0, refused: 0 }, directories: [] }),
  ).toEqual([])
})

test('a relay that runs misses the role with which it tells of upstreams, where it has any', async () => {
  const { sign } = await realm()
  const roles = ['outbox', 'logout-tokens', 'answers', 'relying-parties']
  const token = await sign({ iat: NOW_MS / 1000, resource_access: { 'logout-relay': { roles } } }, { typ: 'JWT' })
  const missed = (hears: boolean) =>
    judgesOf({ issuer: ISSUER, identifier: 'logout-relay', hears }, () => NOW_MS)
      .token(token)
      .filter(({ ok }) => !ok)
      .map(({ check, says }) => `${check}: ${says}`)
  expect(missed(true)).toEqual([expect.stringMatching(/^roles: .*client logout-relay: upstream-events$/)])
  expect(missed(false)).toEqual([])
})

test('whatever a running relay has found of a realm is gone once the realm is well', () => {
  const findings = new Findings()
  const judges = judgesOf({ issuer: ISSUER, identifier: 'logout-relay' }, () => NOW_MS)
  const outbox = { waiting: 0, refused: 0 }
  const directory = { id: '0d1c', name: 'ad', provider: 'ldap', state: 'held', held: 300, looked_ms: NOW_MS }
  const upstream = { id: '9b1c', issuer: 'https://login.example.com', held: 7 }
  const well = { listener: true, push: true, audience: 'logout-relay', keycloak: '26.7.3', policy: {}, outbox }
  findings.found(
    ...judges.realm({
      ...{ listener: false, push: true, audience: 'another', keycloak: '26.7.3', policy: { mode: 'shadow' } },
      ...{ outbox: { ...outbox, refused: 1 }, clock_ahead_ms: 9000, directories: [directory], upstreams: [upstream] },
    }),
  )
  const checks = findings.all().map(({ check }) => check)
  expect(checks).toEqual(['listener', 'policy', 'audience', 'node clock', 'outbox', 'upstream words', 'directory'])
  findings.found(
    ...judges.realm({
      ...well,
      directories: [{ ...directory, state: 'watched', held: 0 }],
      upstreams: [{ ...upstream, held: 0 }],
    }),
  )
  expect(findings.all()).toEqual([])
})

test('of directories a relay that runs tells what came about by itself, and not how somebody has set them up', () => {
  const judges = judgesOf({ issuer: ISSUER, identifier: 'logout-relay' }, () => NOW_MS)
  const directory = (name: string, more: object) => ({ id: name, name, provider: 'ldap', looked_ms: NOW_MS, ...more })
  const directories = [
    directory('own', { provider: 'own', state: 'unwatched' }),
    directory('off', { state: 'off' }),
    directory('new', { state: 'new', looked_ms: undefined }),
    directory('without', { state: 'watched', users: 2, without_clock: 2 }),
    directory('held', { state: 'held', held: 300 }),
    directory('down', { state: 'watched', failing_since_ms: NOW_MS, failure: 'CommunicationException' }),
    directory('late', { state: 'watched', looked_ms: NOW_MS - 600_001 }),
    directory('well', { state: 'watched' }),
  ]
  const told = (some: readonly object[]) =>
    judges
      .realm({
        ...{ listener: true, push: false, audience: 'logout-relay', keycloak: '26.7.3', directories: some },
        ...{ outbox: { waiting: 0, refused: 0 }, policy: { 'directory-password-changed': 'off' } },
      })
      .filter(({ check }) => check === 'directory')
      .map(({ ok, says }) => [ok, says.split(' ')[0]])
  expect(told(directories)).toEqual([
    [false, 'held:'],
    [false, 'down'],
    [false, 'late'],
  ])
  expect(told(directories.slice(0, 4))).toEqual([[true, 'each']])
})
