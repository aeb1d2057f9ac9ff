import type { Signed } from '../idp/keycloak/rotation/key-admin.ts'
import type { RealmKeySet, Rotation } from '../idp/keycloak/rotation/plan.ts'
import { many } from '../text.ts'

/** What a person has to know before they say yes. */
export interface Ahead {
  readonly rotations: readonly Rotation[]
  readonly disable: boolean
  readonly set: RealmKeySet
  readonly signed: Signed
  /** The caller's own token was signed with a key that is disabled, and cannot be renewed. */
  readonly ownTokenEnds: boolean
}

/** Cookies, refresh and offline tokens are signed with one of these, all else with the others. */
export const isSecret = (alg: string) => alg.startsWith('HS')

export function rotationWords({ alg, signer, make, retire, keep }: Rotation, disable: boolean): string[] {
  const kids = (keys: Rotation['retire']) => keys.map(({ kid }) => kid).join(', ')
  const begun = signer && !make ? [`${signer.kid} is new and signs already, by a run before this one`] : []
  return [
    alg,
    ...(make && signer ? [`a new key in place of ${signer.kid}`] : begun),
    ...(retire.length > 0 ? [`${disable ? 'disabled' : 'passive'}: ${kids(retire)}`] : []),
    ...(keep.length > 0 ? [`as it is, and still verifies: ${kids(keep)}`] : []),
  ]
}

export function endsWords({ rotations, disable, set, signed }: Ahead): string[] {
  const [secret, open] = [rotations.filter(({ alg }) => isSecret(alg)), rotations.filter(({ alg }) => !isSecret(alg))]
  if (!disable) {
    // Keycloak verifies the cookie of a login under way with the key that signs, and with no other of that algorithm.
    const underWay = secret.some(({ make }) => make) ? ' but logins under way, which have to begin again' : ''
    return [
      `nothing${underWay}: what the old keys signed is taken until its own end, since they still verify. --disable ends it`,
    ]
  }
  const { logins, clients, offline, serviceAccounts } = signed
  const jobs =
    serviceAccounts === undefined
      ? 'those of service accounts among them, which were not counted: this token may not list clients'
      : `those of ${many(serviceAccounts, 'service account')} among them`
  const stays = [...new Set(set.keys.flatMap(({ alg }) => (isSecret(alg) ? [alg] : [])))]
  return [
    ...(open.length > 0 ? [`access and ID tokens (${algsOf(open)}), ${jobs}`] : []),
    ...(secret.length > 0
      ? [
          `everybody’s login at Keycloak (${algsOf(secret)}): ${many(logins, 'session')} at ${many(clients, 'client')} and ${many(offline, 'offline session')}, with cookies, refresh tokens, mailed links and logins under way`,
        ]
      : [`not refresh tokens and cookies: they are signed with ${stays.join(', ')}, which stays as it is`]),
    'not the sessions that applications keep themselves: sign everybody out in the realm to end these as well',
  ]
}

export function hurtsWords({ rotations, disable, signed, ownTokenEnds }: Ahead): string[] {
  const open = rotations.filter(({ alg, make }) => make !== undefined && !isSecret(alg))
  const saml = signed.saml ?? 0
  return [
    ...(open.length > 0
      ? [
          'an application or API that keeps the realm’s keys refuses what the new one signs until it reads them anew: at once where it looks for a key that it does not know, else after 5 minutes as a rule, some at their next restart',
        ]
      : []),
    ...(disable && open.length > 0
      ? ['and it takes what a disabled key has signed, also what a thief signs, for as long']
      : []),
    ...(open.length > 0 && saml > 0
      ? [`${many(saml, 'SAML client')} may have the realm’s certificate by hand, and must be given the new one`]
      : []),
    ...(ownTokenEnds
      ? ['this command’s own token (LOGOUT_RELAY_TOKEN) ends with its key, so that nothing is watched']
      : []),
  ]
}

/** What is left of the work after an interruption. @param done kids of new keys by algorithm, and of old ones */
export function leftWords(
  rotations: readonly Rotation[],
  disable: boolean,
  done: { readonly made: ReadonlyMap<string, string>; readonly retired: ReadonlySet<string> },
): string[] {
  return rotations.flatMap(({ alg, make, signer, retire }) => [
    ...(make && signer && !done.made.has(alg) ? [`${alg}: no new key yet, ${signer.kid} signs`] : []),
    ...retire.flatMap(({ kid }) =>
      done.retired.has(kid) ? [] : [`${alg}: ${kid} is not ${disable ? 'disabled' : 'passive'} yet`],
    ),
  ])
}

const algsOf = (rotations: readonly Rotation[]) => rotations.map(({ alg }) => alg).join(', ')
