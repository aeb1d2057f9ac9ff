import { call } from '../stage/http.ts'
import type { Attack } from './attack.ts'
import { UMA_APP } from './clients.ts'
import type { Target } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

const SCOPE = 'view'

/** Something of the victim's at an application, which the victim shares with others (UMA 2.0). */
async function resourceOf({ target: { admin, realm }, name, id }: Victim): Promise<string> {
  const client = await admin.clientUuid(realm, UMA_APP)
  const made = await admin.must<{ _id: string }>('POST', `/${realm}/clients/${client}/authz/resource-server/resource`, {
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

/** Whether the holder of this token is let at the resource (UMA 2.0 Grant §3.3.1). */
async function isLetIn(target: Target, accessToken: string, resource: string): Promise<boolean> {
  const answer = await call('POST', target.endpoint('token'), {
    headers: { authorization: `Bearer ${accessToken}` },
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:uma-ticket',
      audience: UMA_APP,
      permission: `${resource}#${SCOPE}`,
    },
  })
  return answer.status === 200
}

const tokenOf = async (target: Target, name: string) =>
  (await target.tokens.directGrant('flows-app', name, PASSWORD)).access_token

export const UMA: readonly Attack[] = [
  {
    id: 'uma-old-token',
    family: 'uma',
    title: 'A token from before neither shares a resource nor opens one',
    tries: 'has an access token of the victim’s; after the reset shares a resource by it, and asks to be let at one',
    loot: ['share', 'permission'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const other = await Victim.create(target, `${name}-other`)
      const resource = await resourceOf(victim)
      const old = await tokenOf(target, name)
      await victim.reset()
      await share(target, old, resource, other.name)
      const shared = await isLetIn(target, await tokenOf(target, other.name), resource)
      return [...(shared ? ['share'] : []), ...((await isLetIn(target, old, resource)) ? ['permission'] : [])]
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
      return (await isLetIn(target, await tokenOf(target, other.name), resource)) ? ['share'] : []
    },
  },
]
