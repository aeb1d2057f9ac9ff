import { html } from 'hono/html'
import type { Evidence } from '../domain/model.ts'
import { isProvider } from '../domain/provider.ts'
import { duration, many } from '../text.ts'
import { endThem } from './ending.ts'
import { type Html, instant } from './layout.ts'
import { type NameOf, who } from './names.ts'
import { summary, toneOf } from './now.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'
import { type Attempts, timeline } from './timeline.ts'
import { isOfClient, triggerWords, words } from './words.ts'

const SESSIONS = 500
const LINES = 500
const BARS = 200

/** One containment from event to proof: its picture, then its evidence line by line, every attempt included. */
export async function containmentPage(
  { store, nowMs }: Pick<ConsolePorts, 'store' | 'nowMs'>,
  issuer: string,
  id: string,
  session: Session,
  nameOf: NameOf,
): Promise<Html | undefined> {
  const found = await store.containment(issuer, id, { from: 0, limit: LINES + 1 })
  if (!found) {
    return undefined
  }
  const { containment, evidence } = found
  const deliveries = await store.deliveries({ issuer, containmentId: id, limit: SESSIONS })
  return html`<p class="back"><a href="/console/containments">Containments</a></p>
    <div class="head">
      <h1>${triggerWords(containment.trigger)}</h1>
      ${containment.subject === undefined || isOfClient(containment.trigger) ? '' : endThem(session, id)}
    </div>
    <p class="meta ${toneOf(containment, nowMs())}">
      ${
        containment.subject === undefined
          ? ''
          : html`<a href="/console/containments?of=${encodeURIComponent(id)}">${who(containment.subject)}</a> ·`
      }
      ${instant(containment.eventMs)} · <span class="state">${summary(containment)}</span> · <code>${id}</code>
    </p>
    ${
      deliveries.length === 0
        ? ''
        : html`<section class="card">
            ${timeline(containment, deliveries, nowMs(), BARS, attemptsOf(evidence))}
            ${containment.deliveries > SESSIONS ? html`<p class="meta">The first ${SESSIONS} sessions.</p>` : ''}
          </section>`
    }
    <h2>Timeline</h2>
    <ol class="story">
      ${[...evidence.slice(0, LINES)]
        .sort((a, b) => a.atMs - b.atMs)
        .map(
          (line) =>
            html`<li class="${tone(line)}">
              <span class="at">+${duration(Math.max(0, line.atMs - containment.eventMs))}</span>
              <span class="what">${told(line, nameOf, containment.trigger)}</span>
            </li>`,
        )}
    </ol>
    ${
      evidence.length > LINES
        ? html`<p class="meta">
            The first ${LINES} lines. All of them: <code>logout-relay containments ${id} --json</code>
          </p>`
        : ''
    }`
}

/** When each relying party was asked, and whether it said yes. */
function attemptsOf(evidence: readonly Evidence[]): Attempts {
  const attempts = evidence.filter(({ kind }) => kind === 'attempt')
  return Map.groupBy(
    attempts.map(({ atMs, data }) => ({
      clientId: String(data['client_id']),
      atMs,
      confirmed: data['outcome'] === 'delivered',
    })),
    ({ clientId }) => clientId,
  )
}

function tone({ kind, data }: Evidence): string {
  if (kind === 'attempt') {
    return data['outcome'] === 'delivered' ? 'confirmed' : data['outcome'] === 'given_up' ? 'given-up' : 'open'
  }
  return kind === 'closed'
    ? 'confirmed'
    : kind === 'dismissed' || kind === 'expired' || (kind === 'no_logout_uri' && data['tokens_only'] !== true)
      ? 'given-up'
      : ''
}

/** Of a client, how it had got tokens. */
function usedBy(data: Evidence['data']): Html | string {
  return data['used_by'] === undefined
    ? ''
    : html` It had got tokens by <code>${data['used_by']}</code> from <code>${data['used_from'] ?? ''}</code>, last
        ${instant(Number(data['last_used_ms']))}.`
}

/** A line of evidence as a sentence. */
function told({ kind, data }: Evidence, nameOf: NameOf, trigger: string): Html | string {
  const by = nameOf(String(data['by'] ?? ''))
  const client = html`<strong>${data['client_id'] ?? ''}</strong>`
  switch (kind) {
    case 'received':
      return html`The event was taken:
      ${data['client_id'] === undefined ? '' : html`client ${client}${data['all_tokens'] === true ? ' and all that was issued to it' : ''}, `}${many(Number(data['sessions'] ?? 0), 'session')}${Number(data['parts'] ?? 1) > 1 ? `, part ${String(data['part'])} of ${String(data['parts'])}` : ''}.${usedBy(data)}`
    case 'asked':
      return html`${by} asked for it with ${client}: “${data['reason'] ?? ''}”`
    case 'told_by':
      if (trigger.startsWith('downstream-')) {
        return html`The realm <code>${data['issuer'] ?? ''}</code>, which takes its logins from this one, said so. It
          calls it <code>${data['txn'] ?? ''}</code>.`
      }
      return html`The identity provider <code>${data['issuer'] ?? ''}</code> that this person is linked to said so. It
        calls it <code>${data['txn'] ?? ''}</code>.`
    case 'upstream_sessions_ended':
      return 'The identity provider has ended its own sessions of this person.'
    case 'step':
      if (data['step'] === 'step-up') {
        return 'From now on this person owes a second factor, until a login has proven it.'
      }
      return `The identity provider has also ended: ${words(String(data['step'] ?? ''))} (${String(data['ended'])}).`
    case 'survivors_ended':
      return `A later look found ${many(Number(data['sessions'] ?? 0), 'session')} from before the event still alive, and ended them.`
    case 'spared':
      return html`${client}: its offline token lives on, because the realm's policy spares it. So no not-before was set,
      and access tokens that were out already end by themselves.`
    case 'linked':
      return html`Still linked to the identity provider <strong>${data['identity_provider'] ?? ''}</strong>: whoever has
        that account logs in without the password. If this person did not link it, remove it in the realm, at the user
        under “Identity provider links”.`
    case 'watched':
      return `Seen since: ${many(Number(data['logins'] ?? 0), 'login')}, ${many(Number(data['failed_logins'] ?? 0), 'failed login')}, ${many(Number(data['refused_refreshes'] ?? 0), 'old token')} refused.`
    case 'refused_after':
      return html`Refused since:
      ${words(String(data['use'] ?? '')).toLowerCase()}${data['client_id'] ? html` at ${client}` : ''}${data['address'] ? html` from <code>${data['address']}</code>` : ''},
      ${many(Number(data['count'] ?? 0), 'time')}. Somebody still holds something from before the event.`
    case 'shadow':
      return `Shadow mode: ${many(Number(data['sessions'] ?? 0), 'session')} would have ended. Nothing was ended, and nobody is told.`
    case 'planned':
      return `${many(Number(data['deliveries'] ?? 0), 'logout')} owed${Number(data['unreachable'] ?? 0) > 0 ? `, and ${many(Number(data['unreachable']), 'session')} that nobody can be told about` : ''}.`
    case 'no_logout_uri':
      if (data['tokens_only'] === true) {
        return html`${client} has no logout URL, and nothing but tokens, which Keycloak no longer takes.`
      }
      if (isProvider(String(data['client_id']))) {
        return html`${client} is to be told by the realm’s policy, and is not: relay.yaml does not say where
        (<code>upstreams.tell</code>).`
      }
      return html`${client} has no logout URL: its session may live until
      ${instant(Number(data['may_live_until_ms'] ?? Number(data['may_live_until'] ?? 0) * 1000))}.`
    case 'attempt':
      return html`${client}, attempt
      ${data['attempt'] ?? ''}${data['status'] === undefined ? '' : html` (${data['status']})`},
      ${duration(Number(data['duration_ms'] ?? 0))}: ${data['says'] ?? ''}`
    case 'retry_asked':
      return html`${client}: ${by} asked for another attempt.`
    case 'dismissed':
      return html`${client}: ${by} gave it up: “${data['reason'] ?? ''}”`
    case 'expired':
      return isProvider(String(data['client_id']))
        ? html`${client} has not taken it within a week, and is told no more.`
        : html`${client}: its session has outlived the longest time it could live.`
    case 'ended_before':
      return html`${client}: the identity provider knows that it has ended before (${data['outcome'] ?? ''}).`
    case 'ended_by_sibling':
      return html`${client}: it ended this session on a token of
        <a href="/console/containments/${encodeURIComponent(String(data['sibling_containment'] ?? ''))}"
          >another containment</a
        >; nothing more is owed.`
    case 'closed':
      return `Closed: every logout has an end, ${duration(Number(data['ms_since_event'] ?? 0))} after the event.`
  }
}
