import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { generate } from 'selfsigned'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type { RelayError } from '../../relay/errors.ts'
import { kubernetesPlace } from '../../relay/places/kubernetes.ts'
import { temporaryFolder } from './given.ts'

const SECRET = 'canary-of-the-client'
const PATH = '/api/v1/namespaces/jobs/secrets/nightly'
const KEY = { namespace: 'jobs', name: 'nightly', key: 'client-secret' }
const base64 = (plain: string) => Buffer.from(plain).toString('base64')

let cert: string
let key: string
beforeAll(async () => {
  const made = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    ...{ keyType: 'ec', algorithm: 'sha256' },
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  })
  cert = made.cert
  key = made.private
})

/**
 * A stand-in for the API server, with one Secret: it answers as Kubernetes documents it (get, JSON merge patch, a Status for
 * each refusal, 409 for a resourceVersion that is not the newest).
 */
class StandIn {
  readonly folder = temporaryFolder()
  data: Record<string, string> = { other: base64('another’s') }
  version = 1
  token = 'token-1'
  /** In place of what it would answer, by the method. */
  refuses: Readonly<Record<string, number>> = {}
  /** Done before each PATCH. */
  before: () => void = () => undefined
  readonly asked: string[] = []
  readonly server: Server
  url = ''

  constructor() {
    this.server = createServer({ cert, key }, (request, response) => {
      void text(request).then((body) => {
        this.asked.push(`${request.method ?? ''} ${request.headers['content-type'] ?? ''}`.trim())
        const [status, answer] = this.#answer(request.method, request.url, request.headers.authorization, body)
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
      })
    })
    onTestFinished(() => void this.server.close())
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    this.url = `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`
    writeFileSync(join(this.folder, 'token'), `${this.token}\n`)
    writeFileSync(join(this.folder, 'ca.crt'), cert)
    return this
  }

  place(more: { key?: string } = {}) {
    return kubernetesPlace({ ...KEY, ...more }, { url: this.url, folder: this.folder })
  }

  #answer(method = '', url = '', authorization = '', body = ''): [number, object] {
    const status = (code: number, reason: string): [number, object] => [
      code,
      { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code, message: `a message with ${body}` },
    ]
    const refusal = this.refuses[method]
    if (refusal !== undefined) {
      return status(refusal, 'Refused')
    }
    if (authorization !== `Bearer ${this.token}`) {
      return status(401, 'Unauthorized')
    }
    if (url !== PATH) {
      return status(404, 'NotFound')
    }
    if (method === 'PATCH') {
      this.before()
      const patch = JSON.parse(body) as { metadata: { resourceVersion: string }; data: Record<string, string> }
      if (patch.metadata.resourceVersion !== String(this.version)) {
        return status(409, 'Conflict')
      }
      this.data = { ...this.data, ...patch.data }
      this.version += 1
    }
    const metadata = { name: 'nightly', namespace: 'jobs', resourceVersion: String(this.version) }
    return [200, { kind: 'Secret', apiVersion: 'v1', type: 'Opaque', metadata, data: this.data }]
  }
}

test('one key of a Secret is patched, the others stay, and it is left alone while it is right', async () => {
  const cluster = await new StandIn().listen()
  expect([await cluster.place().put(SECRET), await cluster.place().put(SECRET)]).toEqual([true, false])
  expect(cluster.data).toEqual({ other: base64('another’s'), 'client-secret': base64(SECRET) })
  expect(cluster.asked).toEqual(['GET', 'PATCH application/merge-patch+json', 'GET'])
})

test('what another has changed meanwhile is read again, and not for ever', async () => {
  const cluster = await new StandIn().listen()
  let others = 1
  cluster.before = () => {
    if (others-- > 0) {
      cluster.version += 1
    }
  }
  expect([await cluster.place().put(SECRET), cluster.data['client-secret']]).toEqual([true, base64(SECRET)])
  others = Infinity
  await expect(cluster.place().put('newer')).rejects.toMatchObject({ code: 'place_unavailable' })
})

test('the token of the pod is read for each request, since it is changed every hour', async () => {
  const cluster = await new StandIn().listen()
  const place = cluster.place()
  await place.put('one')
  cluster.token = 'token-2'
  await expect(place.put('two')).rejects.toThrow(/does not know this service account’s token \(401\)/)
  writeFileSync(join(cluster.folder, 'token'), 'token-2')
  expect(await place.put('two')).toBe(true)
})

test.each([
  [403, 'access_denied', /a Role with the verbs get and patch on that one/],
  [422, 'access_denied', /refuses the key client-secret .*\(422\): is that immutable/],
  [500, 'place_unavailable', /answered 500/],
] as const)('a cluster that refuses (%i) is told with what to do', async (status, code, words) => {
  const cluster = await new StandIn().listen()
  for (const method of ['GET', 'PATCH']) {
    cluster.refuses = { [method]: status }
    const refused = (await cluster
      .place()
      .put(SECRET)
      .catch((cause: unknown) => cause)) as RelayError
    expect([refused.code, refused.message]).toEqual([code, expect.stringMatching(words)])
    expect(String(refused)).not.toMatch(/canary|Y2FuYXJ5/)
  }
  expect(cluster.data['client-secret']).toBeUndefined()
})

test('a Secret that is not there is not made, and the words say how', async () => {
  const cluster = await new StandIn().listen()
  const place = kubernetesPlace({ ...KEY, name: 'none' }, { url: cluster.url, folder: cluster.folder })
  await expect(place.put(SECRET)).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringMatching(/kubectl create secret generic none --namespace jobs/) as string,
  })
  expect(cluster.asked).toEqual(['GET'])
})

test('a server that the CA of the pod has not signed gets no token, and one that is away is named', async () => {
  const cluster = await new StandIn().listen()
  const { cert: another } = await generate([{ name: 'commonName', value: 'another' }], {
    keyType: 'ec',
    algorithm: 'sha256',
  })
  writeFileSync(join(cluster.folder, 'ca.crt'), another)
  await expect(cluster.place().put(SECRET)).rejects.toMatchObject({
    code: 'place_unavailable',
    message: expect.stringMatching(/certificate of a CA that is not trusted here .*ca\.crt/) as string,
  })
  expect(cluster.asked).toEqual([])
  writeFileSync(join(cluster.folder, 'ca.crt'), cert)
  await new Promise((resolve) => cluster.server.close(resolve))
  await expect(cluster.place().put(SECRET)).rejects.toThrow(
    /No Kubernetes answers at 127\.0\.0\.1:\d+ \(ECONNREFUSED\)/,
  )
})

test('a CA that this machine trusts beside the one of the pod gets no token', async () => {
  const cluster = await new StandIn().listen()
  const { cert: another } = await generate([{ name: 'commonName', value: 'the pod’s' }], {
    keyType: 'ec',
    algorithm: 'sha256',
  })
  writeFileSync(join(cluster.folder, 'ca.crt'), another)
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, cert])
  onTestFinished(() => {
    setDefaultCACertificates(before)
  })
  await expect(cluster.place().put(SECRET)).rejects.toThrow(/certificate of a CA that is not trusted here/)
  expect(cluster.asked).toEqual([])
})

test('outside of a pod it says that there is no service account', async () => {
  const place = kubernetesPlace(KEY, { url: 'https://127.0.0.1:9', folder: '/none' })
  await expect(place.put(SECRET)).rejects.toThrow(/\/none\/token cannot be read \(ENOENT\): run this in a pod/)
})
