import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { readAccess } from '../../relay/idp/keycloak/claims.ts'
import { realmLogin } from '../../relay/console/login.ts'
import { realm } from './signed.ts'

/** A realm whose token endpoint answers with an access token that was issued to `azp`; no real one does for another client. */
async function realmThatIssuesTo(azp: string | undefined, management?: string, own = ['view', 'dismiss']) {
  const login = { nonce: '', refused: 0 }
  const server = createServer((request, response) => {
    void answer(request.url ?? '').then((body) => {
      response
        .writeHead(login.refused === 0 || !(request.url ?? '').endsWith('/token') ? 200 : login.refused, {
          'content-type': 'application/json',
        })
        .end(JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
  const { jwks, sign } = await realm(issuer)
  const answer = async (path: string): Promise<object> => {
    if (path.endsWith('/openid-configuration')) {
      const at = (name: string) => `${issuer}/${name}`
      return {
        issuer,
        authorization_endpoint: at('auth'),
        token_endpoint: at('token'),
        jwks_uri: at('certs'),
        response_types_supported: ['code'],
      }
    }
    if (path.endsWith('/certs')) {
      return jwks
    }
    if (login.refused === 400) {
      return { error: 'invalid_grant' }
    }
    const iat = Math.floor(Date.now() / 1000)
    const times = { iss: issuer, sub: 'olivia-1', sid: 'sid-1', iat, exp: iat + 60 }
    const roles = {
      resource_access: {
        'logout-relay': { roles: own },
        ...(management === undefined ? {} : { 'realm-management': { roles: [management] } }),
      },
    }
    return {
      ...{ token_type: 'Bearer', expires_in: 300, refresh_token: 'r' },
      id_token: await sign({ ...times, aud: 'the-console', nonce: login.nonce }, { typ: 'JWT' }),
      access_token: await sign({ ...times, ...roles, typ: 'Bearer', azp }, { typ: 'JWT' }),
    }
  }
  const url = 'http://127.0.0.1:9/console'
  const client = realmLogin(
    { issuer, clientId: 'the-console', clientSecret: 's', url, audience: 'logout-relay' },
    readAccess,
    () => Date.now(),
  )
  const logIn = async () => {
    const begun = await client.begin('/console')
    login.nonce = begun.login.nonce
    return client.finish(`?code=c&state=${begun.login.state}`, begun.login)
  }
  return Object.assign(logIn, { client, login })
}

test('the console takes the roles in a token that was issued to itself', async () => {
  const logIn = await realmThatIssuesTo('the-console')
  expect((await logIn()).person).toMatchObject({ subject: 'olivia-1', roles: ['view', 'dismiss'] })
})

test.each([
  ['issued to another client', 'wiki'],
  ['that names none', undefined],
])('the console lets nobody in by a token %s', async (_, azp) => {
  await expect((await realmThatIssuesTo(azp))()).rejects.toThrow(/another client|azp/)
})

test.each([
  ['view-users', 'view', true, true],
  ['query-users', 'view', true, true],
  ['view-users', 'operate', true, true],
  [undefined, 'operate', true, false],
  ['view-realm', 'dismiss', false, false],
  [undefined, 'view', false, false],
])(
  'tokens are kept of whoever may look up users, or end what one has, and of nobody else (%s, %s)',
  async (role, own, kept, readsUsers) => {
    const logIn = await realmThatIssuesTo('the-console', role, [own])
    const { rights } = await logIn()
    expect(rights).toEqual(kept ? (expect.objectContaining({ refreshToken: 'r', readsUsers }) as unknown) : undefined)
  },
)

test('they are lost where the realm refuses to renew them, and stay where it does not answer', async () => {
  const { client, login } = await realmThatIssuesTo('the-console', undefined, ['operate'])
  expect(await client.renew('r')).toMatchObject({ refreshToken: 'r', readsUsers: false })
  login.refused = 400
  expect(await client.renew('r')).toBeUndefined()
  login.refused = 503
  await expect(client.renew('r')).rejects.toMatchObject({ code: 'idp_unavailable' })
})
