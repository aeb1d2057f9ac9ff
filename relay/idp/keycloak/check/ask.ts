import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { networkCodeOf } from '../../../errors.ts'
import { exchange, type HttpAnswer } from '../../../http.ts'

const TIMEOUT_MS = 5000
/** A client that has just been changed is asked to come again once the second is over: docs/workloads.md. */
const AGAIN_MS = 1000
const MOST_TRIES = 3
const ComeAgain = z.object({ error: z.literal('temporarily_unavailable') })

/** One request, or the network's word for why there was no answer. */
export type Ask = (
  url: string,
  wanted: { authorization?: string; form?: string; json?: unknown },
) => Promise<HttpAnswer | string>

/** @param ca certificates of CAs (PEM) that are trusted in addition */
export function asking(ca?: string): Ask {
  return async (url, { authorization, form, json }) => {
    const body = json === undefined ? form : JSON.stringify(json)
    const type = json === undefined ? 'application/x-www-form-urlencoded' : 'application/json'
    const request = {
      timeoutMs: TIMEOUT_MS,
      ca,
      headers: {
        accept: 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': type }),
      },
      ...(body === undefined ? {} : { body }),
    }
    try {
      let answer = await exchange(url, request)
      for (let tries = 1; tries < MOST_TRIES && isToComeAgain(answer); tries++) {
        await delay(AGAIN_MS)
        answer = await exchange(url, request)
      }
      return answer
    } catch (cause) {
      return networkCodeOf(cause)
    }
  }
}

function isToComeAgain({ status, json }: HttpAnswer): boolean {
  return status === 503 && ComeAgain.safeParse(json).success
}
