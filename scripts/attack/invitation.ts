import { call } from '../stage/http.ts'
import type { Attack } from './attack.ts'
import type { Target } from './target.ts'
import { Thief } from './thief.ts'
import { Victim } from './victim.ts'

/** An organization of this name that the user has been invited to; its id, and the link in the mail. */
export async function invited(victim: Victim, name: string): Promise<{ id: string; link: string }> {
  const { admin } = victim.target
  await admin.must('POST', '/organizations', { name, alias: name, domains: [{ name: `${name}.example` }] })
  const found = await admin.must<{ id: string }[]>('GET', `/organizations?search=${name}&exact=true`)
  const id = found.json()[0]?.id ?? ''
  return { id, link: await victim.mailed(() => invite(victim, id)) }
}

/** Follows the link of an invitation; whether the organization has a member then. */
export async function takes({ admin }: Target, { id, link }: { id: string; link: string }): Promise<boolean> {
  await new Thief().openMailed(link)
  const members = await admin.must<{ id: string }[]>('GET', `/organizations/${id}/members`)
  return members.json().length > 0
}

async function invite({ target, id }: Victim, organizationId: string): Promise<void> {
  const url = `${target.parts.keycloak.url}/admin/realms/${target.realm}/organizations/${organizationId}`
  const headers = { authorization: `Bearer ${await target.parts.token()}` }
  const answer = await call('POST', `${url}/members/invite-existing-user`, { headers, form: { id } })
  if (answer.status > 299) {
    throw new Error(`The invitation: ${answer.status} ${answer.text}`)
  }
}

export const INVITATION: readonly Attack[] = [
  {
    id: 'invitation',
    family: 'invitation',
    title: 'An invitation to an organization from before is not taken after',
    tries: 'reads the mail that invites the user to an organization, and follows its link after the reset of that user',
    loot: ['membership'],
    quick: 1,
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const invitation = await invited(victim, name)
      await victim.reset()
      return (await takes(target, invitation)) ? ['membership'] : []
    },
  },
]
