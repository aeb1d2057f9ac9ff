import { isLoopback } from '../domain/uri.ts'
import { RelayError } from '../errors.ts'
import { filePlace, groupId } from './file.ts'
import { kubernetesPlace } from './kubernetes.ts'
import type { Place } from './port.ts'
import { withCommand } from './then.ts'
import { type VaultAt, vaultPlace } from './vault.ts'

type Env = Readonly<Record<string, string | undefined>>

export interface PlaceOptions {
  readonly to: string
  readonly mode?: number
  readonly group?: string
  readonly then?: string
  readonly kubernetesAccount: string
  readonly vaultTokenFile?: string
  readonly vaultRole?: string
  readonly vaultAuth: string
}

const FORMS =
  '--to: give file:/run/secrets/nightly, kubernetes:namespace/name/key or vault:mount/path#field, with nothing left out'

/**
 * The place that `--to` names.
 *
 * @param vaultCa certificates (PEM) that are trusted in addition where Vault is asked
 * @throws RelayError `config_invalid`
 */
export async function placeNamed(options: PlaceOptions, env: Env, vaultCa: string | undefined): Promise<Place> {
  const [, kind = '', rest = ''] = /^(file|kubernetes|vault):(.+)$/s.exec(options.to) ?? []
  if (kind === 'file') {
    return fileNamed(rest, options)
  }
  if (options.mode !== undefined || options.group !== undefined || options.then !== undefined) {
    throw invalid(
      '--mode, --group and --then are for a file: leave them out, or name one with --to file:/run/secrets/…',
    )
  }
  if (kind === 'kubernetes') {
    return kubernetesNamed(rest, options, env)
  }
  if (kind === 'vault') {
    return vaultNamed(rest, options, env, vaultCa)
  }
  throw invalid(FORMS)
}

async function fileNamed(path: string, { mode = 0o600, group, then }: PlaceOptions): Promise<Place> {
  if (!path.startsWith('/') || path.endsWith('/') || path.includes('\0')) {
    throw invalid('--to: the path of a file begins with / and names a file: file:/run/secrets/nightly')
  }
  const place = filePlace(path, { mode, gid: group === undefined ? undefined : await groupId(group) })
  return then === undefined ? place : withCommand(place, path, then)
}

function kubernetesNamed(text: string, { kubernetesAccount }: PlaceOptions, env: Env): Place {
  const [namespace = '', name = '', key = '', ...more] = text.split('/')
  if ([namespace, name, key].some((part) => !/^[\w.-]+$/.test(part) || /^\.+$/.test(part)) || more.length > 0) {
    throw invalid(FORMS)
  }
  const [host = '', port = '443'] = [env['KUBERNETES_SERVICE_HOST'], env['KUBERNETES_SERVICE_PORT']]
  const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  if (host === '' || !URL.canParse(url)) {
    throw invalid(
      'KUBERNETES_SERVICE_HOST is not set, as it is in every pod: run this in a pod, or set it and KUBERNETES_SERVICE_PORT to the API server',
    )
  }
  return kubernetesPlace({ namespace, name, key }, { url, folder: kubernetesAccount })
}

function vaultNamed(text: string, options: PlaceOptions, env: Env, vaultCa: string | undefined): Place {
  const [path = '', field = '', ...more] = text.split('#')
  if (
    field === '' ||
    more.length > 0 ||
    !path.split('/').every((part) => part !== '' && !/^\.+$/.test(part)) ||
    !path.includes('/')
  ) {
    throw invalid(FORMS)
  }
  const url = (env['VAULT_ADDR'] ?? '').replace(/\/+$/, '')
  if (!URL.canParse(url) || !(url.startsWith('https://') || (url.startsWith('http://') && isLoopback(url)))) {
    throw invalid('VAULT_ADDR must be https, or http on this machine. Example: https://vault.example.org:8200')
  }
  return vaultPlace(
    { path, field },
    { url, namespace: env['VAULT_NAMESPACE'] || undefined, ca: vaultCa, login: loginOf(options) },
  )
}

function loginOf({ vaultTokenFile, vaultRole, vaultAuth, kubernetesAccount }: PlaceOptions): VaultAt['login'] {
  if ((vaultTokenFile === undefined) === (vaultRole === undefined)) {
    throw invalid('vault: takes either --vault-token-file or --vault-role')
  }
  return vaultTokenFile === undefined
    ? { mount: vaultAuth, role: vaultRole ?? '', folder: kubernetesAccount }
    : { tokenFile: vaultTokenFile }
}

const invalid = (what: string) => new RelayError('config_invalid', what)
