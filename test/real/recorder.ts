import { createServer } from 'node:http'
import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'

export interface Recorded {
  readonly token: string
  readonly header: ReturnType<typeof decodeProtectedHeader>
  readonly claims: JWTPayload
}

export interface Recorder {
  readonly logoutUri: string
  readonly tokens: Recorded[]
  close(): void
}

/**
 * A relying party without sessions of its own: it writes down what it is told. For what a real one would not show.
 *
 * @param read the claims of a token that it takes; where that rejects, it answers 400 as a real one does
 */
export async function startRecorder(
  onPort = 0,
  read: (token: string) => Promise<JWTPayload> = (token) => Promise.resolve(decodeJwt(token)),
): Promise<Recorder> {
  const tokens: Recorded[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (part: string) => (body += part))
    request.on('end', () => {
      const token = new URLSearchParams(body).get('logout_token') ?? ''
      read(token).then(
        (claims) => {
          tokens.push({ token, header: decodeProtectedHeader(token), claims })
          response.writeHead(204).end()
        },
        () => response.writeHead(400).end(),
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(onPort, '127.0.0.1', resolve))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    logoutUri: `http://127.0.0.1:${port}/logout`,
    tokens,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
