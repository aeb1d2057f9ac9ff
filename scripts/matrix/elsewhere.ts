import { assertionFor, knownToPartner, takesNoAssertions, use } from '../attack/assertion.ts'
import { approvedDevice, approvedRequest } from '../attack/grants.ts'
import { invited, takes } from '../attack/invitation.ts'
import { profileOf, Thief } from '../attack/thief.ts'
import { type Kind, twins } from './kind.ts'
import type { Person } from './person.ts'

/** What was approved, mailed or vouched for beside the login, and is used later. */
export const ELSEWHERE: readonly Kind[] = [
  {
    id: 'device-code',
    title: 'device code, approved',
    endsWith: 'session',
    make: async (person) => {
      const thief = new Thief(await person.loggedIn())
      return twins(() => approvedDevice(person.target, thief), givesTokens)
    },
  },
  {
    id: 'ciba',
    title: 'backchannel authentication (CIBA), approved',
    endsWith: 'session',
    make: (person) => twins(() => approvedRequest(person.target, person.name), givesTokens),
  },
  {
    id: 'mailed-link',
    title: 'mailed link to change the account',
    endsWith: 'session',
    make: (person) =>
      twins(
        () =>
          person.mailed(() =>
            person.target.admin.must('PUT', person.path('/execute-actions-email'), ['UPDATE_PROFILE']),
          ),
        (link) => leadsToChange(person, link),
      ),
  },
  {
    id: 'invitation',
    title: 'invitation to an organization, by mail',
    endsWith: 'session',
    make: (person) =>
      twins(
        (which) => invited(person, `${which}-of-${person.name}`),
        (invitation) => takes(person.target, invitation),
      ),
  },
  {
    id: 'assertion',
    title: 'assertion of an identity provider',
    endsWith: 'session',
    absent: takesNoAssertions,
    make: async (person) => {
      await knownToPartner(person)
      return twins(
        () => assertionFor(person.target, person.name),
        async (assertion) => (await use(person.target, assertion)).status === 200,
      )
    },
  },
]

async function givesTokens(fetch: () => Promise<readonly string[]>): Promise<boolean> {
  return (await fetch()).length > 0
}

async function leadsToChange(person: Person, link: string): Promise<boolean> {
  const thief = new Thief()
  const page = await thief.openMailed(link)
  const isThere = page.text.includes('kc-update-profile-form')
  return isThere && (await thief.submit(page, profileOf(person.name))).status === 200
}
