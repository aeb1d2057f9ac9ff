import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { type ChildProcess, fork } from 'node:child_process'
import { randomUUID, randomUUIDv7 } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serve } from '@hono/node-server'
import { Agent, request } from 'undici'
import { plan } from '../relay/domain/plan.ts'
import { pushRoute } from '../relay/ingest/push.ts'
import { verifySet } from '../relay/ingest/set.ts'
import { systemClock } from '../relay/run/open.ts'
import { openSqliteStore } from '../relay/store/sqlite/sqlite.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import { ISSUER } from './engine.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

const SENDERS = 100
const EVENTS = 1000
const MOST_ROUNDS = 7

/** Pushed SETs of two sessions, verified, stored, answered; beside the same without HTTP: verify and group commit alone. */
export async function eventsIn({ rounds, share }: Size): Promise<Line[]> {
  const events = scaled(EVENTS, share)
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256' }] })
  const store = openSqliteStore(join(temporary('bench'), 'relay.db'))
  const verify = (set: string) => verifySet(set, () => Promise.resolve(keys), 'logout-relay', Date.now())
  const receive = async (event: Awaited<ReturnType<typeof verify>>) => store.accept(event, plan(event, Date.now()))
  const refused = (code: string, why: string) => void process.stderr.write(`${code} ${why}\n`)
  const app = pushRoute({ verify, receive, refused, clock: systemClock })
  const { server, port } = await new Promise<{ server: ReturnType<typeof serve>; port: number }>((resolve) => {
    const listening = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, (address) =>
      resolve({ server: listening, port: address.port }),
    )
  })
  const senders = fork(fileURLToPath(import.meta.url), [`http://127.0.0.1:${port}/events`])
  const ours: number[] = []
  const alone: number[] = []
  for (let round = -1; round < Math.min(rounds, MOST_ROUNDS); round++) {
    const sets = await Promise.all(Array.from({ length: 2 * events }, () => signedSet(privateKey)))
    const perSecond = [
      await pushedRate(senders, sets.slice(0, events)),
      await rate(sets.slice(events), async (set) => {
        await receive(await verify(set))
      }),
    ] as const
    if (round >= 0) {
      ours.push(perSecond[0])
      alone.push(perSecond[1])
    }
  }
  senders.disconnect()
  server.close()
  await store.close()
  return [
    { what: `events in, ${SENDERS} senders in a process of their own`, unit: 'per second', figure: figure(ours) },
    { what: 'verify and group commit alone', unit: 'per second', figure: figure(alone) },
    {
      what: 'events in, share of verify and group commit alone',
      unit: 'ratio',
      figure: figure(ours.map((each, n) => each / (alone[n] ?? Number.NaN))),
      goal: ['median', 'at least', 0.8],
    },
  ]
}

async function rate(sets: readonly string[], act: (set: string) => Promise<void>): Promise<number> {
  const began = performance.now()
  let next = 0
  const sender = async () => {
    for (let at = next++; at < sets.length; at = next++) {
      await act(sets[at] ?? '')
    }
  }
  await Promise.all(Array.from({ length: SENDERS }, sender))
  return (sets.length * 1000) / (performance.now() - began)
}

async function pushedRate(senders: ChildProcess, sets: readonly string[]): Promise<number> {
  senders.send(sets)
  const ended = once(senders, 'exit').then(() => Promise.reject(new Error('The senders ended: a push was not taken')))
  const [perSecond] = (await Promise.race([once(senders, 'message'), ended])) as [number]
  return perSecond
}

/** In the process of the senders: pushes what it is given, and answers with the rate. */
function sendTo(url: string): void {
  const dispatcher = new Agent({ allowH2: false })
  const push = async (set: string) => {
    const headers = { 'content-type': 'application/secevent+jwt' }
    const { statusCode, body } = await request(url, { dispatcher, method: 'POST', headers, body: set })
    await body.dump()
    if (statusCode !== 202) {
      throw new Error(`A push was answered ${statusCode}`)
    }
  }
  process.on('message', (sets: readonly string[]) => {
    void rate(sets, push).then((perSecond) => process.send?.(perSecond))
  })
  process.once('disconnect', () => process.exit(0))
}

function signedSet(key: CryptoKey): Promise<string> {
  const jti = randomUUIDv7()
  const now = Math.floor(Date.now() / 1000)
  const sessions = [0, 1].map((at) => ({
    id: `${jti}.${at}`,
    client_id: `client-${at}`,
    sid: randomUUID(),
    backchannel_logout_uri: 'https://rp.example.org/logout',
    latest_end: now + 2_592_000,
  }))
  const event = {
    trigger: 'admin-reset-password',
    watermark_ms: now * 1000,
    removed_at_ms: now * 1000,
    part: 1,
    parts: 1,
    sessions,
  }
  return new SignJWT({
    iss: ISSUER,
    aud: 'logout-relay',
    iat: now,
    jti,
    txn: jti,
    sub_id: { format: 'iss_sub', iss: ISSUER, sub: randomUUID() },
    events: { 'https://schemas.openid.net/secevent/caep/event-type/credential-change': { 'logout-relay': event } },
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'bench', typ: 'secevent+jwt' })
    .sign(key)
}

const given = process.argv[2]
if (process.argv[1] === fileURLToPath(import.meta.url) && given !== undefined) {
  sendTo(given)
}
