import { setTimeout as delay } from 'node:timers/promises'
import { startWorld, type World } from '../scripts/demo/world.ts'
import { type OrdersApi, startOrders } from '../scripts/stage/orders.ts'
import { startPostgres } from '../scripts/stage/postgres.ts'
import { until } from '../scripts/stage/process.ts'
import { figure, type Line, type Size } from './stats.ts'

const JOB = 'bench-job'
const API = 'orders-api'
/** Of each round: a p99 takes some hundred. */
const CHANGES = 10
const WARM_UP = 10

/**
 * From the answer to a new client secret until a guarded API refuses a token that the old one got: real Keycloak on PostgreSQL,
 * relay and API, each a process of its own. It includes the request by which the refusal is seen, whose time stands beside it.
 */
export async function workload({ rounds }: Size): Promise<Line[]> {
  const postgres = await startPostgres()
  try {
    const world = await startWorld((what) => void process.stderr.write(`· ${what}\n`), undefined, postgres)
    try {
      const orders = await startOrders({
        issuer: world.demo.issuer,
        clientId: API,
        clientSecret: world.appSecret,
        relayUrl: world.relay.url,
      })
      try {
        return await refusals(world, orders, rounds * CHANGES)
      } finally {
        await orders.stop()
      }
    } finally {
      await world.stop()
    }
  } finally {
    await postgres.stop()
  }
}

async function refusals({ demo }: World, orders: OrdersApi, times: number): Promise<Line[]> {
  const { admin, tokens } = demo
  await admin.createClient({
    clientId: JOB,
    serviceAccountsEnabled: true,
    standardFlowEnabled: false,
    protocolMappers: [
      {
        name: API,
        protocol: 'openid-connect',
        protocolMapper: 'oidc-audience-mapper',
        config: { 'included.client.audience': API, 'access.token.claim': 'true' },
      },
    ],
  })
  const path = `/clients/${await admin.clientUuid(JOB)}/client-secret`
  const newSecret = async () => (await admin.must<{ value: string }>('POST', path)).json().value
  const [refused, asked]: [number[], number[]] = [[], []]
  let secret = await newSecret()
  for (let n = -WARM_UP; n < times; n++) {
    // What is asked for in the second of a change is answered 503.
    await delay(1100)
    const token = await tokens.serviceAccount(JOB, secret)
    await until('the API takes the token', async () => (await orders.status(token)) === 200)
    const began = performance.now()
    await orders.status(token)
    const one = performance.now() - began
    await delay(1100)
    secret = await newSecret()
    const changed = performance.now()
    await until('the API refuses it', async () => (await orders.status(token)) === 401, { everyMs: 1 })
    if (n >= 0) {
      refused.push(performance.now() - changed)
      asked.push(one)
    }
  }
  return [
    {
      what: 'a new client secret to a guarded API refusing a token of the old one',
      unit: 'ms',
      figure: figure(refused),
      goal: ['p99', 'at most', 100],
    },
    { what: 'one request at that API', unit: 'ms', figure: figure(asked) },
  ]
}
