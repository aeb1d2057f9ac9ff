import { call } from '../stage/http.ts'
import type { Attack } from './attack.ts'
import { SECRET } from './clients.ts'
import type { Target } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

/** An operator of the demo realm, who has the roles in every application. */
const OPERATOR = 'olivia'
/** The client that an operator's programs are meant to use. */
const OPERATORS_CLIENT = 'logout-relay-operator'

function contain(target: Target, token: string, user: string) {
  return call('POST', `${target.issuer}/logout-relay/containments`, {
    headers: { authorization: `Bearer ${token}` },
    json: { user, reason: 'an attack', dry_run: true },
  })
}

export const OPERATOR_TOKEN: readonly Attack[] = [
  {
    id: 'operator-other-application',
    family: 'operator',
    title: 'A token that another application has for an operator signs nobody out',
    tries:
      'is an application that an operator logs in to, and asks Logout Relay to end a user’s sessions by the token that it was given',
    loot: ['containment'],
    noControl: 'what is asked is Logout Relay’s own; that its own client is let in is looked at in the same try',
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const own = await target.tokens.serviceAccount(OPERATORS_CLIENT, SECRET)
      const allowed = await contain(target, own, victim.id)
      if (allowed.status !== 200) {
        throw new Error(`The operator’s own client is not let in: ${allowed.status} ${allowed.text}`)
      }
      const { access_token } = await target.tokens.directGrant('flows-app', OPERATOR, PASSWORD)
      return (await contain(target, access_token, victim.id)).status === 200 ? ['containment'] : []
    },
  },
]
