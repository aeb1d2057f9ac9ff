import { setTimeout as delay } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { call } from '../stage/http.ts'
import { copyLedger } from '../stage/ledger.ts'
import type { Node } from '../stage/nodes.ts'
import { until } from '../stage/process.ts'
import type { Seen, Try } from './cluster.ts'
import { type Cluster, SECRET } from './cluster-world.ts'

const USERS = 16
/** Both nodes have swept by then: each does every ten seconds. */
const SWEPT_MS = 12_000
/** The first look is due five seconds after the event. */
const LOOKED_S = 60

interface Containment {
  readonly sessions?: readonly { readonly sid: string }[]
  readonly survivors?: number
  readonly watched?: object
  readonly refused_after?: object
}

interface Told {
  readonly user: string
  readonly sids: readonly string[]
  readonly survivors: number
  /** A row that says nothing. */
  readonly isEmpty: boolean
}

/**
 * Sessions whose rows come into the ledger after the reset has read it: both nodes' timers find them, and one may tell of
 * them. A login that is committed in those milliseconds cannot be made on purpose, so such a row is written into the database.
 */
export async function toldOnce({ cluster, realm, name }: Try): Promise<Seen> {
  const { nodes, postgres } = cluster
  const { a, b } = nodes
  // A look that takes longer than the two timers are apart.
  postgres.psql(`create or replace function slow() returns trigger language plpgsql as $$ begin
    if exists (select 1 from logout_relay_outbox where txn = new.txn) then perform pg_sleep(0.3); end if; return new; end $$;
    create or replace trigger slow before insert on logout_relay_outbox for each row execute function slow()`)
  try {
    const users = new Map<string, string>()
    for (let n = 0; n < USERS; n++) {
      const user = await a.keycloak.admin.createUser(realm, `${name}-${n}`, 'password')
      await a.tokens(realm).directGrant('flows-app', `${name}-${n}`, 'password')
      users.set(user, '')
    }
    // All looks fall due together.
    await Promise.all(
      [...users.keys()].map((user, n) => (n % 2 ? a : b).keycloak.admin.resetPassword(realm, user, 'another')),
    )
    const own = `user_id in (${[...users.keys()].map((id) => `'${id}'`).join()})`
    const rows = (which: string) =>
      Number(postgres.psql(`select count(*) from logout_relay_outbox where ${own} and ${which}`))
    await until('the ledger has been read', () => rows(`sessions <> '[]'`) === USERS, { seconds: LOOKED_S })
    for (const user of users.keys()) {
      users.set(user, addLateSession(cluster, user))
    }
    const first = 'next_look_ms < watermark_ms + 30000'
    await until('the first looks are over', () => rows(first) === 0, { seconds: LOOKED_S, everyMs: 500 })
    await delay(SWEPT_MS)
    return { lives: [], wrong: judge(users, await told(a, realm, users)) }
  } finally {
    postgres.psql('drop trigger slow on logout_relay_outbox')
  }
}

/** One more session of the user, which the ledger knew just before the reset. Answers its `sid`. */
function addLateSession({ postgres }: Cluster, user: string): string {
  const one = `(select * from logout_relay_ledger where user_id = '${user}' limit 1)`
  return postgres.psql(`${copyLedger('gen_random_uuid()::text', `${one} l`)} returning sid`)
}

function judge(users: ReadonlyMap<string, string>, all: readonly Told[]): string[] {
  const wrong: string[] = []
  for (const [user, lateSid] of users) {
    const own = all.filter((one) => one.user === user)
    const listed = own.flatMap(({ sids }) => sids)
    const times = listed.filter((sid) => sid === lateSid).length
    if (times !== 1) {
      wrong.push(`a late session told ${times} times`)
    }
    if (new Set(listed).size < listed.length) {
      wrong.push('a session told twice')
    }
    if (own.some(({ isEmpty }) => isEmpty)) {
      wrong.push('an event told that says nothing')
    }
    if (own.reduce((sum, { survivors }) => sum + survivors, 0) > 1) {
      wrong.push('more survivors told than there were sessions')
    }
  }
  return [...new Set(wrong)]
}

/** What the relay is told of these users, as it would ask for it. */
async function told(node: Node, realm: string, users: ReadonlyMap<string, string>): Promise<Told[]> {
  const authorization = `Bearer ${await node.tokens(realm).serviceAccount('logout-relay', SECRET)}`
  const poll = async (body: object) => {
    const url = `${node.url}/realms/${realm}/logout-relay/outbox`
    const answer = await call<{ sets: Record<string, string> }>('POST', url, { json: body, headers: { authorization } })
    if (answer.status !== 200) {
      throw new Error(`The outbox: ${answer.status} ${answer.text}`)
    }
    return Object.entries(answer.json().sets)
  }
  const all: Told[] = []
  for (let sets = await poll({ maxEvents: 50 }); sets.length > 0;) {
    all.push(...sets.map(([, set]) => read(set)))
    sets = await poll({ maxEvents: 50, ack: sets.map(([jti]) => jti) })
  }
  return all.filter(({ user }) => users.has(user))
}

function read(set: string): Told {
  const { sub_id, events } = decodeJwt<{
    sub_id: { sub: string }
    events: Record<string, { 'logout-relay': Containment }>
  }>(set)
  const [event] = Object.values(events)
  const { sessions = [], survivors = 0, watched, refused_after } = event?.['logout-relay'] ?? {}
  return {
    ...{ user: sub_id.sub, survivors },
    sids: sessions.map(({ sid }) => sid),
    isEmpty: sessions.length === 0 && survivors === 0 && watched === undefined && refused_after === undefined,
  }
}
