import { html } from 'hono/html'
import type { OpenLane } from '../store/port.ts'
import { partiesIn } from '../domain/provider.ts'
import { duration, many } from '../text.ts'
import type { Html } from './layout.ts'
import type { ConsolePorts } from './ports.ts'

/** So many that cannot be reached at once hardly went down by themselves. */
const MANY = 10

/** What keeps a relying party, or an identity provider that is told, from an answer: what it is called, and where to look. The order is that of a choice. */
export const WRONGS = {
  unreachable: ['Cannot be reached', 'Down, or a firewall, a proxy or the name server is in between.'],
  certificate: ['Certificate not accepted', 'Renew it, or name its CA in delivery.ca_file.'],
  failing: ['Fail themselves', 'They are there and answer with an error: their own logs say why.'],
  refusing: ['Refuse the logout', 'The page of each says what it answered; its check says what is likely wrong.'],
  settings: [
    'Not allowed to be reached',
    'Plain http, an address that is not public, or no usable URL: allow_addresses in relay.yaml, or the logout URL.',
  ],
  token: ['Get no logout token', 'Keycloak refuses to make one, so nothing is sent.'],
  forgotten: ['No longer have the session', 'They are asked less and less often, and it is given up by rule.'],
  paused: ['Paused', 'They are told of nothing until somebody resumes them.'],
  waiting: ['Not asked yet', 'Nothing was sent so far: nobody failed to answer.'],
  other: ['Have not answered', 'The evidence of each says more.'],
} as const satisfies Readonly<Record<string, readonly [name: string, says: string]>>
export type Wrong = keyof typeof WRONGS

const OF_REASON: Readonly<Record<string, Wrong>> = {
  timeout: 'unreachable',
  connection_refused: 'unreachable',
  connection_lost: 'unreachable',
  name_not_found: 'unreachable',
  tls: 'certificate',
  server_error: 'failing',
  unavailable: 'failing',
  not_implemented: 'failing',
  downstream: 'failing',
  unprocessable: 'failing',
  throttled: 'failing',
  timeout_there: 'failing',
  rejected: 'refusing',
  login_required: 'refusing',
  forbidden: 'refusing',
  not_found: 'refusing',
  method_not_allowed: 'refusing',
  redirect: 'refusing',
  unexpected_status: 'refusing',
  needs_sub: 'refusing',
  another_subject: 'refusing',
  http_not_allowed: 'settings',
  address_not_allowed: 'settings',
  bad_url: 'settings',
  not_minted: 'token',
  unknown_there: 'forgotten',
  refused_alone: 'forgotten',
}

/** What a relying party owes, and what is wrong, judged by the oldest. */
export interface Owing extends OpenLane {
  readonly wrong: Wrong
}

export interface Group {
  readonly wrong: Wrong
  readonly parties: readonly string[]
  readonly sessions: number
  readonly oldestMs: number
}

export type LanePorts = Pick<ConsolePorts, 'store' | 'relyingParties' | 'answers' | 'flow' | 'findings'>

export function isWrong(text: string | undefined): text is Wrong {
  return text !== undefined && Object.hasOwn(WRONGS, text)
}

/** Of what a delivery's last attempt came to. */
export function wrongOfReason(reason: string): Wrong {
  return OF_REASON[reason.split(':')[0] ?? ''] ?? 'other'
}

/** What the relying parties of a realm owe, oldest first. */
export async function owing(ports: LanePorts, issuer: string): Promise<Owing[]> {
  const { store, relyingParties, answers, flow, findings } = ports
  // With no logout tokens nobody is asked, however they have answered before.
  const isAsked = !findings().some(({ check }) => check === 'logout tokens')
  // What is due at one that is only probed waits unsent, and it is that relying party that has not answered.
  const probed = new Set(
    flow.unhealthyLanes().flatMap((one) => (isAsked && one.issuer === issuer ? [one.clientId] : [])),
  )
  const wrongOf = ({ clientId, asked, lastReason }: OpenLane): Wrong => {
    if (relyingParties.find(issuer, clientId)?.paused) {
      return 'paused'
    }
    const reason = lastReason ?? (asked ? answers.of(issuer, clientId).at(-1)?.reason : undefined)
    return asked ? wrongOfReason(reason ?? '') : 'waiting'
  }
  return (await store.open())
    .filter((lane) => lane.issuer === issuer)
    .map((lane) => ({ ...lane, asked: lane.asked || probed.has(lane.clientId) }))
    .map((lane) => ({ ...lane, wrong: wrongOf(lane) }))
    .sort((a, b) => a.oldestMs - b.oldestMs)
}

/** By what is wrong, the most relying parties first. */
export function groupsOf(lanes: readonly Owing[]): Group[] {
  return [...Map.groupBy(lanes, ({ wrong }) => wrong)]
    .map(([wrong, those]) => ({
      wrong,
      parties: those.map(({ clientId }) => clientId),
      sessions: those.reduce((sum, { count }) => sum + count, 0),
      oldestMs: those.reduce((oldest, { oldestMs }) => Math.min(oldest, oldestMs), Infinity),
    }))
    .sort((a, b) => b.parties.length - a.parties.length)
}

/** What is wrong, a line for each, with a link to those that it concerns. */
export function groupList(groups: readonly Group[], nowMs: number, at: '/deliveries' | '/relying-parties'): Html {
  return html`<ul class="rows groups">
    ${groups.map(({ wrong, parties, sessions, oldestMs }) => {
      const [name, says] = WRONGS[wrong]
      return html`<li>
        <a href="/console${at}?wrong=${wrong}">${name}</a>
        <span>${partiesIn(parties)}</span>
        <span>${many(sessions, 'session')}<small>oldest for ${duration(nowMs - oldestMs)}</small></span>
        <span class="says"
          >${wrong === 'unreachable' && parties.length >= MANY ? html`<strong>Your network?</strong> So many at once: look at the relay’s own way out, its proxy and its name server first.` : says}</span
        >
      </li>`
    })}
  </ul>`
}

/** The choice of what is wrong, in a form that filters. */
export function wrongChoice(chosen: Wrong | undefined): Html {
  return html`<label
    >What is wrong
    <select name="wrong">
      <option value="">anything</option>
      ${Object.entries(WRONGS).map(
        ([wrong, [name]]) => html`<option value="${wrong}" ${wrong === chosen ? 'selected' : ''}>${name}</option>`,
      )}
    </select></label
  >`
}
