import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { decodeJwt } from 'jose'
import type { TestProject } from 'vitest/node'
import { ACCOUNT_LINKING, cibaChannel } from '../../scripts/attack/world.ts'
import { call } from '../../scripts/stage/http.ts'
import { type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { type Postgres, startPostgres } from '../../scripts/stage/postgres.ts'
import { inCommon } from './in-common.ts'
import { QUICK } from './quick.ts'

/** What a test file is told of the Keycloak that all share. */
export interface SharedServer {
  readonly url: string
  readonly adminPassword: string
  readonly postgresPort: number
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Answers where the shared Keycloak is, and takes down where the events of a realm go. */
    readonly doorman: string
  }
}

/**
 * One Keycloak for all files that neither end it nor change what is the server's: started when the first of them asks, ended
 * with the run. Where it pushes events to, and where it asks for approval (CIBA), are settings of the whole server; both lead
 * here, and go on to where the file has said that the realm's are to go.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  Object.assign(process.env, QUICK)
  const routes = new Map<string, string>()
  let started: Promise<[KeycloakServer, Postgres]> | undefined
  const door = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(door.address() as AddressInfo).port}`

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    const path = request.url ?? ''
    if (path === '/keycloak') {
      started ??= startShared(url)
      const [keycloak, postgres] = await started
      const shared: SharedServer = {
        url: keycloak.url,
        adminPassword: keycloak.adminUser.password,
        postgresPort: postgres.port,
      }
      response.end(JSON.stringify(shared))
    } else if (request.method === 'PUT') {
      routes.set(path, body)
      response.end()
    } else {
      const { authorization, ...others } = request.headers
      const realm = realmOf(path === '/events' ? body : (authorization ?? ''))
      const to = routes.get(`${path}/${realm}`)
      if (to === undefined) {
        response.writeHead(503).end()
        return
      }
      const headers = {
        'content-type': others['content-type'] ?? '',
        ...(authorization === undefined ? {} : { authorization }),
      }
      const there = await call('POST', to, { text: body, headers })
      response.writeHead(there.status).end(there.text)
    }
  }

  project.provide('doorman', url)
  return async () => {
    door.closeAllConnections()
    door.close()
    const [keycloak, postgres] = (await started?.catch(() => undefined)) ?? []
    await keycloak?.stop()
    await postgres?.stop()
  }
}

async function startShared(door: string): Promise<[KeycloakServer, Postgres]> {
  const postgres = await startPostgres()
  const keycloak = await startKeycloak({
    ...{ ...inCommon(), postgres },
    options: [
      ...inCommon().options,
      `--spi-events-listener--logout-relay--push-url=${door}/events`,
      '--spi-events-listener--logout-relay--directories-every-ms=1000',
      cibaChannel(`${door}/ciba`),
      // For the attacks that begin so.
      ACCOUNT_LINKING,
    ],
  })
  return [keycloak, postgres]
}

/** The realm that has signed the token, by its issuer. */
function realmOf(token: string): string {
  return (
    decodeJwt(token.replace(/^Bearer /i, ''))
      .iss?.split('/')
      .at(-1) ?? ''
  )
}
