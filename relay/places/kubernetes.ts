import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Agent } from 'undici'
import { z } from 'zod'
import { codeOf, networkCodeOf, RelayError, whyUntrusted } from '../errors.ts'
import { exchange, type HttpAnswer, type HttpRequest } from '../http.ts'
import type { Place } from './port.ts'

const TIMEOUT_MS = 15_000
const TRIES = 3

const Found = z.object({
  metadata: z.object({ resourceVersion: z.string() }),
  data: z.record(z.string(), z.string()).optional(),
})

export interface SecretKey {
  readonly namespace: string
  readonly name: string
  readonly key: string
}

export interface Cluster {
  /** Of the API server. */
  readonly url: string
  /** With `token` and `ca.crt`, as a pod has it; both are read anew for each request, since the token is changed each hour. */
  readonly folder: string
}

/** One key of a Secret that is there. Others of its keys stay as they are. */
export function kubernetesPlace(secretKey: SecretKey, cluster: Cluster): Place {
  const { namespace, name, key } = secretKey
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(name)}`
  const ask = (wanted: Pick<HttpRequest, 'method' | 'body'>) => request(`${cluster.url}${path}`, cluster, wanted)
  return {
    name: `Secret ${namespace}/${name}, key ${key}`,
    put: async (secret) => {
      const value = Buffer.from(secret).toString('base64')
      for (let left = TRIES; ; left -= 1) {
        const read = await ask({ method: 'GET' })
        const found = Found.safeParse(read.json)
        if (read.status !== 200 || !found.success) {
          throw refused('read', read, secretKey)
        }
        const { metadata, data } = found.data
        if (data?.[key] === value) {
          return false
        }
        // Only if nobody has changed it since.
        const patch = { metadata: { resourceVersion: metadata.resourceVersion }, data: { [key]: value } }
        const written = await ask({ method: 'PATCH', body: JSON.stringify(patch) })
        if (written.status === 200) {
          return true
        }
        if (written.status !== 409 || left === 1) {
          throw refused('changed', written, secretKey)
        }
      }
    },
  }
}

async function request(
  url: string,
  { folder }: Cluster,
  wanted: Pick<HttpRequest, 'method' | 'body'>,
): Promise<HttpAnswer> {
  const headers = {
    ...{ authorization: `Bearer ${inFolder(folder, 'token').trim()}`, accept: 'application/json' },
    ...(wanted.body === undefined ? {} : { 'content-type': 'application/merge-patch+json' }),
  }
  const ca = inFolder(folder, 'ca.crt')
  try {
    return await exchange(url, { ...wanted, headers, dispatcher: trustingOnly(ca), timeoutMs: TIMEOUT_MS })
  } catch (cause) {
    const code = networkCodeOf(cause)
    const host = new URL(url).host
    const why = whyUntrusted(code, `${folder}/ca.crt`)
    throw new RelayError(
      'place_unavailable',
      why === undefined ? `No Kubernetes answers at ${host} (${code})` : `The Kubernetes at ${host} ${why}`,
      { cause },
    )
  }
}

let trusted: { readonly ca: string; readonly agent: Agent } | undefined

/** The cluster's own CA and no other, as every client in a pod: the API server has no certificate of a public one. */
function trustingOnly(ca: string): Agent {
  if (trusted?.ca !== ca) {
    trusted = { ca, agent: new Agent({ connect: { ca } }) }
  }
  return trusted.agent
}

function inFolder(folder: string, name: string): string {
  const file = join(folder, name)
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new RelayError(
      'access_denied',
      `${file} cannot be read (${codeOf(cause) ?? 'unknown'}): run this in a pod with a service account and automountServiceAccountToken, or name a folder with token and ca.crt in --kubernetes-account`,
    )
  }
}

function refused(what: 'read' | 'changed', { status }: HttpAnswer, { namespace, name, key }: SecretKey): RelayError {
  const secret = `the Secret ${name} of the namespace ${namespace}`
  switch (status) {
    case 401:
      return new RelayError('access_denied', 'Kubernetes does not know this service account’s token (401)')
    case 403:
      return new RelayError(
        'access_denied',
        `Kubernetes does not let this service account have ${secret} ${what} (403): it takes a Role with the verbs get and patch on that one, see deploy/kubernetes/agent.yaml`,
      )
    case 404:
      return new RelayError(
        'not_found',
        `There is no Secret ${name} in the namespace ${namespace} (404), and an agent makes none: kubectl create secret generic ${name} --namespace ${namespace}`,
      )
    case 409:
      return new RelayError('place_unavailable', `Others change ${secret} all the time (409)`)
    case 422:
      return new RelayError(
        'access_denied',
        `Kubernetes refuses the key ${key} in ${secret} (422): is that immutable, or the key not one of letters, digits, -, _ and .?`,
      )
    default:
      return new RelayError('place_unavailable', `Kubernetes answered ${status} when ${secret} was to be ${what}`)
  }
}
