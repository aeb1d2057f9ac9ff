import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { call } from './http.ts'
import { until } from './process.ts'

export interface CibaDevice {
  readonly url: string
  /** Where Keycloak wants the person's answer. */
  callBack(url: string): void
  /** How often the person has said yes. */
  said(): number
  stop(): Promise<void>
}

/** The device of a person who says yes to every authentication request (CIBA, Keycloak's HTTP channel). */
export async function startCibaDevice(): Promise<CibaDevice> {
  let callback = ''
  let said = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(201).end()
      const headers = { authorization: request.headers.authorization ?? '' }
      const answer = () => call('POST', callback, { json: { status: 'SUCCEED' }, headers })
      // Keycloak asks before it has stored its question.
      until('Keycloak takes the answer', async () => (await answer()).status === 200).then(
        () => said++,
        () => undefined,
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    callBack: (url) => {
      callback = url
    },
    said: () => said,
    stop: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
