import { RelayError } from '../errors.ts'
import type { ClientSecrets, SecretReport } from '../idp/keycloak/secrets.ts'

/** How far a rotation is. */
export type Phase =
  /** Nobody has come with the new secret. */
  | 'new-unseen'
  /** Somebody has come with the old one, or got something by it, too short a time ago. */
  | 'old-in-use'
  /** The old secret can be withdrawn, and nothing that is in use ends with it. */
  | 'ready'
  /** No old secret counts any more, and the new one was seen. */
  | 'done'
  /** No old secret counts any more, and nobody has come with the new one. */
  | 'not-revalidated'

/** Undefined where the client's secret was never changed under the extension's eyes. */
export function phaseOf({ rotation, now_ms }: SecretReport, quietMs: number): Phase | undefined {
  if (rotation === undefined) {
    return undefined
  }
  const { reaches_ms, retired_ms } = rotation
  if (retired_ms !== undefined) {
    return reaches_ms === undefined ? 'not-revalidated' : 'done'
  }
  if (reaches_ms === undefined) {
    return 'new-unseen'
  }
  return now_ms < reaches_ms + quietMs ? 'old-in-use' : 'ready'
}

/** As long as a token lives that the client got by its old secret: after that nothing of it is in use. */
export const quietOf = ({ token_lifespan_s }: SecretReport, asked: number | undefined) =>
  asked ?? token_lifespan_s * 1000

interface Rotated {
  readonly report: SecretReport
  readonly phase: Phase
}

export interface World {
  /** What was made, where it has to be put down before anything is waited for. */
  keep(secret: string): void
  /** @param resumed whether another run has made the secret */
  begun(report: SecretReport, resumed: boolean): void
  /** Each time that something was looked at. */
  seen(report: SecretReport, phase: Phase): void
  pause(): Promise<void>
}

export interface Wanted {
  /** Switch at once. */
  readonly now: boolean
  readonly quietMs?: number | undefined
  /** For how long to wait, by Keycloak's clock; undefined for as long as it takes. */
  readonly waitMs?: number | undefined
}

/**
 * From a new secret to the end of the old one. Every step is read from Keycloak first, so whoever is killed begins again and
 * goes on where it was.
 */
export async function rotate(secrets: ClientSecrets, wanted: Wanted, world: World): Promise<Rotated> {
  const first = await secrets.report()
  if (!first.has_secret) {
    throw new RelayError(
      'invalid_request',
      `The client ${first.client_id} has no secret: it is public, or proves itself by keys or a certificate`,
    )
  }
  const { secret, resumed } = wanted.now ? await switchNow(secrets, first) : await begin(secrets, first)
  world.keep(secret)
  const begun = await secrets.report()
  const { rotation } = begun
  if (rotation === undefined || (!wanted.now && rotation.retired_ms !== undefined)) {
    throw new RelayError(
      'invalid_request',
      'This rotation was begun where the extension did not see it, so nobody knows who comes with which secret: withdraw the old one in Keycloak’s console',
    )
  }
  world.begun(begun, resumed)
  return follow(secrets, rotation.id, begun.now_ms, wanted, world)
}

async function begin(secrets: ClientSecrets, first: SecretReport): Promise<{ secret: string; resumed: boolean }> {
  if (first.old_valid_until_ms === undefined) {
    const made = await secrets.makeBeside(first.id)
    if (made !== undefined) {
      return { secret: made, resumed: false }
    }
    if ((await secrets.report()).old_valid_until_ms === undefined) {
      throw new RelayError(
        'invalid_request',
        `The realm keeps no old secret of ${first.client_id}, so nothing was changed: give the client a policy with the executor secret-rotation (docs/workloads.md), or switch at once with --now`,
      )
    }
  }
  return { secret: await secrets.current(first.id), resumed: true }
}

async function switchNow(secrets: ClientSecrets, first: SecretReport): Promise<{ secret: string; resumed: boolean }> {
  const secret = await secrets.make(first.id)
  const { rotation, old_valid_until_ms } = await secrets.report()
  // A node that has not heard of the change knows of no old secret yet; the rotation is as the database has it.
  if (old_valid_until_ms !== undefined || (rotation !== undefined && rotation.retired_ms === undefined)) {
    await secrets.withdraw(first.id)
  }
  return { secret, resumed: false }
}

async function follow(
  secrets: ClientSecrets,
  id: string,
  fromMs: number,
  wanted: Wanted,
  world: World,
): Promise<Rotated> {
  for (;;) {
    const report = await secrets.report()
    const phase = phaseOf(report, quietOf(report, wanted.quietMs))
    if (phase === undefined || report.rotation?.id !== id) {
      throw new RelayError(
        'invalid_request',
        'Another secret was made meanwhile: run this again to go on with that one',
      )
    }
    world.seen(report, phase)
    const isOver = phase === 'done' || (phase === 'not-revalidated' && !wanted.now)
    if (isOver || report.now_ms - fromMs >= (wanted.waitMs ?? Infinity)) {
      return { report, phase }
    }
    // Where it is refused another look says why.
    if (phase !== 'ready' || !(await secrets.withdraw(report.id, id))) {
      await world.pause()
    }
  }
}
