import { html } from 'hono/html'
import type { Containment } from '../store/port.ts'
import { accountOf, NO_CONTAINMENT } from './account.ts'
import { endAnybody, endThem } from './ending.ts'
import { csrf, type Html, instant } from './layout.ts'
import { who } from './names.ts'
import { summary, toneOf } from './now.ts'
import { monthsTable } from './months.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'
import { TRIGGER_NAMES, triggerWords } from './words.ts'

const PAGE = 50
/** So many containments are looked at for one page, and so many sessions of theirs where a client is sought. */
const LOOKED = 2000
const SESSIONS = 2000
const AT_ONCE = 200
const AT_ONCE_BY_CLIENT = 25
const DAY_MS = 86_400_000

const UNKNOWN = 'Whose account that was is not known any more, so there are none.'

const STATES = { open: 'not ended', ended: 'ended', 'given-up': 'given up in part' } as const
type State = keyof typeof STATES

/** Which containments somebody means. All that is given must hold. Days are those of UTC, both included. */
export interface ContainmentQuery {
  /** Of whoever this containment was of. */
  readonly of?: string
  readonly trigger?: string
  readonly state?: State
  /** A client that was owed a logout. */
  readonly client?: string
  readonly from?: string
  readonly to?: string
}

/** From a query or a form, of which nothing is taken that is not understood. */
export function containmentQuery(field: (name: string) => string | undefined): ContainmentQuery {
  const text = (name: string) => field(name)?.trim().slice(0, 255) ?? ''
  const [of, trigger, state, client] = [text('of'), text('trigger'), text('state'), text('client')]
  const [from, to] = [text('from'), text('to')]
  return {
    ...(of === '' ? {} : { of }),
    ...(trigger === '' ? {} : { trigger }),
    ...(Object.hasOwn(STATES, state) ? { state: state as State } : {}),
    ...(client === '' ? {} : { client }),
    ...(dayMs(from) === undefined ? {} : { from }),
    ...(dayMs(to) === undefined ? {} : { to }),
  }
}

/** The same as it stands in an address. */
export function addressOf(query: ContainmentQuery, more: Readonly<Record<string, string>> = {}): string {
  return new URLSearchParams({ ...query, ...more }).toString()
}

/** Containments that are wanted, newest first, a page at a time. */
export async function containmentsPage(
  { store, nowMs }: Pick<ConsolePorts, 'store' | 'nowMs'>,
  issuer: string,
  session: Session,
  { query, before }: { readonly query: ContainmentQuery; readonly before: number | undefined },
): Promise<Html> {
  const { of } = query
  const account = of === undefined ? undefined : await accountOf(store, issuer, of)
  const subject = account?.subject
  const isKnown = of === undefined || subject !== undefined
  const { found, next, looked } = isKnown
    ? await search(store, issuer, { ...query, subject }, before, nowMs())
    : { found: [], next: undefined, looked: 0 }
  const isFiltered = Object.keys(query).length > 0
  const months = isFiltered || before !== undefined ? [] : await store.months(issuer)
  const which = isFiltered ? ' that the search takes' : before === undefined ? ' yet' : ' before that'
  const among = next === undefined ? '' : ` among the ${looked.toLocaleString('en')} that were looked at`
  return html`<div class="head">
      <h1>Containments${subject === undefined ? '' : html` of ${who(subject)}`}</h1>
      ${of === undefined || !account ? endAnybody(session) : account.isOfClient ? '' : endThem(session, of)}
    </div>
    ${searchForm(session, query)}
    ${isFiltered ? html`<p class="meta"><a href="/console/containments">All containments</a></p>` : ''}
    ${
      found.length === 0
        ? html`<p class="empty">
            ${isKnown ? `There are none${which}${among}.` : of === NO_CONTAINMENT ? 'Of this user there are none.' : UNKNOWN}
          </p>`
        : ''
    }
    <ul class="rows" ${found.length === 0 ? 'hidden' : ''}>
      ${found.map(
        (one) =>
          html`<li>
            <a href="/console/containments/${encodeURIComponent(one.id)}">${triggerWords(one.trigger)}</a>
            <span
              >${one.subject === undefined ? '' : html`<a href="/console/containments?of=${encodeURIComponent(one.id)}">${who(one.subject)}</a>`}</span
            >
            <span>${instant(one.eventMs)}</span>
            <span class="${toneOf(one, nowMs())}"><span class="state">${summary(one)}</span></span>
          </li>`,
      )}
    </ul>
    ${
      next === undefined
        ? ''
        : html`<p>
            <a class="button quiet" href="/console/containments?${addressOf(query, { before: String(next) })}"
              >${found.length < PAGE ? html`Go on looking before ${instant(next)}` : 'Older'}</a
            >
          </p>`
    }
    ${monthsTable(months)}`
}

/** Posted, since a name goes into no address. */
function searchForm(session: Session, { of, trigger, state, client, from, to }: ContainmentQuery): Html {
  return html`<form method="post" action="/console/containments" class="filter" role="search">
    ${csrf(session)} ${of === undefined ? '' : html`<input type="hidden" name="of" value="${of}" />`}
    <label>User <input name="user" maxlength="255" autocomplete="off" placeholder="name, email or id" /></label>
    <label
      >Reason
      <select name="trigger">
        <option value="">any</option>
        ${[...new Set([...TRIGGER_NAMES, ...(trigger === undefined ? [] : [trigger])])].map(
          (one) => html`<option value="${one}" ${one === trigger ? 'selected' : ''}>${triggerWords(one)}</option>`,
        )}
      </select></label
    >
    <label
      >State
      <select name="state">
        <option value="">any</option>
        ${Object.entries(STATES).map(
          ([one, says]) => html`<option value="${one}" ${one === state ? 'selected' : ''}>${says}</option>`,
        )}
      </select></label
    >
    <label
      >Client <input name="client" value="${client ?? ''}" maxlength="255" autocomplete="off" placeholder="client id" />
    </label>
    <label>From <input type="date" name="from" value="${from ?? ''}" /></label>
    <label>To <input type="date" name="to" value="${to ?? ''}" /></label>
    <button class="quiet">Search</button>
  </form>`
}

function dayMs(day: string): number | undefined {
  const ms = /^\d{4}-\d\d-\d\d$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

/**
 * The store knows containments by age, and by user and age. What else is asked for is looked for among these, as far as one page
 * may cost; then `next` is there although the page is not full.
 */
async function search(
  store: Pick<ConsolePorts['store'], 'containments' | 'deliveries'>,
  issuer: string,
  { subject, trigger, state, client, from, to }: ContainmentQuery & { readonly subject: string | undefined },
  before: number | undefined,
  nowMs: number,
): Promise<{ readonly found: readonly Containment[]; readonly next: number | undefined; readonly looked: number }> {
  const [fromMs, toMs] = [dayMs(from ?? '') ?? -Infinity, dayMs(to ?? '')]
  let beforeMs = Math.min(before ?? Infinity, toMs === undefined ? Infinity : toMs + DAY_MS)
  const found: Containment[] = []
  let [looked, sessions] = [0, 0]
  const limit = client === undefined ? AT_ONCE : AT_ONCE_BY_CLIENT
  const mayBe = (one: Containment) =>
    (trigger === undefined || one.trigger === trigger) && (state === undefined || stateOf(one, nowMs) === state)
  const taken = async (one: Containment) =>
    mayBe(one) && (client === undefined || (await isOf(store, issuer, one.id, client)))
  for (;;) {
    const some = await store.containments({
      ...{ issuer, limit },
      ...(beforeMs === Infinity ? {} : { beforeMs }),
      ...(subject === undefined ? {} : { subject }),
    })
    const whole = withoutHalf(some, limit)
    const are = await Promise.all(whole.map(taken))
    for (const [n, one] of whole.entries()) {
      if (one.createdMs < fromMs) {
        return { found, next: undefined, looked }
      }
      // Those of one instant are on one page, since the next one begins before it.
      if (one.createdMs < beforeMs && (found.length >= PAGE || looked >= LOOKED || sessions >= SESSIONS)) {
        return { found, next: beforeMs, looked }
      }
      looked++
      sessions += client === undefined || !mayBe(one) ? 0 : one.deliveries
      beforeMs = one.createdMs
      if (are[n] === true) {
        found.push(one)
      }
    }
    if (some.length < limit) {
      return { found, next: undefined, looked }
    }
  }
}

async function isOf(
  store: Pick<ConsolePorts['store'], 'deliveries'>,
  issuer: string,
  containmentId: string,
  clientId: string,
): Promise<boolean> {
  return (await store.deliveries({ issuer, containmentId, clientId, limit: 1 })).length > 0
}

/** Of a full batch not the last instant, of which there may be more: the next batch has them all. */
function withoutHalf(batch: readonly Containment[], limit: number): readonly Containment[] {
  const last = batch.at(-1)?.createdMs
  const whole = batch.length < limit ? batch : batch.filter(({ createdMs }) => createdMs !== last)
  return whole.length === 0 ? batch : whole
}

function stateOf(one: Containment, nowMs: number): State {
  const tone = toneOf(one, nowMs)
  return tone === 'confirmed' ? 'ended' : tone
}
