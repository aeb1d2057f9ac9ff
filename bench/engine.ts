import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { openSender } from '../relay/delivery/sender.ts'
import type { SecurityEvent } from '../relay/domain/model.ts'
import { Flow } from '../relay/flow/flow.ts'
import type { AttemptLine, Idp } from '../relay/flow/ports.ts'
import { systemClock } from '../relay/main.ts'
import { RelyingParties } from '../relay/registry/registry.ts'
import { openSqliteStore } from '../relay/store/sqlite/sqlite.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import type { Receivers } from './receivers.ts'

export type Alg = 'ES256' | 'RS256'

export const ISSUER = 'http://127.0.0.1/realms/bench'
const MOST_SESSIONS_IN_A_SET = 500
/** What the bare loop has in flight; more did not make it faster. */
const RAW_IN_FLIGHT = 64

const signAsync = promisify(sign)
const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Signs a logout token in this process. In place of the relay-held key of docs/design.md, which is not built yet. */
export function signer(alg: Alg): (clientId: string, sid: string) => Promise<string> {
  const { privateKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key: KeyObject = privateKey
  const header = encoded({ alg, kid: 'bench', typ: 'logout+jwt' })
  return async (clientId, sid) => {
    const iat = Math.floor(Date.now() / 1000)
    const claims = {
      iss: ISSUER,
      aud: clientId,
      iat,
      exp: iat + 120,
      jti: randomUUID(),
      sid,
      sub: 'subject',
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    }
    const input = `${header}.${encoded(claims)}`
    const signature = await signAsync('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
    return `${input}.${signature.toString('base64url')}`
  }
}

export interface EngineOptions {
  readonly receivers: Receivers
  readonly relyingParties: number
  readonly alg?: Alg
  /** An existing store; else an empty one. */
  readonly file?: string
  /** The logout URLs of these hang. */
  readonly hung?: number
  readonly concurrency?: number
}

export type Engine = ReturnType<typeof openEngine>

/** The relay's flow, sender and SQLite store as they run in the product; a signer in this process mints. */
export function openEngine(options: EngineOptions) {
  const { receivers, relyingParties: count, alg = 'ES256', hung = 0, concurrency = 4 } = options
  const { origins, ca } = receivers
  const store = openSqliteStore(options.file ?? join(temporary('bench'), 'relay.db'))
  const mint = signer(alg)
  const clientOf = new Map<string, string>()
  const registry = new RelyingParties({
    allowHttpOnLoopback: true,
    allowAddresses: [],
    timeoutMs: 10_000,
    concurrency,
    overrides: [],
  })
  const uri = (n: number) => `${origins[n % origins.length] ?? ''}${n < hung ? '/hang' : `/${n}`}`
  const parties = Array.from({ length: count }, (_, n) => ({
    issuer: ISSUER,
    clientId: `client-${n}`,
    logoutUri: uri(n),
    sessionRequired: true,
    enabled: true,
  }))
  registry.replace(ISSUER, parties)
  const idp: Idp = {
    mint: async (deliveries) => {
      const tokens = await Promise.all(
        deliveries.map(async ({ id, clientId }): Promise<[string, string]> => [id, await mint(clientId, id)]),
      )
      return { tokens: new Map(tokens), refused: new Map() }
    },
    report: (ended) => {
      ended.forEach(({ id }) => clientOf.delete(id))
      return Promise.resolve(ended.map(({ id }) => id))
    },
  }
  const rawAgent = new Agent({ connect: ca === undefined ? {} : { ca }, allowH2: false })
  const sender = openSender(ca === undefined ? {} : { ca })
  const watchers = new Set<(line: AttemptLine) => void>()
  const flow = new Flow({
    store,
    idps: new Map([[ISSUER, idp]]),
    registry,
    send: sender.send,
    clock: systemClock,
    random: Math.random,
    observer: {
      received: () => undefined,
      attempted: (line) => watchers.forEach((watch) => watch(line)),
      watched: () => undefined,
      dismissed: () => undefined,
      lane: () => undefined,
      changed: () => undefined,
      trouble: (what, cause) => void process.stderr.write(`TROUBLE ${what}: ${String(cause)}\n`),
    },
  })
  flow.start()

  /** @param clients the numbers of the clients that the subject has a session at, one each time it is named */
  function event(clients: readonly number[], txn: string, part = 1, parts = 1): SecurityEvent {
    const jti = randomUUID()
    return {
      issuer: ISSUER,
      jti,
      txn,
      type: 'https://schemas.openid.net/secevent/caep/event-type/credential-change',
      trigger: 'admin-reset-password',
      subject: 'subject',
      watermarkMs: Date.now(),
      removedAtMs: Date.now(),
      part,
      parts,
      scope: 'subject',
      privileged: false,
      shadow: false,
      survivors: 0,
      steps: {},
      sessions: clients.map((n, at) => {
        const id = `${jti}.${at}`
        clientOf.set(id, `client-${n}`)
        return { id, clientId: `client-${n}`, sid: id, logoutUri: uri(n), latestEndMs: Date.now() + 86_400_000 }
      }),
    }
  }

  return {
    store,
    flow,
    event,
    /** One event; resolves to the milliseconds until the outcome of the last delivery that counts is durable. */
    async deliver(clients: readonly number[], counts: (clientId: string) => boolean = () => true): Promise<number> {
      const txn = randomUUID()
      let left = clients.filter((n) => counts(`client-${n}`)).length
      const parts: SecurityEvent[] = []
      const all = Math.ceil(clients.length / MOST_SESSIONS_IN_A_SET)
      for (let part = 0; part < all; part++) {
        const of = clients.slice(part * MOST_SESSIONS_IN_A_SET, (part + 1) * MOST_SESSIONS_IN_A_SET)
        parts.push(event(of, txn, part + 1, all))
      }
      const began = performance.now()
      const done = new Promise<void>((resolve) => {
        const watch = ({ containment, clientId, outcome }: AttemptLine) => {
          if (containment === txn && outcome === 'delivered' && counts(clientId) && --left === 0) {
            watchers.delete(watch)
            resolve()
          }
        }
        watchers.add(watch)
      })
      await Promise.all(parts.map((part) => flow.receive(part, 'push')))
      await done
      return performance.now() - began
    },
    /** The bare loop: sign and POST to the same receivers, nothing stored, nothing judged. */
    raw: (clients: readonly number[]) =>
      rawLoop(
        clients.map((n): [string, string] => [`client-${n}`, uri(n)]),
        mint,
        rawAgent,
      ),
    async close() {
      await flow.stop()
      await sender.close()
      await rawAgent.destroy()
      await store.close()
    },
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
