import { setTimeout as delay } from 'node:timers/promises'
import * as oidc from 'openid-client'
import { z } from 'zod'
import { RelayError } from '../../errors.ts'
import type { HttpAnswer } from '../../http.ts'

const MOST_TRIES = 3
const AGAIN_MS = 1000
const MOST_AGAIN_MS = 5000
const ComeAgain = z.object({ error: z.literal('temporarily_unavailable') })

/** Lets so many milliseconds pass. */
export type Sleep = (ms: number) => Promise<unknown>

/**
 * A token for a client, asked for as often as it is told to come again: where its secret was changed within this second, or a
 * node has not heard of the change (docs/workloads.md). In the end the last answer counts, whatever it is.
 *
 * @param answerOf what was answered; undefined where nobody did
 */
export async function untilTold<T>(
  ask: () => Promise<T>,
  answerOf: (asked: T) => HttpAnswer | undefined | Promise<HttpAnswer | undefined>,
  sleep: Sleep = delay,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const asked = await ask()
    const waitMs = tries < MOST_TRIES ? waitOf(await answerOf(asked)) : undefined
    if (waitMs === undefined) {
      return asked
    }
    await sleep(waitMs)
  }
}

/**
 * The same by a configuration of a realm.
 *
 * @throws what openid-client says of a refusal; RelayError `idp_unavailable` where the realm fails, or puts the client off for good
 */
export async function clientToken(config: oidc.Configuration, sleep?: Sleep): Promise<oidc.TokenEndpointResponse> {
  const grant = () =>
    oidc.clientCredentialsGrant(config).then(
      (token) => ({ token }),
      (cause: unknown) => ({ cause }),
    )
  const answerOf = (asked: object) => ('cause' in asked ? failureIn(asked.cause) : undefined)
  const asked = await untilTold(grant, answerOf, sleep)
  if ('token' in asked) {
    return asked.token
  }
  const failure = await failureIn(asked.cause)
  throw failure === undefined
    ? asked.cause
    : new RelayError(
        'idp_unavailable',
        `${config.serverMetadata().issuer} gives the client no token now (${failure.status}): try again, and see Keycloak’s log`,
        { cause: asked.cause },
      )
}

/** What the library does not read, since it is no error of OAuth: it has kept the answer itself. */
async function failureIn(cause: unknown): Promise<HttpAnswer | undefined> {
  const response = cause instanceof Error ? cause.cause : undefined
  if (!(response instanceof Response) || response.status < 500) {
    return undefined
  }
  const json: unknown = await response
    .clone()
    .json()
    .catch(() => undefined)
  return { status: response.status, json, retryAfter: response.headers.get('retry-after') ?? undefined }
}

function waitOf(answer: HttpAnswer | undefined): number | undefined {
  if (answer?.status !== 503 || !ComeAgain.safeParse(answer.json).success) {
    return undefined
  }
  const ms = Number(answer.retryAfter) * 1000
  return ms > 0 ? Math.min(ms, MOST_AGAIN_MS) : AGAIN_MS
}
