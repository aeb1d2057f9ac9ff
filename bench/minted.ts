import { setTimeout as delay } from 'node:timers/promises'
import type { Delivery, SecurityEvent } from '../relay/domain/model.ts'
import { plan } from '../relay/domain/plan.ts'
import { Keycloak } from '../relay/idp/keycloak/keycloak.ts'
import { verifySet } from '../relay/ingest/set.ts'
import { DEMO_REALM, demoRealm } from '../scripts/stage/demo-realm.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../scripts/stage/keycloak.ts'
import { until } from '../scripts/stage/process.ts'
import { TokenEndpoint } from '../scripts/stage/tokens.ts'
import { openEngine } from './engine.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

const MOST_ROUNDS = 5
const ORIGINS = 200
const SECRET = 'secret-of-a-bench'
/** What Keycloak signs fastest with: more at once did not help it. */
const CEILING = { batch: 50, atOnce: 4 }

/**
 * One event to so many relying parties, signed by a real Keycloak, beside what that Keycloak can sign of the same sessions
 * with nobody told, in turn. Keycloak is told of no answers, so that the same sessions can be minted for again.
 */
export async function minted({ rounds, share }: Size): Promise<Line[]> {
  const receivers = await startReceivers({ origins: ORIGINS })
  const keycloak = await startKeycloak({
    jars: [EXTENSION_JAR],
    realms: [DEMO_REALM],
    env: demoRealm(SECRET, {}, SECRET),
  })
  const issuer = keycloak.issuer('demo')
  const realm = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: SECRET, allowHttp: true })
  try {
    const lines: Line[] = []
    const clients = scaled(1000, share)
    await makeClients(keycloak, receivers, clients)
    for (const sessions of [clients, 10 * clients]) {
      const events = await resetOf(keycloak, realm, clients, sessions)
      const ours: number[] = []
      const alone: number[] = []
      for (let round = -1; round < Math.min(rounds, MOST_ROUNDS); round++) {
        const perSecond = [await deliver(realm, receivers, clients, events), await sign(realm, events)] as const
        if (round >= 0) {
          ours.push((sessions * 1000) / perSecond[0])
          alone.push((sessions * 1000) / perSecond[1])
        }
      }
      lines.push(
        { what: `1 event to ${sessions}, minted by Keycloak`, unit: 'per second', figure: figure(ours) },
        { what: `that Keycloak signing for the same ${sessions} alone`, unit: 'per second', figure: figure(alone) },
        {
          what: `share of what that Keycloak can sign, ${sessions}`,
          unit: 'ratio',
          figure: figure(ours.map((each, n) => each / (alone[n] ?? Number.NaN))),
          goal: ['median', 'at least', 0.85],
        },
      )
    }
    return lines
  } finally {
    await realm.close()
    await keycloak.stop()
    receivers.stop()
  }
}

async function makeClients({ admin }: KeycloakServer, { origins }: Receivers, count: number): Promise<void> {
  // The passwords are nobody's: a thousand logins shall not take minutes.
  await admin.must('PUT', '/demo', { passwordPolicy: 'hashAlgorithm(pbkdf2-sha256) and hashIterations(1)' })
  await inLanes(count, (n) =>
    admin.createClient('demo', {
      clientId: `client-${n}`,
      publicClient: true,
      directAccessGrantsEnabled: true,
      attributes: { 'backchannel.logout.url': `${origins[n % origins.length] ?? ''}/${n}` },
    }),
  )
}

/** The events of a real reset of somebody with so many sessions, as the outbox hands them out. */
async function resetOf(
  { admin }: KeycloakServer,
  realm: Keycloak,
  clients: number,
  sessions: number,
): Promise<SecurityEvent[]> {
  const name = `bench-${sessions}`
  const user = await admin.createUser('demo', name, 'password')
  const tokens = new TokenEndpoint(realm.issuer)
  await inLanes(sessions, (n) => tokens.directGrant(`client-${n % clients}`, name, 'password'))
  await delay(1100)
  await admin.resetPassword('demo', user, 'password')
  const events = new Map<string, SecurityEvent>()
  const keysOf = () => realm.keys()
  await until(
    'the outbox has all of it',
    async () => {
      for (const [jti, set] of Object.entries((await realm.poll(50, [], {})).sets)) {
        const event = await verifySet(set, keysOf, 'logout-relay', Date.now())
        if (event.subject === user) {
          events.set(jti, event)
        }
      }
      return [...events.values()].reduce((sum, event) => sum + event.sessions.length, 0) === sessions
    },
    { seconds: 120, everyMs: 200 },
  )
  return [...events.values()]
}

async function deliver(
  realm: Keycloak,
  receivers: Receivers,
  clients: number,
  events: readonly SecurityEvent[],
): Promise<number> {
  const engine = openEngine({
    receivers,
    relyingParties: clients,
    issuer: realm.issuer,
    idp: {
      mint: (deliveries) => realm.mint(deliveries),
      report: (ended) => Promise.resolve(ended.map(({ id }) => id)),
    },
  })
  const ms = await engine.deliverAll(events, () => true)
  await engine.close()
  return ms
}

async function sign(realm: Keycloak, events: readonly SecurityEvent[]): Promise<number> {
  const deliveries = events.flatMap((event) => plan(event, Date.now()).deliveries)
  const batches: Delivery[][] = []
  for (let from = 0; from < deliveries.length; from += CEILING.batch) {
    batches.push(deliveries.slice(from, from + CEILING.batch))
  }
  const began = performance.now()
  await inLanes(batches.length, (n) => realm.mint(batches[n] ?? []), CEILING.atOnce)
  return performance.now() - began
}

async function inLanes(count: number, act: (n: number) => Promise<unknown>, lanes = 8): Promise<void> {
  let next = 0
  const lane = async () => {
    for (let n = next++; n < count; n = next++) {
      await act(n)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}
