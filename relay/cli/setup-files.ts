import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { codeOf, RelayError } from '../errors.ts'
import { CONSOLE, OPERATOR, RELAY } from '../idp/keycloak/setup/state.ts'

export interface Setting {
  readonly folder: string
  readonly issuer: string
  readonly console?: string | undefined
  /** By which the relay trusts the realm as well. */
  readonly caFile?: string | undefined
}

/** A file that setup writes, and what is in its place. */
export interface Written {
  readonly path: string
  /** Whose secret it holds; the config has none. */
  readonly client?: string
  readonly isThere: boolean
}

const CONFIG = 'relay.yaml'
const Config = z.looseObject({
  issuers: z.array(z.looseObject({ issuer: z.string() })),
  console: z.looseObject({ url: z.string() }).optional(),
})

/**
 * The files, and whether they are right already. A secret is right if it is the client's, the config if it names the realm.
 *
 * @param secretOf of a client; undefined where it is not there yet
 * @throws RelayError `config_invalid` for a file in the way, which is never written over
 */
export async function filesOf(
  setting: Setting,
  secretOf: (client: string) => Promise<string | undefined>,
): Promise<Written[]> {
  const files: Written[] = []
  for (const client of clientsOf(setting)) {
    const path = pathOf(setting, `${client}.secret`)
    const held = contentOf(path)?.trim()
    if (held !== undefined && held !== (await secretOf(client))) {
      throw inTheWay(path, `is not the secret of the client ${client} of ${setting.issuer}`)
    }
    files.push({ path, client, isThere: held !== undefined && !isOpenToOthers(path) })
  }
  const path = pathOf(setting, CONFIG)
  const held = contentOf(path)
  if (held !== undefined && !names(held, setting.issuer)) {
    throw inTheWay(path, `does not name the issuer ${setting.issuer}`)
  }
  return [...files, { path, isThere: held !== undefined }]
}

/** What a config that is there lacks of the console. */
export function consoleNote(setting: Setting): string[] {
  const path = pathOf(setting, CONFIG)
  const held = contentOf(path)
  const { issuer, console } = setting
  if (held === undefined || console === undefined || Config.safeParse(yaml(held)).data?.console?.url === console) {
    return []
  }
  const lacks = JSON.stringify({ issuer, client_secret_file: pathOf(setting, `${CONSOLE}.secret`), url: console })
  return [`TO DO  ${path} is left as it is; the console needs in it: console: ${lacks}`]
}

/** Whole or not at all, and a secret for its owner alone. */
export function write(setting: Setting, { path, client }: Written, secret: string | undefined): void {
  try {
    mkdirSync(setting.folder, { recursive: true })
    if (client !== undefined && contentOf(path) !== undefined) {
      chmodSync(path, 0o600)
      return
    }
    const beside = `${path}.new`
    rmSync(beside, { force: true })
    writeFileSync(beside, client === undefined ? configOf(setting) : `${secret ?? ''}\n`, {
      mode: client === undefined ? 0o644 : 0o600,
    })
    renameSync(beside, path)
  } catch (cause) {
    throw new RelayError(
      'config_invalid',
      `${path} cannot be written by this user (${codeOf(cause) ?? 'unknown'}): name another folder with --folder`,
    )
  }
}

/** Those that setup has written and nobody has changed since, and those that it leaves. */
export async function filesToRemove(
  setting: Setting,
  secretOf: (client: string) => Promise<string | undefined>,
): Promise<{ readonly remove: readonly string[]; readonly left: readonly string[] }> {
  const [remove, left]: [string[], string[]] = [[], []]
  const path = pathOf(setting, CONFIG)
  const config = contentOf(path)
  if (config !== undefined) {
    const url = Config.safeParse(yaml(config)).data?.console?.url
    ;(config === configOf({ ...setting, console: url }) ? remove : left).push(path)
  }
  for (const client of [RELAY, OPERATOR, CONSOLE]) {
    const file = pathOf(setting, `${client}.secret`)
    const held = contentOf(file)?.trim()
    if (held !== undefined) {
      ;(held === (await secretOf(client)) ? remove : left).push(file)
    }
  }
  return { remove, left }
}

/** What a relay starts with. */
function configOf(setting: Setting): string {
  const { issuer, console, caFile = '' } = setting
  const secretFile = (client: string) => ({ client_secret_file: pathOf(setting, `${client}.secret`) })
  const config = {
    issuers: [{ issuer, ...secretFile(RELAY), ...(caFile === '' ? {} : { ca_file: resolve(caFile) }) }],
    ...(console === undefined ? {} : { console: { issuer, ...secretFile(CONSOLE), url: console } }),
  }
  return `# Made by logout-relay setup. Every field, its default and its meaning: docs/configuration.md\n${stringify(config)}`
}

function clientsOf({ console }: Setting): string[] {
  return [RELAY, OPERATOR, ...(console === undefined ? [] : [CONSOLE])]
}

function pathOf({ folder }: Setting, name: string): string {
  return join(resolve(folder), name)
}

function inTheWay(path: string, why: string): RelayError {
  return new RelayError(
    'config_invalid',
    `${path} is there already and ${why}: setup writes over nothing. Move it away, or name another folder with --folder`,
  )
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') {
      return undefined
    }
    throw new RelayError('config_invalid', `${path} cannot be read by this user (${codeOf(cause) ?? 'unknown'})`)
  }
}

function isOpenToOthers(path: string): boolean {
  return (statSync(path).mode & 0o077) !== 0
}

function names(config: string, issuer: string): boolean {
  return Config.safeParse(yaml(config)).data?.issuers.some((one) => one.issuer === issuer) === true
}

function yaml(text: string): unknown {
  try {
    return parse(text)
  } catch {
    return undefined
  }
}
