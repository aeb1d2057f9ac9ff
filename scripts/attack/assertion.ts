import { randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Attack } from './attack.ts'
import { ASSERTING, ASSERTIONS, PARTNER } from './clients.ts'
import type { Target } from './target.ts'
import { Victim } from './victim.ts'

const LIFESPAN_S = 280

/** Why nobody can be vouched for on this Keycloak; undefined where it takes assertions. */
export const takesNoAssertions = ({ features }: { readonly features: ReadonlySet<string> }): string | undefined =>
  features.has(ASSERTIONS) ? undefined : 'the JWT authorization grant is a preview in this version'

/** The user is known to the partner, under the same name. */
export async function knownToPartner(victim: Victim): Promise<void> {
  await victim.target.admin.must('POST', victim.path('/federated-identity/partner'), {
    identityProvider: 'partner',
    userId: victim.name,
    userName: victim.name,
  })
}

/** The partner's word that this is one of its users, as of now (RFC 7523 §3). */
export function assertionFor(target: Target, subject: string): Promise<string> {
  const iat = Math.floor(Date.now() / 1000)
  return new SignJWT({})
    .setProtectedHeader({ alg: 'RS256' })
    .setIssuer(PARTNER.issuer)
    .setSubject(subject)
    .setAudience(target.issuer)
    .setJti(randomUUID())
    .setIssuedAt(iat)
    .setExpirationTime(iat + LIFESPAN_S)
    .sign(PARTNER.privateKey)
}

/** A client brings the partner's word. */
export const use = (target: Target, assertion: string) =>
  target.tokens.ask({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    ...ASSERTING,
    scope: 'openid',
    assertion,
  })

export const ASSERTION: readonly Attack[] = [
  {
    id: 'assertion',
    family: 'assertion',
    title: 'An identity provider’s assertion from before gives no tokens after',
    tries: 'has a partner’s assertion made before the reset (JWT authorization grant), and gives it for tokens after',
    loot: ['tokens by an assertion', 'tokens from before'],
    quick: 1,
    absent: takesNoAssertions,
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      await knownToPartner(victim)
      const used = await use(target, await assertionFor(target, name))
      if (used.status !== 200) {
        throw new Error(`The assertion is not taken before the reset: ${used.status} ${used.text}`)
      }
      const kept = await assertionFor(target, name)
      await victim.reset()
      const after = await use(target, kept)
      const before = await target.livesOf(used.json(), ASSERTING.client_id)
      // A new assertion is one of after the reset: its partner has logged the person in again.
      const anew = await use(target, await assertionFor(target, name))
      if (anew.status !== 200) {
        throw new Error(`An assertion of after the reset is not taken: ${anew.status} ${anew.text}`)
      }
      return [
        ...(after.status === 200 && (await target.livesOf(after.json())).length > 0 ? ['tokens by an assertion'] : []),
        ...(before.length > 0 ? ['tokens from before'] : []),
      ]
    },
  },
]
