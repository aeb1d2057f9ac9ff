import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { Secret, secretAt, secretOfNow } from './client-secret.ts'
import { mustBeEncrypted, realmAt, Rest, type Wanted } from './rest.ts'

const MANAGE = 'manage-clients of realm-management'
const OPERATE = 'operate of the client logout-relay'
/** What is meant by a change of a secret: the extension refuses, in its transaction, one that is not that. */
const HEADER = 'logout-relay-rotation'
const BEGIN = 'begin'

const Caller = z.object({
  secret: z.enum(['new', 'old', 'refused']),
  address: z.string(),
  user_agent: z.string(),
  uses: z.number(),
  first_ms: z.number(),
  last_ms: z.number(),
})
const Rotation = z.object({
  id: z.string(),
  begun_ms: z.number(),
  new_seen_ms: z.number().optional(),
  old_last_ms: z.number().optional(),
  /** Up to when what the client has may have been had by the old secret; there once the new one was seen. */
  reaches_ms: z.number().optional(),
  retired_ms: z.number().optional(),
  callers: z.array(Caller),
})
const Report = z.object({
  client_id: z.string(),
  id: z.string(),
  has_secret: z.boolean(),
  token_lifespan_s: z.number(),
  /** All times are by this clock, the database's. */
  now_ms: z.number(),
  old_valid_until_ms: z.number().optional(),
  rotation: Rotation.optional(),
})

/** Who has come with which secret, and how often. */
export type SecretCaller = z.infer<typeof Caller>
/** How far the newest change of a client's secret has come, as `GET client-rotations` has it. */
export type SecretReport = z.infer<typeof Report>

/**
 * One client's secrets, by a person's own token: Keycloak's Admin API makes, shows and withdraws them (role manage-clients of
 * realm-management), the extension says who comes with which (role operate).
 *
 * All throw RelayError: `access_denied` where the token may not, `not_found`, `idp_unavailable`.
 */
export interface ClientSecrets {
  report(): Promise<SecretReport>
  /** A new one beside the old; undefined where the old one would have ended with it, and nothing was changed. */
  makeBeside(uuid: string): Promise<string | undefined>
  /** A new one. Whether the old one goes on to count is the realm's policy. */
  make(uuid: string): Promise<string>
  /** That of now: a node that has not heard of a change shows the one of before, and is asked again. */
  current(uuid: string): Promise<string>
  /**
   * @param rotation only of this one, and only if its new secret was seen; what that one got lives on
   * @returns whether it was withdrawn
   */
  withdraw(uuid: string, rotation?: string): Promise<boolean>
}

/** @param ca certificates of CAs (PEM) that are trusted in addition */
export function secretsOf(
  issuer: string,
  clientId: string,
  token: () => Promise<string>,
  ca?: string,
  sleep: (ms: number) => Promise<unknown> = delay,
): ClientSecrets {
  mustBeEncrypted(issuer)
  const { url, admin, extension } = realmAt(issuer)
  const rest = new Rest({ url, ca }, token)
  /** Undefined where the extension refuses it in its transaction (400), or two changes of one client have met (409). */
  const unlessRefused = async (path: string, meant: Wanted) => {
    const wanted = { ...meant, right: MANAGE }
    const answer = await rest.ask(path, wanted)
    return [400, 409].includes(answer.status) ? undefined : rest.taken(answer, path, wanted)
  }
  return {
    report: async () => {
      const query = new URLSearchParams({ client: clientId }).toString()
      return rest.get(`${extension}/client-rotations?${query}`, Report, OPERATE)
    },
    makeBeside: async (uuid) => {
      const path = secretAt(admin, uuid)
      const made = await unlessRefused(path, { method: 'POST', headers: { [HEADER]: BEGIN } })
      return made && rest.parsed(made, path, Secret).value
    },
    make: async (uuid) => (await rest.read(secretAt(admin, uuid), Secret, { method: 'POST', right: MANAGE })).value,
    current: (uuid) => {
      const shown = { path: secretAt(admin, uuid), right: MANAGE }
      return secretOfNow(
        rest,
        clientId,
        { shown, judge: { path: `${extension}/client-rotations`, right: OPERATE } },
        sleep,
      )
    },
    withdraw: async (uuid, rotation) => {
      const path = `${secretAt(admin, uuid)}/rotated`
      if (rotation === undefined) {
        await rest.send(path, { method: 'DELETE', right: MANAGE })
        return true
      }
      return (await unlessRefused(path, { method: 'DELETE', headers: { [HEADER]: rotation } })) !== undefined
    },
  }
}
