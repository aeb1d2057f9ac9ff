import { setTimeout as delay } from 'node:timers/promises'
import { Browser } from '../../stage/browser.ts'
import { until } from '../../stage/process.ts'
import { askRelay, type Access, diesWithin, NEXT_SECOND_MS, whichLive } from '../seen.ts'
import { byPassword, TOKENS } from '../story.ts'
import { applications, type Realm } from '../world.ts'
import { ANN, BEN, CLEO, type FederatedWorld, LOOK_EVERY_MS } from './world.ts'

/** One line of the story. What is not asked of an access is absent. */
export interface Line {
  /** What has happened to whom. */
  readonly act: string
  readonly access: string
  readonly realm: string
  readonly clientId: string
  readonly aliveBefore: boolean
  readonly aliveAfter: boolean
  /** Milliseconds from the change until it was seen dead. */
  readonly deadAfterMs?: number
  readonly deadAfterNewLogin?: boolean
  /** What the realm has as evidence of its end: its own trigger, and what the first realm calls the event. */
  readonly trigger?: string
  readonly txn?: string
  /** What the evidence must be. */
  readonly told?: { readonly trigger: string; readonly txn: string }
  /** What it must be in the end. */
  readonly expected: 'dead' | 'alive'
}

/** A change of somebody's password. */
interface Act {
  readonly title: string
  readonly name: string
  /** What it is in the realm `staff`. */
  readonly trigger: string
  readonly change: (password: string) => unknown
}

interface Placed extends Access {
  readonly realm: Realm
}

/** What has become of an act. */
interface Played {
  readonly act: Act
  readonly accesses: readonly Placed[]
  readonly before: readonly boolean[]
  readonly deadAfterMs: readonly (number | undefined)[]
}

/** A containment, as its realm has told the relay of it. */
interface Hop {
  readonly trigger: string
  readonly txn: string
  readonly clients: ReadonlySet<unknown>
}

const GIVE_UP_MS = 30_000
const EVERY_MS = 50
/** What the second realm hears from the first. */
const HEARD = 'upstream-logout'

/** Whether it is as it must be. */
export function held(line: Line): boolean {
  return (
    line.aliveBefore &&
    line.aliveAfter === (line.expected === 'alive') &&
    line.deadAfterNewLogin !== false &&
    (line.expected === 'alive' ||
      (line.told !== undefined && line.trigger === line.told.trigger && line.txn === line.told.txn))
  )
}

/** Plays the whole story and tells it line by line. Nothing in it is simulated. */
export async function play(world: FederatedWorld, progress: (what: string) => void): Promise<Line[]> {
  const { password } = world
  const acts = actsOf(world)
  progress(`${acts.map(({ name }) => proper(name)).join(', ')} and Cleo log in everywhere, in both realms`)
  const theirs = await Promise.all(acts.map(({ name }) => logInEverywhere(world, name, password)))
  const hers = await logInEverywhere(world, CLEO, password)
  const hersBefore = await whichLive(hers)

  const played: Played[] = []
  for (const [n, act] of acts.entries()) {
    progress(act.title)
    played.push(await playAct(act, theirs[n] ?? [], `${password}-2`))
  }

  progress('They log in again with the new passwords')
  await delay(NEXT_SECOND_MS)
  const anew = await Promise.all(acts.map(({ name }) => logInEverywhere(world, name, `${password}-2`)))
  const anewBefore = await Promise.all(anew.map(whichLive))
  await settled(world)

  progress('What the evidence of both realms says')
  const ends = await Promise.all(played.map((one) => linesOf(world, one)))
  const lives = await Promise.all(
    acts.map(({ name }, n) => stillAlive(`${proper(name)} has logged in again`, anew[n] ?? [], anewBefore[n] ?? [])),
  )
  return [...ends, ...lives, await stillAlive('Nobody has changed Cleo’s password', hers, hersBefore)].flat()
}

function actsOf({ directory, staff }: FederatedWorld): Act[] {
  return [
    ...(directory
      ? [
          {
            title: `Ann’s password is changed in ${directory.kind}, by ${directory.tool}; Keycloak looks there every ${LOOK_EVERY_MS / 1000} s`,
            name: ANN,
            trigger: 'directory-password-changed',
            change: (password: string) => directory.setPassword(ANN, password),
          },
        ]
      : []),
    {
      title: 'An administrator of the realm staff resets Ben’s password',
      name: BEN,
      trigger: 'admin-reset-password',
      change: async (password: string) => {
        const answer = await staff.admin.resetPassword(await staff.admin.userId(BEN), password)
        if (answer.status !== 204) {
          throw new Error(`The reset: ${answer.status} ${answer.text}`)
        }
      },
    },
  ]
}

async function playAct(act: Act, accesses: readonly Placed[], password: string): Promise<Played> {
  const before = await whichLive(accesses)
  await delay(NEXT_SECOND_MS)
  const began = performance.now()
  await act.change(password)
  const patience = { giveUpMs: GIVE_UP_MS, everyMs: EVERY_MS }
  const deadAfterMs = await Promise.all(accesses.map((access) => diesWithin(access, began, patience)))
  return { act, accesses, before, deadAfterMs }
}

/**
 * Everything that one login in one browser opens: the applications of `staff` with the password, those of `main` without any,
 * by `staff`. And what apps keep: tokens.
 */
async function logInEverywhere({ staff, main }: FederatedWorld, name: string, password: string): Promise<Placed[]> {
  const browser = new Browser()
  const accesses: Placed[] = []
  const session = (realm: Realm, { clientId, url }: { clientId: string; url: string }) =>
    accesses.push({ access: 'browser session', realm, clientId, isAlive: () => browser.isAlive(url) })
  for (const application of applications(staff)) {
    await browser.login(application.url, name, password)
    session(staff, application)
  }
  accesses.push(...(await byPassword(staff, name, password)).map((access) => ({ ...access, realm: staff })))
  for (const [n, application] of applications(main).entries()) {
    // From the second on the realm's own single sign-on lets the browser in.
    await (n === 0
      ? browser.loginBy(staff.admin.realm, application.url, name, password)
      : browser.login(application.url, name, password))
    session(main, application)
  }
  const clientId = 'browser-app'
  // The newest login of an app in a browser is the one that its refresh token goes by.
  for (const [access, scope] of TOKENS.toReversed()) {
    const app = { clientId, redirectUri: 'http://localhost:3003/', scope }
    const tokens = await main.tokens.codeFlow(browser, app, name, password)
    accesses.push({ access, realm: main, clientId, isAlive: () => main.tokens.lives(clientId, tokens) })
  }
  return accesses
}

/** Until nobody has to be told any more, and the directory has been looked at once more. */
async function settled(world: FederatedWorld): Promise<void> {
  for (const realm of [world.staff, world.main]) {
    const token = await operatorOf(world, realm)
    const open = () => askRelay<{ deliveries: unknown[] }>(world.relay, token, 'deliveries?state=open')
    await until('every delivery is delivered', async () => (await open()).deliveries.length === 0, { everyMs: 100 })
  }
  await delay(LOOK_EVERY_MS + NEXT_SECOND_MS)
}

async function linesOf(world: FederatedWorld, { act, accesses, before, deadAfterMs }: Played): Promise<Line[]> {
  const hops = { staff: await hopsOf(world, world.staff, act.name), main: await hopsOf(world, world.main, act.name) }
  // One containment in each realm, and no further one that comes back from the other.
  const [first, ...more] = hops.staff
  const alive = await whichLive(accesses)
  return accesses.map(({ access, realm, clientId }, n): Line => {
    const inStaff = realm === world.staff
    const own = inStaff ? hops.staff : hops.main
    const [hop] = own.length === 1 ? own.filter(({ clients }) => clients.has(clientId)) : []
    const ms = deadAfterMs[n]
    return {
      ...{ act: act.title, access, realm: realm.admin.realm, clientId, aliveBefore: before[n] ?? false },
      aliveAfter: ms === undefined,
      ...(ms === undefined ? {} : { deadAfterMs: ms }),
      deadAfterNewLogin: alive[n] === false,
      ...(hop === undefined ? {} : { trigger: hop.trigger, txn: hop.txn }),
      ...(first === undefined || more.length > 0
        ? {}
        : { told: { trigger: inStaff ? act.trigger : HEARD, txn: first.txn } }),
      expected: 'dead',
    }
  })
}

async function stillAlive(act: string, accesses: readonly Placed[], before: readonly boolean[]): Promise<Line[]> {
  const after = await whichLive(accesses)
  return accesses.map(({ access, realm, clientId }, n): Line => ({
    ...{ act, access, realm: realm.admin.realm, clientId, aliveBefore: before[n] ?? false },
    ...{ aliveAfter: after[n] ?? false, expected: 'alive' },
  }))
}

/** What the relay has as evidence of this person's containments in a realm. */
async function hopsOf(world: FederatedWorld, realm: Realm, name: string): Promise<Hop[]> {
  const token = await operatorOf(world, realm)
  const ask = <T>(path: string) => askRelay<T>(world.relay, token, path)
  const subject = await realm.admin.userId(name)
  const { containments } = await ask<{ containments: { id: string }[] }>(`containments?subject=${subject}`)
  const hops: Hop[] = []
  for (const { id } of containments) {
    const { trigger, evidence } = await ask<Containment>(`containments/${id}`)
    const told = evidence.find(({ kind }) => kind === 'told_by')
    const clients = new Set(evidence.map(({ data }) => data['client_id']))
    hops.push({ trigger, txn: told === undefined ? id : String(told.data['txn']), clients })
  }
  return hops
}

interface Containment {
  readonly trigger: string
  readonly evidence: readonly { readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[]
}

function operatorOf({ secret }: FederatedWorld, { tokens }: Realm): Promise<string> {
  return tokens.serviceAccount('logout-relay-operator', secret)
}

function proper(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`
}
