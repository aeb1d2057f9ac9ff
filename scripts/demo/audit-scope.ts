import type { Admin } from '../stage/admin.ts'

const ROLES = ['view-realm', 'view-clients', 'view-identity-providers']

/** Lets this person read the realm at the console: what docs/console.md says, by the Admin API. */
export async function letAudit(admin: Admin, realm: string, username: string): Promise<void> {
  const management = await admin.clientUuid(realm, 'realm-management')
  const all = (await admin.must<{ name: string }[]>('GET', `/${realm}/clients/${management}/roles`)).json()
  const roles = all.filter(({ name }) => ROLES.includes(name))
  await admin.must('POST', `/${realm}/client-scopes`, { name: 'logout-relay-audit', protocol: 'openid-connect' })
  const scopes = (await admin.must<{ id: string; name: string }[]>('GET', `/${realm}/client-scopes`)).json()
  const scope = scopes.find(({ name }) => name === 'logout-relay-audit')?.id ?? ''
  const client = await admin.clientUuid(realm, 'logout-relay-console')
  const user = await admin.userId(realm, username)
  await admin.must('POST', `/${realm}/client-scopes/${scope}/scope-mappings/clients/${management}`, roles)
  await admin.must('PUT', `/${realm}/clients/${client}/optional-client-scopes/${scope}`)
  await admin.must('POST', `/${realm}/users/${user}/role-mappings/clients/${management}`, roles)
}
