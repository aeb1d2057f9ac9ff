import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeJwt } from 'jose'
import { call } from './http.ts'
import { until } from './process.ts'

export interface CibaDevice {
  readonly url: string
  /** How often the person has said yes. */
  said(): number
  stop(): Promise<void>
}

/** The device of people of any realm who say yes to every authentication request (CIBA, Keycloak's HTTP channel). */
export async function startCibaDevice(): Promise<CibaDevice> {
  let said = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(201).end()
      const authorization = request.headers.authorization ?? ''
      const { iss } = decodeJwt(authorization.replace('Bearer ', ''))
      const callback = `${iss ?? ''}/protocol/openid-connect/ext/ciba/auth/callback`
      const headers = { authorization }
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
    said: () => said,
    stop: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
