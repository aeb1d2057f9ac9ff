import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { RelayError } from '../../errors.ts'
import { mustBeEncrypted, realmAt, Rest, type Wanted } from './rest.ts'

/** A node that has not heard reads the client anew once it was asked, as a rule. */
const MOST_LOOKS = 5
const LOOK_MS = 1000

const State = z.object({
  id: z.string(),
  has_secret: z.boolean(),
  /** All times are by this clock, the database's. */
  now_ms: z.number(),
  rotation: z.object({ id: z.string() }).optional(),
})
export const Secret = z.object({ value: z.string().min(1) })
const Current = z.object({ current: z.boolean() })

/** When a client's secret was changed last, as `GET client-rotations/state` has it. */
export type SecretState = z.infer<typeof State>

/**
 * One client's secret, for an agent that may view that client and nothing else.
 *
 * Both throw RelayError: `access_denied` where the token may not, `not_found`, `idp_unavailable`.
 */
export interface ClientSecret {
  state(): Promise<SecretState>
  /** That of now, by the database: a node may not have heard of a change. */
  current(uuid: string): Promise<string>
}

/** @param ca certificates of CAs (PEM) that are trusted in addition */
export function clientSecretOf(
  { issuer, clientId, ca }: { readonly issuer: string; readonly clientId: string; readonly ca?: string | undefined },
  token: () => Promise<string>,
  sleep: (ms: number) => Promise<unknown> = delay,
): ClientSecret {
  mustBeEncrypted(issuer)
  const { url, admin, extension } = realmAt(issuer)
  const rest = new Rest({ url, ca }, token)
  const judge = `${extension}/client-rotations/state`
  return {
    state: async () => {
      const state = await rest.get(`${judge}?${new URLSearchParams({ client: clientId }).toString()}`, State)
      if (!state.has_secret) {
        throw new RelayError(
          'not_found',
          `The client ${clientId} has no secret: it is public, or proves itself by keys or a certificate`,
        )
      }
      return state
    },
    current: (uuid) =>
      secretOfNow(rest, clientId, { shown: { path: secretAt(admin, uuid) }, judge: { path: judge } }, sleep),
  }
}

type Asked = Pick<Wanted, 'right'> & { readonly path: string }

export function secretAt(admin: string, uuid: string): string {
  return `${admin}/clients/${encodeURIComponent(uuid)}/client-secret`
}

/**
 * A node that has not heard of a change shows the secret of before, and is asked again.
 *
 * @param judge where the extension says whether that is the one of now
 * @throws RelayError `idp_unavailable` where the node does not hear of it; else as `Rest` does
 */
export async function secretOfNow(
  rest: Rest,
  client: string,
  { shown, judge }: { readonly shown: Asked; readonly judge: Asked },
  sleep: (ms: number) => Promise<unknown>,
): Promise<string> {
  for (let looks = 1; looks <= MOST_LOOKS; looks++) {
    const { value } = await rest.read(shown.path, Secret, shown)
    if ((await rest.read(judge.path, Current, { ...judge, json: { client, secret: value } })).current) {
      return value
    }
    await sleep(LOOK_MS)
  }
  throw new RelayError(
    'idp_unavailable',
    'The node of Keycloak that answers has not heard which secret of the client counts, so none was taken from it: run this again',
  )
}
