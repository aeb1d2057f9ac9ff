import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { openBackchannel } from '../../relay/delivery/backchannel/backchannel.ts'
import type { Send } from '../../relay/delivery/backchannel/send.ts'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import type { Deliverer, DelivererPorts } from '../../relay/delivery/port.ts'
import type { ListedSession, SecurityEvent } from '../../relay/domain/model.ts'
import { plan } from '../../relay/domain/plan.ts'
import type { Store } from '../../relay/store/port.ts'

export const ISSUER = 'https://idp.example.org/realms/demo'
export const OTHER_ISSUER = 'https://idp.example.org/realms/other'
export const NOW_MS = 1_790_000_000_000
export const DAY_MS = 86_400_000

/** A UUID in form, the same for the same number. */
export function uuid(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
}

export function session(jti: string, n: number, clientId: string, more: Partial<ListedSession> = {}): ListedSession {
  return {
    id: `${jti}.${n}`,
    clientId,
    sid: `sid-${jti}-${n}`,
    named: backchannelAt(`https://${clientId}.example.org/logout`),
    latestEndMs: NOW_MS + 30 * DAY_MS,
    ...more,
  }
}

/** An event with one session for each client id that is named. */
export function securityEvent(n: number, clients: readonly string[], more: Partial<SecurityEvent> = {}): SecurityEvent {
  const jti = uuid(n)
  return {
    issuer: ISSUER,
    jti,
    txn: `txn-${n}`,
    type: 'https://schemas.openid.net/secevent/caep/event-type/credential-change',
    trigger: 'admin-reset-password',
    subject: 'user-1',
    watermarkMs: NOW_MS - 200,
    removedAtMs: NOW_MS - 100,
    part: 1,
    parts: 1,
    scope: 'subject',
    privileged: false,
    shadow: false,
    survivors: 0,
    steps: {},
    sessions: clients.map((clientId, at) => session(jti, at, clientId)),
    ...more,
  }
}

/** Takes an event up, as one whose relying parties are known by what it says of them alone. */
export function acceptInto(
  store: Pick<Store, 'accept'>,
  event: SecurityEvent,
  nowMs = NOW_MS,
): ReturnType<Store['accept']> {
  return store.accept(event, plan(event, nowMs))
}

/** The kinds of delivery, with a stand-in for the way to relying parties. */
export function deliverersBy(
  send: Send,
  more: Partial<Omit<DelivererPorts, 'post'>> = {},
): ReadonlyMap<string, Deliverer> {
  const ports = {
    nowMs: () => NOW_MS,
    sleep: () => Promise.resolve(),
    trouble: () => undefined,
  }
  return new Map([['backchannel', openBackchannel({ ...ports, ...more, send })]])
}

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'logout-relay-unit-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
