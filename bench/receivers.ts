import { type ChildProcess, fork } from 'node:child_process'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { fileURLToPath } from 'node:url'
import { generate } from 'selfsigned'

export interface ReceiverOptions {
  readonly origins: number
  readonly delayMs?: number
  readonly tls?: boolean
}

export interface Receivers {
  /** The origin of each, to which any path may be added. Under `/hang` nobody ever answers. */
  readonly origins: readonly string[]
  /** The certificate to trust (PEM). */
  readonly ca?: string
  stop(): void
}

interface Up {
  readonly ports: readonly number[]
  readonly cert?: string
}

/** Relying parties that answer 200 to everything, after a time that is always the same, in one process of their own. */
export async function startReceivers(options: ReceiverOptions): Promise<Receivers> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)])
  const { ports, cert } = await new Promise<Up>((resolve) => child.once('message', (up) => resolve(up as Up)))
  return {
    origins: ports.map((port) => `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`),
    ...(cert === undefined ? {} : { ca: cert }),
    stop: () => child.disconnect(),
  }
}

async function serve({ origins, delayMs = 0, tls = false }: ReceiverOptions): Promise<Up> {
  const answer: RequestListener = (question, response) => {
    question.resume()
    question.on('end', () => {
      if (question.url === '/hang') {
        return
      }
      if (delayMs === 0) {
        response.end()
      } else {
        setTimeout(() => response.end(), delayMs)
      }
    })
  }
  const altNames = [{ type: 7 as const, ip: '127.0.0.1' }]
  const identity = tls
    ? await generate([{ name: 'commonName', value: '127.0.0.1' }], {
        keyType: 'ec',
        extensions: [{ name: 'subjectAltName', altNames }],
      })
    : undefined
  const ports = await Promise.all(
    Array.from({ length: origins }, () => {
      const server = identity
        ? createTlsServer({ key: identity.private, cert: identity.cert }, answer)
        : createServer(answer)
      server.keepAliveTimeout = 60_000
      return new Promise<number>((resolve) =>
        server.listen(0, '127.0.0.1', () => {
          const address = server.address()
          resolve(address !== null && typeof address === 'object' ? address.port : 0)
        }),
      )
    }),
  )
  return { ports, ...(identity ? { cert: identity.cert } : {}) }
}

const given = process.argv[2]
if (process.argv[1] === fileURLToPath(import.meta.url) && given !== undefined) {
  process.once('disconnect', () => process.exit(0))
  process.send?.(await serve(JSON.parse(given) as ReceiverOptions))
}
