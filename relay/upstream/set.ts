import { z } from 'zod'
import type { UpstreamSubject, UpstreamWord } from '../domain/model.ts'
import { RelayError } from '../errors.ts'
import { SKEW_SECONDS, verifiedToken } from '../ingest/token.ts'
import { Name, subjectsIn } from './subject.ts'
import type { Upstream } from './upstream.ts'

const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'
const MOST_EVENTS = 10
/** The realm takes no more names at once. */
const MOST_SUBJECTS = 20
/** An event that is older than this before its token was made has a wrong time. */
const MOST_DELAY_SECONDS = 30 * 86_400
/** Times beyond are no seconds. */
export const LAST_SECOND = 4_102_444_800

const Event = z.looseObject({
  subject: z.unknown().optional(),
  event_timestamp: z.unknown().optional(),
  credential_type: z.unknown().optional(),
  change_direction: z.unknown().optional(),
  current_status: z.unknown().optional(),
  status: z.unknown().optional(),
})

const Claims = z.object({
  jti: Name,
  txn: Name.optional().catch(undefined),
  iat: z.number().min(0).max(LAST_SECOND),
  toe: z.unknown().optional(),
  // SSF 1.0 §4.1: a SET that has them could be taken for another kind of token.
  sub: z.never().optional(),
  exp: z.never().optional(),
  sub_id: z.unknown().optional(),
  events: z
    .record(z.string().min(1).max(255), Event)
    .refine((events) => Object.keys(events).length > 0 && Object.keys(events).length <= MOST_EVENTS),
})

/** What a SET says: of users, and of the stream itself. */
export interface Heard {
  readonly words: readonly UpstreamWord[]
  readonly madeMs: number
  /** What the transmitter says that the stream is from now on (SSF 1.0 §8.1.5). */
  readonly status?: string
}

/**
 * Verifies a Security Event Token of an upstream's stream and reads what it says. An event that is not known is no error: the
 * realm says what means something there. One that names nobody is neither. A clock that is ahead is none, as what it says would
 * never be sent again: to the realm a time that is yet to come is now.
 *
 * @throws RelayError as `verifiedToken`
 */
export async function heardIn(set: string, upstream: Upstream): Promise<Heard> {
  const keysOf = (issuer: string) => (issuer === upstream.issuer ? upstream.keys() : undefined)
  const { payload } = await verifiedToken(set, keysOf, upstream.stream?.audience ?? upstream.audience)
  const parsed = Claims.safeParse(payload)
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path[0]
    throw new RelayError('invalid_request', `The claim ${String(where ?? '')} is not as SSF 1.0 and RFC 8417 have it`)
  }
  const claims = parsed.data
  const events = Object.entries(claims.events)
  // With a subject in it, as before SSF 1.0, it is of that one alone.
  const status = events.find(([type, event]) => type === `${SSF}stream-updated` && !event.subject)?.[1].status
  return {
    words: events
      .filter(([type]) => !type.startsWith(SSF))
      .flatMap(([type, event]) => wordsOf(upstream, claims, type, event)),
    madeMs: claims.iat * 1000,
    ...(typeof status === 'string' ? { status } : {}),
  }
}

function wordsOf(
  { name, issuer, linkIssuer }: Upstream,
  claims: z.infer<typeof Claims>,
  type: string,
  event: z.infer<typeof Event>,
): UpstreamWord[] {
  const { jti, txn = jti, sub_id } = claims
  // Beside the event, or in it as before SSF 1.0; where both are there, both name the same user.
  const named = [sub_id, event.subject].flatMap((one) => subjectsIn(one, [issuer, linkIssuer]))
  const said = (member: unknown) => Name.safeParse(member).data
  const [credential, direction, status] = [event.credential_type, event.change_direction, event.current_status].map(
    said,
  )
  return chunks(named).map((subjects, part) => ({
    ...{ issuer: linkIssuer, subjects, type, txn },
    ...(credential === undefined ? {} : { credentialType: credential }),
    ...(direction === undefined ? {} : { changeDirection: direction }),
    ...(status === undefined ? {} : { currentStatus: status }),
    atMs: timeOf(claims, event),
    id: `${name} ${type} ${part} ${jti}`,
  }))
}

/** When it happened: the event's own time, else `toe` (RFC 8417 §2.2), else when the token was made. */
function timeOf({ iat, toe }: z.infer<typeof Claims>, { event_timestamp }: z.infer<typeof Event>): number {
  return momentMs(iat, event_timestamp, toe)
}

/**
 * The first of these times, in seconds, that can be right beside when the token was made, else that; in milliseconds.
 *
 * @param iat seconds
 */
export function momentMs(iat: number, ...said: readonly unknown[]): number {
  const plausible = said.find((at) => isPlausible(at, iat))
  return Math.max(0, Math.floor((plausible ?? iat) * 1000))
}

/** Whether that time can be right of an event whose token was made then; both in seconds. */
export function isPlausible(at: unknown, iat: number): at is number {
  return typeof at === 'number' && at <= iat + SKEW_SECONDS && at > iat - MOST_DELAY_SECONDS
}

function chunks(subjects: readonly UpstreamSubject[]): UpstreamSubject[][] {
  const each = [...new Map(subjects.map((subject) => [JSON.stringify(subject), subject])).values()]
  return Array.from({ length: Math.ceil(each.length / MOST_SUBJECTS) }, (_, n) =>
    each.slice(n * MOST_SUBJECTS, (n + 1) * MOST_SUBJECTS),
  )
}
