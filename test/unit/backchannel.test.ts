import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { judge } from '../../relay/delivery/backchannel/judge.ts'
import { owed, SURE_OF_SID_MS } from '../../relay/delivery/backchannel/target.ts'
import { named, openKinds } from '../../relay/delivery/kinds.ts'
import type { FailureCode } from '../../relay/domain/model.ts'
import { ISSUER } from './given.ts'

describe('the judgement of an answer', () => {
  test.each([200, 204])('%i is the only kind of proof of a logout', (status) => {
    expect(judge({ kind: 'response', status })).toMatchObject({ outcome: 'delivered', reason: 'confirmed' })
  })

  test.each([
    [201, 'unexpected_status'],
    [202, 'unexpected_status'],
    [206, 'unexpected_status'],
    [301, 'redirect'],
    [302, 'redirect'],
    [303, 'redirect'],
    [304, 'redirect'],
    [308, 'redirect'],
    [399, 'redirect'],
    [400, 'rejected'],
    [401, 'login_required'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [405, 'method_not_allowed'],
    [408, 'timeout_there'],
    [410, 'unexpected_status'],
    [429, 'throttled'],
    [500, 'server_error'],
    [501, 'not_implemented'],
    [502, 'server_error'],
    [503, 'unavailable'],
    [504, 'downstream'],
    [599, 'server_error'],
    [999, 'server_error'],
  ])('%i is retried as %s', (status, reason) => {
    const verdict = judge({ kind: 'response', status })
    expect(verdict).toMatchObject({ outcome: 'retry', reason })
    expect(verdict.says).toMatch(/\.$/)
  })

  test.each<FailureCode>([
    'timeout',
    'connection_refused',
    'connection_lost',
    'name_not_found',
    'tls',
    'http_not_allowed',
    'address_not_allowed',
    'bad_url',
    'not_minted',
    'other',
  ])('no answer because of %s is retried and says why', (code) => {
    const verdict = judge({ kind: 'failure', code })
    expect(verdict).toMatchObject({ outcome: 'retry', reason: code })
    expect(verdict.says).toMatch(/\.$/)
  })
})

describe('how a client is told by its back channel', () => {
  const URI = 'https://orders.example.org/logout'
  const may = { backchannel_logout_uri: URI, iss: ISSUER, alg: 'ES256', sid_only: true }

  test('the relay may make the token where the client asks for sid and sees the event’s issuer', () => {
    expect(named(may, ISSUER)).toEqual({ kind: 'backchannel', uri: URI, alg: 'ES256' })
    for (const other of [{ sid_only: false }, { iss: 'https://former.example.org/realms/demo' }, { alg: undefined }]) {
      expect(named({ ...may, ...other }, ISSUER)).toEqual({ kind: 'backchannel', uri: URI })
    }
  })

  test('the realm alone makes it for an event of long ago', () => {
    const target = { kind: 'backchannel', uri: URI, alg: 'ES256' }
    expect(owed(target, SURE_OF_SID_MS - 1)).toEqual(target)
    expect(owed(target, SURE_OF_SID_MS)).toEqual({ kind: 'backchannel', uri: URI })
  })

  test('a realm that says of no kind means this one, and of another it names no logout URL', () => {
    expect(named({ ...may, kind: 'backchannel' }, ISSUER)).toEqual(named(may, ISSUER))
    expect(named({ ...may, kind: 'pigeon' }, ISSUER)).toEqual({ kind: 'pigeon' })
  })
})

test('every folder of relay/delivery is a kind that is listed, under its own name', () => {
  const files = readdirSync(join(import.meta.dirname, '..', '..', 'relay', 'delivery'), { withFileTypes: true })
  const folders = files.filter((file) => file.isDirectory()).map(({ name }) => name)
  const kinds = openKinds({
    post: () => Promise.resolve({ kind: 'failure', code: 'other' }),
    nowMs: () => 0,
    sleep: () => Promise.resolve(),
    trouble: () => undefined,
  })
  expect([...kinds.keys()].sort()).toEqual(folders.sort())
})
