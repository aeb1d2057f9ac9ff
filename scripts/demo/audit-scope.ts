import type { RealmAdmin } from '../stage/admin.ts'

const ROLES = ['view-realm', 'view-clients', 'view-identity-providers']

/** Lets this person read the realm at the console: what docs/console.md says, by the Admin API. */
export async function letAudit(admin: RealmAdmin, username: string): Promise<void> {
  const management = await admin.clientUuid('realm-management')
  const all = (await admin.must<{ name: string }[]>('GET', `/clients/${management}/roles`)).json()
  const roles = all.filter(({ name }) => ROLES.includes(name))
  await admin.must('POST', `/client-scopes`, { name: 'logout-relay-audit', protocol: 'openid-connect' })
  const scopes = (await admin.must<{ id: string; name: string }[]>('GET', `/client-scopes`)).json()
  const scope = scopes.find(({ name }) => name === 'logout-relay-audit')?.id ?? ''
  const client = await admin.clientUuid('logout-relay-console')
  const user = await admin.userId(username)
  await admin.must('POST', `/client-scopes/${scope}/scope-mappings/clients/${management}`, roles)
  await admin.must('PUT', `/clients/${client}/optional-client-scopes/${scope}`)
  await admin.must('POST', `/users/${user}/role-mappings/clients/${management}`, roles)
}

/** Lets this person see names at the console: what docs/console.md says, by the Admin API. */
export async function letSeeNames(admin: RealmAdmin, username: string): Promise<void> {
  const management = await admin.clientUuid('realm-management')
  const all = (await admin.must<{ name: string }[]>('GET', `/clients/${management}/roles`)).json()
  const roles = all.filter(({ name }) => name === 'view-users')
  const client = await admin.clientUuid('logout-relay-console')
  const user = await admin.userId(username)
  await admin.must('POST', `/clients/${client}/scope-mappings/clients/${management}`, roles)
  await admin.must('POST', `/users/${user}/role-mappings/clients/${management}`, roles)
}
