import { request } from 'undici'
import { codeOf } from './finding.ts'

const TIMEOUT_MS = 5000

export interface Asked {
  readonly status: number
  readonly body: unknown
  /** Where it redirects to; no redirect is followed. */
  readonly location?: string
}

/** One request, or the network's word for why there was no answer. */
export async function ask(
  url: string,
  { authorization, form, json }: { authorization?: string; form?: string; json?: unknown },
): Promise<Asked | string> {
  const body = json === undefined ? form : JSON.stringify(json)
  try {
    const response = await request(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined
          ? {}
          : { 'content-type': json === undefined ? 'application/x-www-form-urlencoded' : 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const { location } = response.headers
    return {
      status: response.statusCode,
      body: await response.body.json().catch(() => undefined),
      ...(typeof location === 'string' ? { location } : {}),
    }
  } catch (cause) {
    return codeOf(cause)
  }
}
