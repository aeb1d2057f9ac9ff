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

/**
 * The device of people of any realm who say yes to every authentication request (CIBA, Keycloak's HTTP channel).
 *
 * @param nodes where each node of Keycloak is reached, if there are several: the one that has asked may be the only one to know
 */
export async function startCibaDevice(nodes: () => readonly string[] = () => []): Promise<CibaDevice> {
  let said = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      // Else Keycloak would ask again over a connection that has just been closed for being idle, and answer 503.
      response.writeHead(201, { connection: 'close' }).end()
      const authorization = request.headers.authorization ?? ''
      const { iss } = decodeJwt(authorization.replace('Bearer ', ''))
      const callback = `${iss ?? ''}/protocol/openid-connect/ext/ciba/auth/callback`
      const headers = { authorization }
      const { origin } = new URL(callback)
      const callbacks = [callback, ...nodes().map((node) => callback.replace(origin, node))]
      const answer = async () => {
        for (const url of callbacks) {
          if ((await call('POST', url, { json: { status: 'SUCCEED' }, headers })).status === 200) {
            return true
          }
        }
        return false
      }
      // Keycloak asks before it has stored its question.
      until('Keycloak takes the answer', answer).then(
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
