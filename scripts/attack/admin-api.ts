import { call } from '../stage/http.ts'
import type { Attack } from './attack.ts'
import { EXCHANGER } from './clients.ts'
import { nextSecond } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

export const ADMIN_API: readonly Attack[] = [
  {
    id: 'admin-api',
    family: 'admin-api',
    title: 'An administrator’s token from before administers nothing after the reset of that administrator',
    tries:
      'has the token of an administrator of the realm; after the reset reads its users, and makes one to come back as',
    loot: ['users read', 'user made'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      await victim.giveRole('realm-management', 'manage-users')
      // Such a role is an event by itself.
      await nextSecond()
      const { access_token } = await target.tokens.directGrant('flows-app', name, PASSWORD)
      const users = `${target.parts.keycloak.url}/admin/realms/${target.realm}/users`
      const headers = { authorization: `Bearer ${access_token}` }
      if ((await call('GET', users, { headers })).status !== 200) {
        throw new Error('The administrator’s token administers nothing before the reset either')
      }
      await victim.reset()
      const read = await call('GET', users, { headers })
      const made = await call('POST', users, { headers, json: { username: `${name}-again`, enabled: true } })
      return [...(read.status === 200 ? ['users read'] : []), ...(made.status === 201 ? ['user made'] : [])]
    },
  },
  {
    id: 'client-registration',
    family: 'admin-api',
    title: 'An administrator’s token from before neither reads a client by registration nor makes one',
    tries:
      'has the token of an administrator of the clients; after the reset reads a client with its secret where clients are registered, and registers one',
    loot: ['secret read', 'client made'],
    quick: 1,
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      await victim.giveRole('realm-management', 'manage-clients')
      await nextSecond()
      const { access_token } = await target.tokens.directGrant('flows-app', name, PASSWORD)
      const registrations = `${target.issuer}/clients-registrations/default`
      const headers = { authorization: `Bearer ${access_token}` }
      const read = () => call('GET', `${registrations}/${EXCHANGER.client_id}`, { headers })
      if (!(await read()).text.includes(EXCHANGER.client_secret)) {
        throw new Error('The administrator’s token reads no client before the reset either')
      }
      await victim.reset()
      const stolen = (await read()).text.includes(EXCHANGER.client_secret)
      await call('POST', registrations, { headers, json: { clientId: `${name}-client` } })
      const made = await target.admin.must<unknown[]>('GET', `/clients?clientId=${name}-client`)
      return [...(stolen ? ['secret read'] : []), ...(made.json().length > 0 ? ['client made'] : [])]
    },
  },
]
