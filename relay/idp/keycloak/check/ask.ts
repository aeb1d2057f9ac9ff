import { networkCodeOf } from '../../../errors.ts'
import { exchange, type HttpAnswer } from '../../../http.ts'

const TIMEOUT_MS = 5000

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
      return await exchange(url, request)
    } catch (cause) {
      return networkCodeOf(cause)
    }
  }
}
