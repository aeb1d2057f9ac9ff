import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { codeOf, networkCodeOf, RelayError, whyUntrusted } from '../errors.ts'
import { exchange, type HttpAnswer } from '../http.ts'
import type { Place } from './port.ts'

const TIMEOUT_MS = 15_000
const TRIES = 3

const Mount = z.object({
  data: z.object({ path: z.string(), options: z.object({ version: z.string() }).nullish() }),
})
/** Of a version that was deleted there is only the number. */
const Version = z.object({
  data: z.object({
    data: z.record(z.string(), z.unknown()).nullish(),
    metadata: z.object({ version: z.number() }),
  }),
})
const Login = z.object({ auth: z.object({ client_token: z.string() }) })
const Errors = z.object({ errors: z.array(z.string()) })

export interface VaultField {
  /** Mount and path, as `vault kv put` has them. */
  readonly path: string
  readonly field: string
}

export interface VaultAt {
  readonly url: string
  readonly namespace?: string | undefined
  readonly ca?: string | undefined
  readonly login: VaultLogin
}

export type VaultLogin =
  /** Read anew each time: Vault Agent and others renew what is in it. */
  | { readonly tokenFile: string }
  /** By the pod's service account. */
  | { readonly mount: string; readonly role: string; readonly folder: string }

type Ask = (path: string, body?: object) => Promise<HttpAnswer>

/** One field of a secret in HashiCorp Vault or OpenBao, KV version 2. Other fields stay as they are. */
export function vaultPlace({ path, field }: VaultField, at: VaultAt): Place {
  const name = `Vault ${path}, field ${field}`
  return {
    name,
    put: async (secret) => {
      const ask = asking(at, await tokenOf(at))
      const data = await dataPath(ask, path)
      for (let left = TRIES; ; left -= 1) {
        const { version, fields } = await newest(ask, data, path)
        if (fields[field] === secret) {
          return false
        }
        // Only if nobody has written another version since.
        const written = await ask(data, { options: { cas: version }, data: { ...fields, [field]: secret } })
        if (written.status === 200) {
          return true
        }
        if (!isOvertaken(written) || left === 1) {
          throw refused('written', written, path)
        }
      }
    },
  }
}

/** Where the mount begins that holds the path, Vault knows. */
async function dataPath(ask: Ask, path: string): Promise<string> {
  const answer = await ask(`sys/internal/ui/mounts/${encoded(path)}`)
  const mount = Mount.safeParse(answer.json)
  if (answer.status !== 200 || !mount.success) {
    throw refused('found', answer, path)
  }
  const { path: at, options } = mount.data.data
  if (options?.version !== '2') {
    throw new RelayError(
      'access_denied',
      `${at} in Vault is no key-value store of version 2, so nobody could tell whether another has written meanwhile: name another one`,
    )
  }
  const inMount = path.slice(at.length)
  if (inMount === '') {
    throw new RelayError('config_invalid', `--to: ${path} is the store itself: name a secret in it`)
  }
  return `${encoded(at)}data/${encoded(inMount)}`
}

async function newest(ask: Ask, data: string, path: string) {
  const answer = await ask(data)
  const found = Version.safeParse(answer.json)
  if (found.success && (answer.status === 200 || answer.status === 404)) {
    return { version: found.data.data.metadata.version, fields: found.data.data.data ?? {} }
  }
  if (answer.status === 404) {
    return { version: 0, fields: {} }
  }
  throw refused('read', answer, path)
}

async function tokenOf(at: VaultAt): Promise<string> {
  const { login } = at
  if ('tokenFile' in login) {
    return text(login.tokenFile, 'put a token of Vault there')
  }
  const jwt = text(
    join(login.folder, 'token'),
    'run this in a pod with a service account and automountServiceAccountToken',
  )
  const answer = await asking(at)(`auth/${encoded(login.mount)}/login`, { role: login.role, jwt })
  const given = Login.safeParse(answer.json)
  if (answer.status !== 200 || !given.success) {
    throw answer.status >= 500
      ? refused('opened', answer, `auth/${login.mount}`)
      : new RelayError(
          'access_denied',
          `Vault gave this service account no token for the role ${login.role} at auth/${login.mount} (${answer.status}): does the role name the service account and its namespace?`,
        )
  }
  return given.data.auth.client_token
}

function asking({ url, namespace, ca }: VaultAt, token?: string): Ask {
  const headers = {
    // Whoever makes a browser ask cannot set it.
    ...{ 'x-vault-request': 'true', 'content-type': 'application/json' },
    ...(token === undefined ? {} : { 'x-vault-token': token }),
    ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
  }
  return async (path, body) => {
    try {
      return await exchange(`${url}/v1/${path}`, {
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...{ headers, ca, timeoutMs: TIMEOUT_MS },
      })
    } catch (cause) {
      const code = networkCodeOf(cause)
      const why = whyUntrusted(code, 'VAULT_CACERT')
      throw new RelayError(
        'place_unavailable',
        why === undefined ? `No Vault answers at ${url} (${code})` : `The Vault at ${url} ${why}`,
        { cause },
      )
    }
  }
}

function isOvertaken({ status, json }: HttpAnswer): boolean {
  return status === 400 && (Errors.safeParse(json).data?.errors.join().includes('check-and-set') ?? false)
}

function refused(what: string, { status }: HttpAnswer, path: string): RelayError {
  switch (status) {
    case 403:
      return new RelayError(
        'access_denied',
        `Vault does not let this token read and write ${path} (403): has the token ended? It takes a policy with read, create and update on the data of that path, see docs/workloads.md`,
      )
    case 404:
      return new RelayError('not_found', `Vault has nothing at ${path} (404): is its store mounted?`)
    case 503:
      return new RelayError('place_unavailable', 'Vault is sealed, or no node of it is active (503): unseal it')
    default:
      return new RelayError('place_unavailable', `Vault answered ${status} when ${path} was to be ${what}`)
  }
}

function text(file: string, whatToDo: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    throw new RelayError('access_denied', `${file} cannot be read (${codeOf(cause) ?? 'unknown'}): ${whatToDo}`)
  }
}

const encoded = (path: string) => path.split('/').map(encodeURIComponent).join('/')
