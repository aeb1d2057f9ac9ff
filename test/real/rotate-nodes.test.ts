import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { secretsOf } from '../../relay/idp/keycloak/secrets.ts'
import { RealmAdmin } from '../../scripts/stage/admin.ts'
import { DEMO_REALM } from '../../scripts/stage/demo-realm.ts'
import { call } from '../../scripts/stage/http.ts'
import { type Node, type Nodes, startNodes } from '../../scripts/stage/nodes.ts'
import { type Postgres, startPostgres } from '../../scripts/stage/postgres.ts'
import { until } from '../../scripts/stage/process.ts'
import { DEMO_ENV, nextSecond, SECRET } from './demo-realm.ts'
import { inCommon } from './in-common.ts'
import { type Job, type Place, startJob, startPlace } from './jobs.ts'

// In their order: the last leaves the nodes apart.

const OPERATOR = 'logout-relay-operator'
let postgres: Postgres
let nodes: Nodes
let place: Place

beforeAll(async () => {
  postgres = await startPostgres()
  const common = inCommon(undefined, ['client-secret-rotation'])
  nodes = await startNodes({ ...common, postgres, realms: [DEMO_REALM], env: DEMO_ENV })
  const admin = new RealmAdmin(nodes.a.keycloak.admin, 'demo')
  place = await startPlace(admin, nodes.a.keycloak.issuer('demo'))
  await admin.giveRole(await admin.userId(`service-account-${OPERATOR}`), 'realm-management', 'manage-clients')
  await place.rotate()
  await nextSecond()
}, 600_000)

afterAll(async () => {
  await nodes.stop()
  await postgres.stop()
})

const realmAt = (node: Node) => `${node.url}/realms/demo`
const operator = () => place.tokens.serviceAccount(OPERATOR, SECRET)
/** As the command asks, at this node. */
const secretsAt = (node: Node, job: Job) => secretsOf(realmAt(node), job.clientId, operator)

function askAt(node: Node, { clientId }: Job, client_secret: string) {
  return node.tokens('demo').ask({ grant_type: 'client_credentials', client_id: clientId, client_secret })
}

async function isKnownAt(node: Node, token: string): Promise<boolean> {
  const form = { token, client_id: 'checker', client_secret: 'of-the-checker' }
  const url = `${realmAt(node)}/protocol/openid-connect/token/introspect`
  const answer = await call<{ active: boolean }>('POST', url, { form })
  return answer.status === 200 && answer.json().active
}

/** A job with a new secret, made at node A and seen there; its old one was used at both. */
async function startRotation() {
  const job = await startJob(place)
  await job.put({ attributes: { 'client_credentials.use_refresh_token': 'false' } })
  await nextSecond()
  const old = job.secret
  for (const node of [nodes.a, nodes.b]) {
    expect((await askAt(node, job, old)).status).toBe(200)
  }
  return { job, old }
}

/** The rotation at node A whose old secret may be withdrawn. */
async function seen(job: Job): Promise<string> {
  job.secret = (await secretsAt(nodes.a, job).makeBeside(job.uuid)) ?? ''
  expect((await askAt(nodes.a, job, job.secret)).status).toBe(200)
  const { rotation } = await secretsAt(nodes.a, job).report()
  return rotation?.id ?? ''
}

/** Uses the old secret at node B over and over. */
function startThief(job: Job, old: string) {
  const got: string[] = []
  let stopped = false
  const work = async () => {
    while (!stopped) {
      const answer = await askAt(nodes.b, job, old)
      if (answer.status === 200) {
        got.push(answer.json().access_token)
      }
    }
  }
  const all = Promise.all([work(), work(), work()])
  const stop = async () => {
    stopped = true
    await all
  }
  onTestFinished(stop)
  return { got, stop }
}

test('nothing lives that the old secret gets at one node in the moment in which it is withdrawn at the other', async () => {
  const { job, old } = await startRotation()
  const rotation = await seen(job)
  const thief = startThief(job, old)
  await until(
    'the five seconds are over',
    async () => {
      const { now_ms, rotation: seenSo } = await secretsAt(nodes.a, job).report()
      return now_ms > (seenSo?.new_seen_ms ?? Infinity) + 6000 && thief.got.length > 20
    },
    { seconds: 120 },
  )
  expect(await secretsAt(nodes.a, job).withdraw(job.uuid, rotation)).toBe(true)
  await nextSecond()
  await thief.stop()
  const all = thief.got.flatMap((token) => [nodes.a, nodes.b].map((node) => isKnownAt(node, token)))
  expect((await Promise.all(all)).filter(Boolean)).toEqual([])
  expect((await askAt(nodes.b, job, old)).status).toBe(401)
  const own = (await askAt(nodes.b, job, job.secret)).json().access_token
  expect([await isKnownAt(nodes.a, own), await isKnownAt(nodes.b, own)]).toEqual([true, true])
})

test('who uses the old secret at one node alone is named at the other, and the rotation stays open', async () => {
  const { job, old } = await startRotation()
  const rotation = await seen(job)
  expect((await askAt(nodes.b, job, old)).status).toBe(200)
  await until('the caller is named', async () => {
    const { callers = [] } = (await secretsAt(nodes.a, job).report()).rotation ?? {}
    return callers.some(({ secret }) => secret === 'old')
  })
  const { rotation: open } = await secretsAt(nodes.a, job).report()
  expect(open).toMatchObject({ id: rotation, old_last_ms: expect.any(Number) as number })
  expect(open?.retired_ms).toBeUndefined()
})

test('a node that hears nothing of the rotation gives nothing for the old secret, and shows none that is taken for the new one', async () => {
  const { job, old } = await startRotation()
  nodes.wire.cut()
  await nodes.seeEachOther(false)
  expect((await askAt(nodes.b, job, old)).status, 'it has the client as it was').toBe(200)
  const rotation = await seen(job)
  const shown = async () => {
    const url = `${realmAt(nodes.b).replace('/realms/', '/admin/realms/')}${job.path}/client-secret`
    const answer = await call<{ value: string }>('GET', url, {
      headers: { authorization: `Bearer ${await operator()}` },
    })
    return answer.json().value
  }
  expect(await shown(), 'it shows the secret of before').toBe(old)
  expect(await secretsAt(nodes.a, job).withdraw(job.uuid, rotation)).toBe(true)
  const answer = await askAt(nodes.b, job, old)
  expect([answer.status === 200, answer.text.includes('access_token')]).toEqual([false, false])
  expect(await secretsAt(nodes.b, job).current(job.uuid)).toBe(job.secret)
  await nextSecond()
  await until('the new one counts there', async () => (await askAt(nodes.b, job, job.secret)).status === 200)
})
