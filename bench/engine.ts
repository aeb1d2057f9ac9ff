import { randomUUID, randomUUIDv7 } from 'node:crypto'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { relaySigned } from '../relay/delivery/backchannel/signer.ts'
import { backchannelAt } from '../relay/delivery/backchannel/target.ts'
import { logoutToken } from '../relay/delivery/backchannel/token.ts'
import { openKinds } from '../relay/delivery/kinds.ts'
import { openPost } from '../relay/delivery/post.ts'
import type { SecurityEvent } from '../relay/domain/model.ts'
import { Flow } from '../relay/flow/flow.ts'
import type { Idp } from '../relay/flow/ports.ts'
import { systemClock } from '../relay/run/open.ts'
import { RelyingParties } from '../relay/registry/registry.ts'
import { createKey } from '../relay/signing/acts.ts'
import { type Algorithm, readRelayKey } from '../relay/signing/key.ts'
import { RealmKeys } from '../relay/signing/realm-keys.ts'
import { openSqliteStore } from '../relay/store/sqlite/sqlite.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import type { Receivers } from './receivers.ts'

export const ISSUER = 'http://127.0.0.1/realms/bench'
const MOST_SESSIONS_IN_A_SET = 500
/** What the bare loop has in flight; more did not make it faster. */
const RAW_IN_FLIGHT = 64

export interface EngineOptions {
  readonly receivers: Receivers
  readonly relyingParties: number
  readonly alg?: Algorithm
  /** What mints; else the relay with a key of its own. */
  readonly idp?: Idp
  readonly issuer?: string
  /** An existing store; else an empty one. */
  readonly file?: string
  /** The logout URLs of these hang. */
  readonly hung?: number
  readonly concurrency?: number
}

/** The relay's flow, signer, sender and SQLite store as they run in the product. */
export function openEngine(options: EngineOptions) {
  const { receivers, relyingParties: count, alg = 'ES256', hung = 0, concurrency = 4, issuer = ISSUER } = options
  const { origins, ca } = receivers
  const store = openSqliteStore(options.file ?? join(temporary('bench'), 'relay.db'))
  const own = ownKey(alg)
  const registry = new RelyingParties({
    allowHttpOnLoopback: true,
    allowAddresses: [],
    timeoutMs: 10_000,
    concurrency,
    overrides: [],
  })
  const uri = (n: number) => `${origins[n % origins.length] ?? ''}${n < hung ? '/hang' : `/${n}`}`
  const parties = Array.from({ length: count }, (_, n) => ({
    issuer,
    clientId: `client-${n}`,
    target: backchannelAt(uri(n)),
    enabled: true,
  }))
  registry.replace(issuer, parties)
  const rawAgent = new Agent({ connect: ca === undefined ? {} : { ca }, allowH2: false })
  const way = openPost(ca === undefined ? {} : { ca })
  const trouble = (what: string, cause: unknown) => void process.stderr.write(`TROUBLE ${what}: ${String(cause)}\n`)
  /** Who waits for a delivery: looked up, so that what is measured does not slow down with what is under way. */
  const waiting = new Map<string, () => void>()
  /** Called with how many have been delivered in all; nothing else is kept of them. */
  let counted: (delivered: number) => void = () => undefined
  let total = 0
  const flow = new Flow({
    store,
    idps: new Map([[issuer, options.idp ?? own.idp]]),
    registry,
    deliverers: openKinds({
      ...{ post: way.post, trouble },
      nowMs: () => systemClock.nowMs(),
      sleep: (ms, signal) => systemClock.sleep(ms, signal),
    }),
    clock: systemClock,
    random: Math.random,
    observer: {
      received: () => undefined,
      attempted: ({ delivery, outcome }) => {
        if (outcome === 'delivered') {
          waiting.get(delivery)?.()
          waiting.delete(delivery)
          counted(++total)
        }
      },
      watched: () => undefined,
      refusedAfter: () => undefined,
      dismissed: () => undefined,
      lane: () => undefined,
      changed: () => undefined,
      trouble,
    },
  })
  flow.start()

  /** @param clients the numbers of the clients that the subject has a session at, one each time it is named */
  function event(clients: readonly number[], { txn, sidAt, part, parts, privileged }: Part): SecurityEvent {
    const jti = randomUUIDv7()
    return {
      issuer,
      jti,
      txn,
      type: 'https://schemas.openid.net/secevent/caep/event-type/credential-change',
      trigger: 'admin-reset-password',
      subject: randomUUID(),
      watermarkMs: Date.now(),
      removedAtMs: Date.now(),
      part,
      parts,
      scope: 'subject',
      privileged,
      shadow: false,
      survivors: 0,
      steps: {},
      sessions: clients.map((n, at) => {
        const id = `${jti}.${at}`
        const session = {
          id,
          clientId: `client-${n}`,
          sid: sidAt(n),
          named: { ...backchannelAt(uri(n)), alg },
        }
        return { ...session, latestEndMs: Date.now() + 86_400_000 }
      }),
    }
  }

  /** Resolves to the milliseconds until the outcome of the last delivery that counts is durable. */
  async function deliverAll(events: readonly SecurityEvent[], counts: (clientId: string) => boolean): Promise<number> {
    const owed = events.flatMap(({ sessions }) => sessions.filter((s) => counts(s.clientId)).map(({ id }) => id))
    const began = performance.now()
    const done = new Promise<void>((resolve) => {
      let left = owed.length
      for (const id of owed) {
        waiting.set(id, () => {
          left -= 1
          if (left === 0) {
            resolve()
          }
        })
      }
    })
    await Promise.all(events.map((one) => flow.receive(one, 'push')))
    await done
    return performance.now() - began
  }

  function eventsOf(clients: readonly number[], { privileged = false }: { privileged?: boolean } = {}) {
    const txn = randomUUIDv7()
    // A client that is named again has another login: the end of a session is the end of all that is owed for it.
    const logins: string[] = []
    const named = new Map<number, number>()
    const sidAt = (client: number): string => {
      const nth = named.get(client) ?? 0
      named.set(client, nth + 1)
      return (logins[nth] ??= randomUUID())
    }
    const parts = Math.ceil(clients.length / MOST_SESSIONS_IN_A_SET)
    return Array.from({ length: parts }, (_, n) =>
      event(clients.slice(n * MOST_SESSIONS_IN_A_SET, (n + 1) * MOST_SESSIONS_IN_A_SET), {
        ...{ txn, sidAt, parts, privileged },
        part: n + 1,
      }),
    )
  }

  return {
    uri,
    deliverAll,
    /** One event, in as many parts as it takes, about one session at each client each time it is named. */
    deliver(
      clients: readonly number[],
      { counts = () => true, ...how }: { counts?: (clientId: string) => boolean; privileged?: boolean } = {},
    ): Promise<number> {
      return deliverAll(eventsOf(clients, how), counts)
    },
    /** The same, and resolves when it is accepted. */
    async accept(clients: readonly number[]): Promise<void> {
      await Promise.all(eventsOf(clients).map((one) => flow.receive(one, 'push')))
    },
    /** Resolves when so many have been delivered from now on. */
    delivered(count: number): Promise<void> {
      const last = total + count
      return new Promise((resolve) => (counted = (so) => so === last && resolve()))
    },
    /** The bare loop: sign and POST to the same receivers, nothing stored, nothing judged. */
    raw: (clients: readonly number[]) =>
      rawLoop(
        clients.map((n): [string, string] => [`client-${n}`, uri(n)]),
        own.sign,
        rawAgent,
      ),
    async close() {
      await flow.stop()
      await way.close()
      await rawAgent.destroy()
      await store.close()
    },
  }
}

interface Part {
  readonly txn: string
  /** Of the login that the client's next session is of. */
  readonly sidAt: (client: number) => string
  readonly part: number
  readonly parts: number
  readonly privileged: boolean
}

/** A key of the relay's that the realm has published for long enough; there is no realm. */
function ownKey(alg: Algorithm) {
  const place = { alg, file: join(temporary('bench'), 'key.pem') }
  createKey(place)
  const key = readRelayKey(place.file, alg)
  const silent = () => undefined
  const keys = new RealmKeys({ places: [place], publishedForMs: 0, tell: silent, trouble: silent })
  keys.look([{ ...key.publicJwk, kid: 'bench', alg }], Date.now())
  const realm: Idp = {
    mint: () => Promise.reject(new Error('Everything here is a first attempt, which the relay signs')),
    report: (ended) => Promise.resolve(ended.map(({ id }) => id)),
  }
  const nowMs = () => Date.now()
  return {
    idp: { ...realm, ...relaySigned({ issuer: ISSUER, realm, keys, nowMs, made: silent, trouble: silent }) },
    sign: (aud: string, sid: string) => logoutToken(key, 'bench', { iss: ISSUER, aud, sid }, nowMs()),
  }
}

async function rawLoop(
  to: readonly (readonly [string, string])[],
  mint: (clientId: string, sid: string) => Promise<string>,
  dispatcher: Agent,
): Promise<number> {
  const began = performance.now()
  let next = 0
  const lane = async () => {
    for (let at = next++; at < to.length; at = next++) {
      const [clientId, uri] = to[at] ?? ['', '']
      const { body } = await request(uri, {
        dispatcher,
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: `logout_token=${await mint(clientId, String(at))}`,
      })
      await body.dump()
    }
  }
  await Promise.all(Array.from({ length: RAW_IN_FLIGHT }, lane))
  return performance.now() - began
}
