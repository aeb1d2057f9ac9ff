import { call } from '../stage/http.ts'
import type { Tokens } from '../stage/tokens.ts'
import type { Attack } from './attack.ts'
import { SECRET, UMA_APP } from './clients.ts'
import { given } from './loop.ts'
import type { Target } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

const SCOPE = 'view'

/** Something of the victim's at an application, which the victim shares with others (UMA 2.0). */
async function resourceOf({ target: { admin }, name, id }: Victim): Promise<string> {
  const client = await admin.clientUuid(UMA_APP)
  const made = await admin.must<{ _id: string }>('POST', `/clients/${client}/authz/resource-server/resource`, {
    name: `diary of ${name}`,
    owner: { id },
    ownerManagedAccess: true,
    scopes: [{ name: SCOPE }],
  })
  return made.json()._id
}

/** As the account console does it. */
function share(target: Target, accessToken: string, resource: string, username: string) {
  return call('PUT', `${target.issuer}/account/resources/${resource}/permissions`, {
    headers: { authorization: `Bearer ${accessToken}`, accept: 'application/json' },
    json: [{ username, scopes: [SCOPE] }],
  })
}

/** The token by which the holder of this one is let at the resource (UMA 2.0 Grant §3.3.1); undefined where they are not. */
async function permission(target: Target, accessToken: string, resource: string): Promise<string | undefined> {
  const answer = await call<Tokens>('POST', target.endpoint('token'), {
    headers: { authorization: `Bearer ${accessToken}` },
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:uma-ticket',
      audience: UMA_APP,
      permission: `${resource}#${SCOPE}`,
    },
  })
  return given(answer)?.access_token
}

/** Whether the application finds a permission active (RFC 7662, with Keycloak's hint for such a token). */
async function counts(target: Target, token: string): Promise<boolean> {
  const answer = await call<{ active: boolean }>('POST', target.endpoint('token/introspect'), {
    form: { client_id: UMA_APP, client_secret: SECRET, token_type_hint: 'requesting_party_token', token },
  })
  return answer.json().active
}

const tokenOf = async (target: Target, name: string) =>
  (await target.tokens.directGrant('flows-app', name, PASSWORD)).access_token

export const UMA: readonly Attack[] = [
  {
    id: 'uma-old-token',
    family: 'uma',
    title: 'A token from before neither shares a resource nor opens one',
    tries:
      'has an access token of the victim’s, and one that lets at a resource; after the reset shares the resource, uses the permission, and asks for another',
    loot: ['share', 'permission from before', 'permission'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const other = await Victim.create(target, `${name}-other`)
      const resource = await resourceOf(victim)
      const old = await tokenOf(target, name)
      // Keycloak lets nobody at what is shared with nobody, not even whose it is.
      await share(target, old, resource, (await Victim.create(target, `${name}-friend`)).name)
      const before = await permission(target, old, resource)
      const isActive = async () => before !== undefined && (await counts(target, before))
      if (!(await isActive())) {
        throw new Error('Who owns the resource is not let at it')
      }
      await victim.reset()
      await share(target, old, resource, other.name)
      const shared = await permission(target, await tokenOf(target, other.name), resource)
      return [
        ...(shared ? ['share'] : []),
        ...((await isActive()) ? ['permission from before'] : []),
        ...((await permission(target, old, resource)) ? ['permission'] : []),
      ]
    },
  },
  {
    id: 'uma-share',
    family: 'uma',
    title: 'A resource that was shared before with somebody is not open to them after',
    tries:
      'shares a resource of the victim’s with an account of their own before the reset, and asks to be let at it after',
    loot: ['share'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const other = await Victim.create(target, `${name}-other`)
      const resource = await resourceOf(victim)
      const answer = await share(target, await tokenOf(target, name), resource, other.name)
      if (answer.status !== 204) {
        throw new Error(`The share: ${answer.status} ${answer.text}`)
      }
      await victim.reset()
      return (await permission(target, await tokenOf(target, other.name), resource)) ? ['share'] : []
    },
  },
]
