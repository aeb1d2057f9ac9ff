import { expect, test } from 'vitest'
import { LEVELS } from '../../relay/idp/keycloak/audit/danger.ts'
import { asJson, asText, reaches } from '../../relay/idp/keycloak/audit/show.ts'
import type { RealmDescription } from '../../relay/idp/keycloak/audit/realm.ts'
import { client, contained, federation, stock } from './audit-given.ts'

const STOCK = stock({ clients: [client({ scopes: ['offline_access'], directGrants: true })] })

test('the table names each client with what survives at it', () => {
  const lines = asText(STOCK, 'https://idp.example.org').split('\n')
  expect(lines.find((line) => line.startsWith('shop'))?.split(/ {2,}/)).toEqual([
    'shop',
    '30 d*',
    '10 h',
    'no end',
    '5 min',
    '0 sessions',
  ])
})

test('service accounts have a table of their own, with what is known of their use', () => {
  const nowMs = Date.parse('2026-11-25T00:00:00Z')
  const attributes = { 'client.secret.creation.time': String(nowMs / 1000 - 3 * 86_400) }
  const service = { serviceAccount: true, standardFlow: false, attributes }
  const clients = [
    client({ clientId: 'export', ...service }),
    client({ clientId: 'signer', ...service, authenticator: 'client-jwt' }),
  ]
  const use = {
    ...{
      clientId: 'export',
      kind: 'client_credentials',
      account: 'a',
      isService: true,
      address: '192.0.2.7',
      count: 2,
    },
    ...{ firstMs: nowMs - 7_200_000, lastMs: nowMs - 3_600_000, hours: [1], days: 1, refresh: 'none' as const },
  }
  const workloads = { readAtMs: nowMs, sinceMs: nowMs - 7_200_000, uses: [use] }
  const table = (realm: RealmDescription) =>
    asText(realm, 'x')
      .split('\n')
      .filter((line) => /^(export|signer|Counted|Who uses)/.test(line))
      .map((line) => line.split(/ {2,}/))
  expect(table(contained({ clients, workloads }))).toEqual([
    ['export', '3 d old', '1 h ago', '5 min', '1', 'no'],
    ['signer', 'none', 'never seen', '5 min', '0', 'no'],
    ['Counted for 2 h.'],
  ])
  const unread = { readAtMs: nowMs, uses: [], unread: 'the extension is not on, which counts it' }
  expect(table(contained({ clients, workloads: unread }))).toEqual([
    ['export', '3 d old', 'not read', '5 min', 'not read', 'no'],
    ['signer', 'none', 'not read', '5 min', 'not read', 'no'],
    ['Who uses them was not read: the extension is not on, which counts it.'],
  ])
  const json = JSON.parse(asJson(contained({ clients, workloads }), 'x', 'y')) as object
  expect(json).toMatchObject({
    workloads: [
      {
        client_id: 'export',
        secret_age: { seconds: 3 * 86_400 },
        last_used: '2026-11-24T23:00:00.000Z',
        uses: 2,
        addresses: 1,
      },
      { client_id: 'signer', has_secret: false, secret_age: null, last_used: null },
    ],
    ...{ workloads_counted_since: '2026-11-24T22:00:00.000Z', workloads_unread: null },
  })
})

test('a finding is explained once for all the places where it has the same danger', () => {
  const clients = ['one', 'two'].map((clientId) => client({ clientId, directGrants: true }))
  const text = asText(contained({ clients }), 'x')
  expect(text.split('[direct-grants]')).toHaveLength(2)
  expect(text).toMatch(/\n {2}one .*\n {2}two /)
})

test('a realm without findings says so', () => {
  expect(asText(contained(), 'x')).toContain('0 critical, 0 high, 0 medium, 0 low')
})

test('names from the server do not drive the terminal', () => {
  const evil = 'a\u001b[2Jb\r\nc\u009bd\u202ee\u2028f\u{e0001}g'
  const realm = contained({
    realm: evil,
    clients: [client({ clientId: evil, directGrants: true, attributes: {} })],
    federations: [federation({ name: evil, provider: evil, mappers: [`role ${evil}`] })],
    identityProviders: [{ name: evil, provider: evil, mappers: [`role ${evil}`] }],
    unread: [{ what: evil, why: evil }],
    eventsListeners: [evil],
    keycloak: evil,
  })
  const text = asText(realm, 'x')
  expect(text).toContain('a?[2Jb??c?d?e?f?g')
  const json = asJson(realm, 'x', 'y')
  expect((text + json).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
  expect(JSON.parse(json)).toMatchObject({ realm: evil })
})

test('JSON has every finding with its remedy, and says where there is no end', () => {
  const audit = JSON.parse(asJson(STOCK, 'https://idp.example.org', '2026-11-25T00:00:00Z')) as {
    survives: unknown[]
    findings: { id: string; remedy: string }[]
  }
  expect(audit).toMatchObject({ realm: 'main', answered_by_the_extension: false, read_at: '2026-11-25T00:00:00Z' })
  expect(audit.survives).toMatchObject([
    { client_id: 'shop', offline_token: { unlimited: true }, refresh_token: { seconds: 36_000 } },
  ])
  expect(audit.findings[0]).toMatchObject({ level: 'critical', worst: { unlimited: true } })
  expect(audit.findings.find(({ id }) => id === 'direct-grants')).toMatchObject({
    level: 'low',
    where: { kind: 'client', name: 'shop' },
    worst: null,
  })
  expect(audit.findings.every(({ remedy }) => remedy.length > 20)).toBe(true)
})

test('a limit is reached by findings of its danger and worse', () => {
  expect(LEVELS.map((level) => reaches(STOCK, level))).toEqual([true, true, true, true])
  expect(LEVELS.map((level) => reaches(stock(), level))).toEqual([false, true, true, true])
  expect(LEVELS.map((level) => reaches(contained(), level))).toEqual([false, false, false, false])
})
