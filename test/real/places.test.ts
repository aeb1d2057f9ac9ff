import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { generateKeyPair, SignJWT } from 'jose'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { vaultPlace } from '../../relay/places/vault.ts'
import { freePort } from '../../scripts/stage/process.ts'
import { type OpenBao, startOpenBao } from '../../scripts/stage/openbao.ts'

const SECRET = 'canary-of-the-client'
/** As docs/workloads.md has it. */
const POLICY = 'path "+/data/nightly-export" { capabilities = ["create", "read", "update"] }'

let bao: OpenBao
let folder: string
let tokenFile: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'logout-relay-places-'))
  tokenFile = join(folder, 'token')
  bao = await startOpenBao()
  writeFileSync(tokenFile, `${await bao.tokenFor(POLICY)}\n`)
})

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await bao.stop()
})

const place = (path = 'secret/nightly-export', more: { url?: string; tokenFile?: string } = {}) =>
  vaultPlace(
    { path, field: 'client-secret' },
    { url: more.url ?? bao.url, login: { tokenFile: more.tokenFile ?? tokenFile } },
  )

interface Kept {
  readonly data: { readonly data: Record<string, string>; readonly metadata: { readonly version: number } }
}
const kept = async (data = 'secret/data/nightly-export') => {
  const { data: read } = await bao.must<Kept>('GET', data)
  return [read.data, read.metadata.version]
}

test('a secret is put into its field in OpenBao, beside the fields of others, and not again while it is there', async () => {
  await bao.must('POST', 'secret/data/nightly-export', { data: { user: 'nightly', 'client-secret': 'old' } })
  expect(await place().put(SECRET)).toBe(true)
  expect(await kept()).toEqual([{ user: 'nightly', 'client-secret': SECRET }, 2])
  expect([await place().put(SECRET), await kept()]).toEqual([false, [{ user: 'nightly', 'client-secret': SECRET }, 2]])
})

test('one is made where there was none, after a deletion, and in a store whose name has more than one part', async () => {
  await bao.must('DELETE', 'secret/metadata/nightly-export')
  expect([await place().put('one'), await kept()]).toEqual([true, [{ 'client-secret': 'one' }, 1]])
  await bao.must('DELETE', 'secret/data/nightly-export')
  expect([await place().put('two'), await kept()]).toEqual([true, [{ 'client-secret': 'two' }, 2]])
  await bao.must('POST', 'sys/mounts/team/kv', { type: 'kv', options: { version: '2' } })
  writeFileSync(
    join(folder, 'team'),
    await bao.tokenFor('path "team/kv/data/*" { capabilities = ["create", "read", "update"] }'),
  )
  const there = place('team/kv/nightly-export', { tokenFile: join(folder, 'team') })
  // Until the store is made over nobody can read in it.
  await expect.poll(() => there.put('one').catch(() => false), { timeout: 30_000 }).toBe(true)
  expect(await kept('team/kv/data/nightly-export')).toEqual([{ 'client-secret': 'one' }, 1])
})

test('of many who write at once none loses what another has written', async () => {
  await bao.must('DELETE', 'secret/metadata/nightly-export')
  const places = ['a', 'b', 'c'].map((field) =>
    vaultPlace({ path: 'secret/nightly-export', field }, { url: bao.url, login: { tokenFile } }),
  )
  expect(await Promise.all(places.map((one) => one.put(SECRET)))).toEqual([true, true, true])
  expect((await kept())[0]).toEqual({ a: SECRET, b: SECRET, c: SECRET })
})

test('who may not, is at the wrong place, or finds nobody there is told so, and the secret is in no word of it', async () => {
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  await bao.must('POST', 'sys/mounts/plain', { type: 'kv', options: { version: '1' } })
  const plain = file('plain', await bao.tokenFor('path "plain/*" { capabilities = ["create", "read", "update"] }'))
  const readsOnly = file('reads', await bao.tokenFor('path "secret/data/nightly-export" { capabilities = ["read"] }'))
  const cases: readonly (readonly [ReturnType<typeof place>, string, RegExp])[] = [
    [
      place('secret/nightly-export', { tokenFile: file('wrong', 'hvs.wrong') }),
      'access_denied',
      /\(403\): has the token ended/,
    ],
    [place('secret/another', { tokenFile: readsOnly }), 'access_denied', /read and write secret\/another \(403\)/],
    [place('secret/nightly-export', { tokenFile: readsOnly }), 'access_denied', /policy with read, create and update/],
    [place('plain/nightly-export', { tokenFile: plain }), 'access_denied', /no key-value store of version 2/],
    [place('none/nightly-export'), 'access_denied', /\(403\)/],
    [
      place('secret/nightly-export', { tokenFile: join(folder, 'none') }),
      'access_denied',
      /none cannot be read \(ENOENT\)/,
    ],
    [
      place('secret/nightly-export', { url: `http://127.0.0.1:${await freePort()}` }),
      'place_unavailable',
      /No Vault answers/,
    ],
  ]
  for (const [one, code, words] of cases) {
    const refused = await one.put(SECRET).then(
      () => undefined,
      (cause: unknown) => cause as Error & { code: string },
    )
    expect([refused?.code, refused?.message]).toEqual([code, expect.stringMatching(words)])
    expect(JSON.stringify([refused?.message, String(refused?.cause)])).not.toContain(SECRET)
  }
})

test('the service account of a pod gets a token of OpenBao by its role, and by no other', async () => {
  const account = join(folder, 'account')
  mkdirSync(account)
  const serviceaccount = { name: 'agent', uid: 'u-1' }
  const jwt = await new SignJWT({ 'kubernetes.io': { namespace: 'jobs', serviceaccount } })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('kubernetes/serviceaccount')
    .setSubject('system:serviceaccount:jobs:agent')
    .setIssuedAt()
    .setNotBefore('0s')
    .setExpirationTime('1h')
    .sign((await generateKeyPair('ES256')).privateKey)
  writeFileSync(join(account, 'token'), jwt)
  // A stand-in for the TokenReview of a cluster, which answers as documented; it is OpenBao that asks.
  const reviews = createServer((request, response) => {
    request.resume()
    const user = { username: 'system:serviceaccount:jobs:agent', uid: 'u-1', groups: ['system:serviceaccounts'] }
    response.writeHead(201, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify({
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        status: { authenticated: true, user },
      }),
    )
  })
  await new Promise<void>((resolve) => reviews.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void reviews.close())
  await bao.must('POST', 'sys/auth/kubernetes', { type: 'kubernetes' })
  await bao.must('POST', 'auth/kubernetes/config', {
    kubernetes_host: `http://127.0.0.1:${(reviews.address() as AddressInfo).port}`,
    token_reviewer_jwt: jwt,
    disable_local_ca_jwt: true,
    kubernetes_ca_cert: (await generate([{ name: 'commonName', value: 'cluster' }])).cert,
  })
  const token_policies = [await bao.policy(POLICY)]
  const role = (account_name: string) => ({
    bound_service_account_names: [account_name],
    bound_service_account_namespaces: ['jobs'],
    token_policies,
  })
  await bao.must('POST', 'auth/kubernetes/role/agent', role('agent'))
  await bao.must('POST', 'auth/kubernetes/role/another', role('another'))
  const by = (name: string) =>
    vaultPlace(
      { path: 'secret/nightly-export', field: 'client-secret' },
      { url: bao.url, login: { mount: 'kubernetes', role: name, folder: account } },
    )
  await bao.must('DELETE', 'secret/metadata/nightly-export')
  expect([await by('agent').put(SECRET), await by('agent').put(SECRET)]).toEqual([true, false])
  expect(await kept()).toEqual([{ 'client-secret': SECRET }, 1])
  await expect(by('another').put('x')).rejects.toMatchObject({
    code: 'access_denied',
    message: expect.stringMatching(/no token for the role another at auth\/kubernetes \(403\)/) as string,
  })
})

test('a Vault that is sealed says so, and what to do', async () => {
  await bao.must('POST', 'sys/seal')
  await expect(place().put(SECRET)).rejects.toMatchObject({
    code: 'place_unavailable',
    message: 'Vault is sealed, or no node of it is active (503): unseal it',
  })
})
