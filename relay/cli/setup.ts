import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { isLoopback } from '../domain/uri.ts'
import { RelayError } from '../errors.ts'
import type { Server, TokenOf } from '../idp/keycloak/rest.ts'
import { administrator, issuerAt, RealmApi } from '../idp/keycloak/setup/api.ts'
import { apply, shown } from '../idp/keycloak/setup/apply.ts'
import { type Line, planOf, undoOf } from '../idp/keycloak/setup/plan.ts'
import { readState, secretOf } from '../idp/keycloak/setup/read.ts'
import { CONSOLE, LISTENER, type RealmState } from '../idp/keycloak/setup/state.ts'
import { plain } from '../text.ts'
import { ask, isSomebodyThere } from './ask.ts'
import { caFileOption, caOf } from './ca-file.ts'
import { print } from './relay.ts'
import { consoleNote, filesOf, filesToRemove, type Setting, write } from './setup-files.ts'
import { accessToken } from './token.ts'

interface Options {
  readonly url: string
  readonly realm: string
  readonly caFile?: string
  readonly user?: string
  readonly loginRealm: string
  readonly console?: string
  readonly enforce?: boolean
  readonly folder: string
  readonly print?: boolean
  readonly undo?: boolean
  readonly yes?: boolean
}

/** A line of what will be done, here or at Keycloak. */
interface Step {
  readonly says: string
  /** What it sends, for --print. */
  readonly shows?: readonly string[]
  readonly act: () => Promise<void> | void
}

interface Todo {
  readonly steps: readonly Step[]
  /** What is said below them. */
  readonly notes: readonly string[]
  /** And once they are done. */
  readonly then: readonly string[]
}

const HELP = `
It makes in the realm the relay's client and its roles, a client for operators and, with --console, one for the console, gives the
relay the four roles that it needs, and switches the event listener on in shadow mode. It writes relay.yaml and the clients'
secrets, each for you alone; no secret is shown. What is right already is left alone, so it can be run again at any time. What
it has made is noted in the realm attribute logout-relay.setup, for --undo.

The account is that of --user, whose password comes from LOGOUT_RELAY_ADMIN_PASSWORD or is asked for, as is a one-time code
where the password alone is refused; or that of the other commands: LOGOUT_RELAY_TOKEN, logout-relay login, or
LOGOUT_RELAY_ISSUER, LOGOUT_RELAY_CLIENT_ID and LOGOUT_RELAY_CLIENT_SECRET. It takes manage-realm, manage-clients and
manage-users of the realm; for --print view-realm, view-clients and view-users.

Exit status: 0 done or nothing to do, 1 refused, failed, or not wanted, 78 an option, the environment or a file in the way.

  logout-relay setup --url https://idp.example.org --realm main --user admin --print
  logout-relay setup --url https://idp.example.org --realm main --user admin --console https://logout-relay.example.org/console
  logout-relay setup --url https://idp.example.org --realm main --user admin --enforce`

/** `setup`: all that a realm needs, and that the relay needs of it. */
export function addSetupCommand(program: Command): void {
  program
    .command('setup')
    .description('make in a realm what the relay needs, and a config to start with; shows all of it first, and asks')
    .requiredOption('--url <url>', 'Keycloak, for example https://idp.example.org')
    .requiredOption('--realm <realm>', 'the realm to set up')
    .addOption(caFileOption())
    .option('--user <name>', 'an administrator, to log in as')
    .option('--login-realm <realm>', 'the realm in which this administrator is', 'master')
    .option('--console <url>', 'where people will find the console, ending in /console; its client is made too')
    .option('--enforce', 'end sessions from now on: take the realm out of shadow mode')
    .option('--folder <folder>', 'where relay.yaml and the secrets go', '.')
    .addOption(new Option('--print', 'only show what would be done, with each request').conflicts('yes'))
    .addOption(
      new Option('--undo', 'take away what setup has made, and nothing else').conflicts(['console', 'enforce']),
    )
    .option('--yes', 'do it without asking')
    .addHelpText('after', HELP)
    .action(setUp)
}

async function setUp(options: Options): Promise<void> {
  const { url, realm, folder } = options
  const console = consoleOf(options.console)
  const server = { url, ca: caOf(options) }
  const setting: Setting = { folder, console, issuer: await issuerAt(server, realm), caFile: options.caFile }
  const api = new RealmApi(server, realm, await accountOf(options, server))
  if (!options.print) {
    await api.requireRights()
  }
  const look = () => (options.undo ? toUndo(api, setting) : toDo(api, setting, options))
  const todo = await look()
  print(`Realm ${plain(realm)}, ${plain(setting.issuer)}`)
  tell(todo, options.print === true)
  if (todo.steps.length === 0 || options.print) {
    return
  }
  if (!(await isWanted(options))) {
    throw new RelayError('invalid_request', 'Nothing was changed')
  }
  // Somebody may have read for long.
  const now = await look()
  if (linesOf(now) !== linesOf(todo)) {
    throw new RelayError(
      'invalid_request',
      'The realm or the folder has changed meanwhile; nothing was changed here. Run this again',
    )
  }
  await all(now.steps)
  now.then.forEach(print)
}

async function toDo(api: RealmApi, setting: Setting, { enforce, print: onlyShow }: Options): Promise<Todo> {
  const state = await readState(api)
  if (!state.installed && !onlyShow) {
    throw new RelayError('invalid_request', NOT_INSTALLED)
  }
  const secret = (client: string) => secretOf(api, client)
  const files = await filesOf(setting, secret)
  const lines = planOf(state, { console: setting.console, enforce }, randomUUID).map((line) => atKeycloak(api, line))
  const written = files
    .filter(({ isThere }) => !isThere)
    .map((file): Step => {
      const { path, client } = file
      const what = client === undefined ? 'what the relay starts with' : `the secret of ${client}, for you alone`
      return {
        says: `write      ${path}: ${what}`,
        act: async () => write(setting, file, client === undefined ? undefined : await secret(client)),
      }
    })
  // The listener comes last: from there on Keycloak records, and somebody should read it.
  const isOn = state.listeners.includes(LISTENER)
  const before = isOn ? lines : lines.slice(0, -1)
  const isShadow = !enforce && (state.mode === 'shadow' || !isOn)
  return {
    steps: [...before, ...written, ...lines.slice(before.length)],
    notes: [...notesOf(state, setting, enforce), ...consoleNote(setting)],
    then: [
      ...(written.length > 0 ? [startOf(setting)] : []),
      ...(isShadow ? ['Nothing is ended yet. Once you have seen enough: this command again, with --enforce'] : []),
    ],
  }
}

const NOT_INSTALLED =
  'Keycloak does not have the extension: put logout-relay-keycloak.jar into providers/ of each node, run kc.sh build if you start with --optimized, start Keycloak again, and then run this again'

function notesOf(state: RealmState, { console }: Setting, enforce = false): string[] {
  const { installed, listeners, mode, clients } = state
  const isOn = listeners.includes(LISTENER)
  return [
    ...(installed ? [] : [`TO DO  ${NOT_INSTALLED}`]),
    ...(isOn && mode !== 'shadow' ? ['The listener is on and resets end sessions already; that is left alone'] : []),
    ...(isOn && mode === 'shadow' && !enforce ? ['The realm is in shadow mode; --enforce ends that'] : []),
    ...(console === undefined && !clients.has(CONSOLE) ? ['No console: --console and its URL make its client'] : []),
  ]
}

async function toUndo(api: RealmApi, setting: Setting): Promise<Todo> {
  const state = await readState(api)
  const { lines, left } = undoOf(state)
  const files = await filesToRemove(setting, (client) => secretOf(api, client))
  const removed = files.remove.map((path): Step => ({ says: `remove     ${path}`, act: () => rmSync(path) }))
  return {
    // A file is known by the secret in it, so it goes before the client.
    steps: [...removed, ...lines.map((line) => atKeycloak(api, line))],
    notes: [
      ...left.map(({ says }) => `${says}, which setup has not made`),
      ...files.left.map((path) => `leave      ${path}, which is not as setup has written it`),
      'Left in any case: realm attributes of the policy, the jar and its tables at Keycloak, the relay’s store. Whoever was given a role of a client that goes loses it',
    ],
    then: ['Undone'],
  }
}

function atKeycloak(api: RealmApi, { says, changes }: Line): Step {
  return {
    says,
    shows: changes.map((change) => shown(api, change)),
    act: async () => {
      for (const change of changes) {
        await apply(api, change)
      }
    },
  }
}

function tell({ steps, notes }: Todo, withRequests: boolean): void {
  if (steps.length === 0) {
    print('Nothing to do')
  }
  for (const { says, shows = [] } of steps) {
    print(plain(says))
    const requests = withRequests ? shows.flatMap((request) => request.split('\n')) : []
    requests.forEach((line) => print(plain(`    ${line}`)))
  }
  notes.forEach((note) => print(plain(note)))
}

function linesOf({ steps }: Todo): string {
  return steps.map(({ says }) => says).join('\n')
}

async function isWanted({ yes }: Options): Promise<boolean> {
  if (yes) {
    return true
  }
  if (!isSomebodyThere()) {
    throw new RelayError(
      'invalid_request',
      'Nobody can be asked here: look at what is above, and say --yes. Nothing was changed',
    )
  }
  return /^y(es)?$/i.test(await ask('Do all of this? [y/N] '))
}

async function all(steps: readonly Step[]): Promise<void> {
  const hint = 'What is done stays: the same command goes on from there, and --undo takes it away'
  const interrupted = () => {
    process.stderr.write(`logout-relay: interrupted. ${hint}\n`)
    process.exit(130)
  }
  process.once('SIGINT', interrupted)
  for (const { says, act } of steps) {
    try {
      await act()
    } catch (cause) {
      throw cause instanceof RelayError
        ? new RelayError(cause.code, `${cause.message.replace(/[^?.]$/, '$&.')} ${hint}`, { cause })
        : cause
    }
    print(plain(`ok         ${says}`))
  }
  process.removeListener('SIGINT', interrupted)
}

/** What comes next, for who has done this for the first time. */
function startOf({ folder }: Setting): string {
  const config = folder === '.' ? '' : ` --config ${folder}/relay.yaml`
  return `Next: logout-relay start${config}, and, while it runs, logout-relay check${config}`
}

function consoleOf(url: string | undefined): string | undefined {
  // As relay.yaml takes it.
  if (url === undefined || (URL.canParse(url) && /^https?:\/\/[^?#]*\/console$/.test(url) && isSafe(url))) {
    return url
  }
  throw new RelayError(
    'config_invalid',
    '--console must be a URL that ends in /console, and https unless it is on this machine. Example: https://logout-relay.example.org/console',
  )
}

function isSafe(url: string): boolean {
  return url.startsWith('https:') || isLoopback(url)
}

async function ownToken(ca: string | undefined): Promise<string> {
  try {
    return await accessToken(process.env, Date.now(), ca)
  } catch (cause) {
    throw cause instanceof RelayError && cause.code === 'config_invalid'
      ? new RelayError(cause.code, `${cause.message}. Or name an administrator with --user`)
      : cause
  }
}

async function accountOf({ user, loginRealm }: Options, server: Server): Promise<TokenOf> {
  if (user === undefined) {
    let token = await ownToken(server.ca)
    return async (anew) => (anew ? (token = await ownToken(server.ca)) : token)
  }
  const given = process.env['LOGOUT_RELAY_ADMIN_PASSWORD'] || undefined
  if (given === undefined && !isSomebodyThere()) {
    throw new RelayError(
      'config_invalid',
      `Nobody can be asked here for the password of ${plain(user)}: set LOGOUT_RELAY_ADMIN_PASSWORD`,
    )
  }
  const password = given ?? (await ask(`Password of ${plain(user)} in the realm ${plain(loginRealm)}: `, true))
  try {
    return await administrator(server, loginRealm, { username: user, password })
  } catch (cause) {
    if (!(cause instanceof RelayError && cause.code === 'access_denied' && isSomebodyThere())) {
      throw cause
    }
    process.stderr.write(`logout-relay: ${cause.message}\n`)
    const oneTimeCode = await ask('One-time code, if the account has one (Enter for none): ')
    if (oneTimeCode === '') {
      throw cause
    }
    return administrator(server, loginRealm, { username: user, password, oneTimeCode })
  }
}
