import { describe, expect, test } from 'vitest'
import type { Application } from '../../relay/idp/keycloak/audit/realm.ts'
import { judgeClients } from '../../relay/idp/keycloak/check/clients.ts'
import { ISSUER } from './given.ts'

/** A client without a logout URL. */
const application = (clientId: string, more: Partial<Application> = {}): Application => ({
  ...{ clientId, enabled: true, protocol: 'openid-connect', publicClient: false, bearerOnly: false },
  ...{ standardFlow: true, implicitFlow: false, directGrants: false, rootUrl: '', attributes: {} },
  ...more,
})

describe('of the clients through which operators act', () => {
  const judged = (
    here: readonly string[],
    atKeycloak: string,
    told: readonly string[] = [],
    untold: readonly Application[] = [],
  ) => judgeClients(ISSUER, { here, atKeycloak, told, untold })

  test('it is said who they are, also that there are none', () => {
    expect(judged(['oncall', 'cli'], 'cli, oncall')).toMatchObject({
      ...{ check: 'clients', ok: true, says: 'that may act, at the relay and at Keycloak: cli, oncall' },
    })
    expect(judged([], '')).toMatchObject({ ok: true, says: expect.stringMatching(/: none$/) as string })
  })

  test.each<[string, readonly string[], string, RegExp]>([
    [
      'at Keycloak alone',
      ['cli'],
      'cli, wiki',
      /^that may act differ: at Keycloak alone wiki\. Name the same in issuers/,
    ],
    ['at the relay alone', ['cli', 'oncall'], 'cli', /differ: at the relay alone oncall\./],
    ['each at one of the two', ['cli'], 'oncall', /at Keycloak alone oncall, at the relay alone cli\./],
  ])('one that may act %s is named', (_, here, atKeycloak, says) => {
    expect(judged(here, atKeycloak)).toMatchObject({ ok: false, says: expect.stringMatching(says) as string })
  })

  test('one that is an application as well is named, whether or not it is told of logouts', () => {
    const says = /are applications as well.*: shop, wiki\. Make a client for operators alone/
    expect(judged(['cli', 'shop', 'wiki'], 'cli, shop, wiki', ['shop'], [application('wiki')])).toMatchObject({
      ...{ ok: false, says: expect.stringMatching(says) as string },
    })
  })

  test('the relay’s own console may act at Keycloak alone, and is no application', () => {
    const given = { here: ['cli'], atKeycloak: 'cli, the-console', told: ['the-console'], untold: [] }
    expect(judgeClients(ISSUER, { ...given, console: 'the-console' })).toMatchObject({
      ...{ ok: true, says: 'that may act, at the relay and at Keycloak: cli; at Keycloak the console, too' },
    })
    expect(judgeClients(ISSUER, given)).toMatchObject({
      ok: false,
      says: expect.stringContaining('the-console') as string,
    })
    expect(judgeClients(ISSUER, { ...given, atKeycloak: 'cli', console: 'the-console' })).toMatchObject({
      ...{ ok: true, says: 'that may act, at the relay and at Keycloak: cli' },
    })
  })

  test.each<[string, Application]>([
    ['a service account', application('cli', { standardFlow: false })],
    ['a login on the operators’ own machines', application('cli', { publicClient: true })],
    [
      'the command line of operators, which they reach by the device grant alone',
      application('cli', {
        standardFlow: false,
        attributes: { 'oauth2.device.authorization.grant.enabled': 'true' },
      }),
    ],
  ])('%s is no application', (_, client) => {
    expect(judged(['cli'], 'cli', [], [client])).toMatchObject({ ok: true })
  })
})
