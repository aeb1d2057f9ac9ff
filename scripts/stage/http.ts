import { request } from 'undici'

export interface Answer<T = unknown> {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly json: () => T
}

/** One request, nothing followed, nothing thrown for a status. */
export async function call<T = unknown>(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  {
    headers = {},
    json,
    form,
    text,
  }: { headers?: Record<string, string>; json?: unknown; form?: Record<string, string>; text?: string } = {},
): Promise<Answer<T>> {
  const body = json !== undefined ? JSON.stringify(json) : form ? new URLSearchParams(form).toString() : text
  const type = json !== undefined ? 'application/json' : form ? 'application/x-www-form-urlencoded' : undefined
  const response = await request(url, {
    method,
    headers: { ...(type ? { 'content-type': type } : {}), ...headers },
    ...(body === undefined ? {} : { body }),
    headersTimeout: 240_000,
    // The servers asked here are killed and started again: no connection is kept to one that is gone.
    reset: true,
  })
  const answer = await response.body.text()
  return { status: response.statusCode, headers: response.headers, text: answer, json: () => JSON.parse(answer) as T }
}
