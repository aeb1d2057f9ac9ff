import { call } from '../stage/http.ts'
import type { Attack } from './attack.ts'
import type { Target } from './target.ts'
import { Thief } from './thief.ts'
import { Victim } from './victim.ts'

async function organization({ admin, realm }: Target, name: string): Promise<string> {
  await admin.must('POST', `/${realm}/organizations`, { name, alias: name, domains: [{ name: `${name}.example` }] })
  const found = await admin.must<{ id: string }[]>('GET', `/${realm}/organizations?search=${name}&exact=true`)
  return found.json()[0]?.id ?? ''
}

async function invite({ target, id }: Victim, organizationId: string): Promise<void> {
  const url = `${target.parts.keycloak.url}/admin/realms/${target.realm}/organizations/${organizationId}`
  const headers = { authorization: `Bearer ${await target.admin.token()}` }
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
      const id = await organization(target, name)
      const link = await victim.mailed(() => invite(victim, id))
      await victim.reset()
      await new Thief().openMailed(link)
      const members = await target.admin.must<{ id: string }[]>('GET', `/${target.realm}/organizations/${id}/members`)
      return members.json().length > 0 ? ['membership'] : []
    },
  },
]
