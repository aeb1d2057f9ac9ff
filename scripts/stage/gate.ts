import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { call } from './http.ts'

export interface Gate {
  readonly url: string
  /** While it is shut, everybody is answered 503. */
  shut: boolean
  stop(): Promise<void>
}

/** A way to an application's logout URL that can be shut, for a logout that Keycloak sends once and nobody hears. */
export async function startGate(behind: string): Promise<Gate> {
  const server = createServer((request, response) => {
    if (gate.shut) {
      response.writeHead(503).end()
      return
    }
    let body = ''
    request.setEncoding('utf8').on('data', (part: string) => (body += part))
    request.on('end', () => {
      call('POST', behind, { form: Object.fromEntries(new URLSearchParams(body)) })
        .then(({ status }) => response.writeHead(status).end())
        .catch(() => response.writeHead(502).end())
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const gate: Gate = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    shut: false,
    stop: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  return gate
}
