#!/usr/bin/env node
import './run/threads.ts'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { SelectionMembers } from './api/client.ts'
import { AdminApi } from './idp/keycloak/audit/admin-api.ts'
import { type Level, LEVELS } from './idp/keycloak/audit/danger.ts'
import { readRealm } from './idp/keycloak/audit/read.ts'
import { withWorkloads } from './idp/keycloak/audit/read-workloads.ts'
import { asJson, asText, reaches } from './idp/keycloak/audit/show.ts'
import { addAgentCommand } from './cli/agent.ts'
import { addLoginCommands } from './cli/login.ts'
import { addKeyCommands } from './cli/keys.ts'
import { api, type RelayOptions, onRelay, openProgress, print, show, time } from './cli/relay.ts'
import { addRelyingPartyCommands } from './cli/relying-parties.ts'
import { addCompletionCommand } from './cli/completion.ts'
import { containedWords } from './cli/contained.ts'
import { caFileOption, caOf } from './cli/ca-file.ts'
import { addContainmentsCommand } from './cli/containments.ts'
import { addHeldCommands } from './cli/held.ts'
import { addRotateCommand } from './cli/rotate.ts'
import { addSetupCommand } from './cli/setup.ts'
import { addStatusCommand } from './cli/status.ts'
import { addStreamCommands } from './cli/streams.ts'
import { loadConfig } from './config/config.ts'
import { RelayError } from './errors.ts'
import { many } from './text.ts'
import { VERSION } from './version.ts'

export const program = new Command('logout-relay')
  .description('Ends every session at every relying party when a password is reset')
  .version(VERSION)
  .addHelpText('after', '\nExit statuses, and what each command is for: docs/cli.md')

/** What scripts may rely on; docs/cli.md has them as a table. */
export const EXIT_STATUSES: readonly (readonly [status: number, meaning: string])[] = [
  [0, 'done, and nothing is left to do'],
  [
    1,
    '`check`, `relying-parties check`, `streams check`: there is something to do. `audit`: a finding of `--fail-on` or more. Others: refused, or it failed',
  ],
  [2, '`audit`: wrong use, or the realm could not be read'],
  [
    3,
    '`status`: something is open. `keys status`: the realm still signs for an algorithm that `relay.yaml` names. `keys rotate-realm`: done, and not all of it was seen. `rotate`: the client was not seen with the new secret, or an old one counts',
  ],
  [4, '`status`: nothing is open, but sessions may still live that nobody can be told about'],
  [5, '`status`: nothing is open, but the relay or its realm needs something, as the lines with TO DO say'],
  [78, 'the config or the environment is wrong; the message names the field and gives an example'],
]

const configFile = () =>
  new Option('-c, --config <file>', 'the config file').env('LOGOUT_RELAY_CONFIG').default('relay.yaml')

program
  .command('start')
  .description('run the relay until SIGTERM or Ctrl-C')
  .addOption(configFile())
  .addHelpText(
    'after',
    '\nIts log is JSON on standard output, a line an event.\n\n  logout-relay start --config /etc/logout-relay/relay.yaml',
  )
  .action(async ({ config }: { config: string }) => {
    const { startRelay } = await import('./main.ts')
    const relay = await startRelay(loadConfig(config, process.env))
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        void relay.close().then(() => process.exit(0))
      })
    }
  })

program
  .command('check')
  .description('look at everything the relay needs, and say of each that it is ok or what to do; changes nothing')
  .addOption(configFile())
  .option('--json', 'one JSON object a line')
  .addHelpText(
    'after',
    `
Relying parties are sent tokens that they must refuse, and some that they must take; all name a session that does not exist.

Exit status: 0 all is ok, 1 there is something to do, 78 the config is wrong.

  logout-relay check --config /etc/logout-relay/relay.yaml
  logout-relay check --json | jq -r 'select(.ok | not) | .says'`,
  )
  .action(async ({ config: path, json }: { config: string; json?: boolean }) => {
    const config = loadConfig(path, process.env)
    const [{ check }, { makeRelyingParties }] = await Promise.all([
      import('./check/check.ts'),
      import('./run/configured.ts'),
    ])
    const finding = check(config, path, makeRelyingParties(config), Date.now)
    for await (const one of finding) {
      show(json, one, [one.ok ? 'ok   ' : 'TO DO', one.check, one.about, one.says])
      process.exitCode = one.ok ? process.exitCode : 1
    }
  })

addSetupCommand(program)

interface Selected extends RelayOptions {
  readonly id?: string
  readonly client?: string
  readonly containment?: string
  readonly from?: number
  readonly before?: number
}

interface Contained {
  readonly client?: string[]
  readonly reason: string
  readonly dryRun?: boolean
  readonly confirm?: boolean
}

const counted = (deliveries: number) => many(deliveries, 'delivery', 'deliveries')

const instant = (text: string): number => {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) {
    throw new InvalidArgumentError('Give a time such as 2026-11-24T08:00:00Z.')
  }
  return ms
}
const deliveries = program
  .command('deliveries')
  .description('what relying parties have not confirmed; log in first, with logout-relay login or by the environment')

function onDeliveries(name: string, description: string): Command {
  return onRelay(deliveries, name, description)
    .option('--client <client_id>', 'of this relying party')
    .option('--containment <id>', 'of this containment')
}

function onSelection(name: string, description: string): Command {
  return onDeliveries(name, description)
    .option('--id <id>', 'this one')
    .option('--from <time>', 'received at this time or later', instant)
    .option('--before <time>', 'received before this time', instant)
}

function selection({ id, client, containment, from, before }: Selected): SelectionMembers {
  const members = {
    id,
    client_id: client,
    containment_id: containment,
    created_from_ms: from,
    created_before_ms: before,
  }
  const given = Object.entries(members).filter((entry): entry is [string, string | number] => entry[1] !== undefined)
  if (given.length === 0) {
    throw new RelayError('invalid_request', 'Say which: --id, --client, --containment, --from or --before')
  }
  return Object.fromEntries(given)
}

onDeliveries('list', 'list deliveries; needs the role view')
  .addOption(
    new Option('--state <state>', 'in this state')
      .choices(['open', 'delivered', 'expired', 'dismissed'])
      .default('open'),
  )
  .addHelpText(
    'after',
    '\n  logout-relay deliveries list --client wiki\n  logout-relay deliveries list --state dismissed --json',
  )
  .action(async (options: Selected & { state: string }) => {
    const filter = {
      state: options.state,
      ...(options.client === undefined ? {} : { client_id: options.client }),
      ...(options.containment === undefined ? {} : { containment_id: options.containment }),
    }
    for await (const one of api(options).list(filter)) {
      const words = [one.id, one.state, one.client_id, time(one.created_at_ms), many(one.attempts, 'attempt')]
      show(options.json, one, [...words, one.last_reason ?? ''])
    }
  })

onSelection('retry', 'attempt now what waits; needs the role operate')
  .addHelpText('after', '\n  logout-relay deliveries retry --client wiki')
  .action(async (options: Selected) => {
    const progress = openProgress(options.json)
    progress.say('The relay makes due what waits')
    const changed = await api(options).retry(selection(options))
    progress.clear()
    show(options.json, { changed }, [`Due now: ${counted(changed)}`])
  })

onSelection('dismiss', 'give up open deliveries for good; needs the role dismiss')
  .requiredOption('--reason <text>', 'why, for whoever reads the evidence')
  .addHelpText(
    'after',
    '\nA dismissal ends no session.\n\n  logout-relay deliveries dismiss --client wiki --before 2026-11-24T08:00:00Z --reason "switched off on Monday"',
  )
  .action(async (options: Selected & { reason: string }) => {
    const progress = openProgress(options.json)
    progress.say('The relay gives up what is open')
    const changed = await api(options).dismiss(selection(options), options.reason)
    progress.clear()
    show(options.json, { changed }, [`Dismissed: ${counted(changed)}`])
  })

onRelay(
  program.command('outbox').description("the realm's record of what relying parties have to be told"),
  'reread',
  'take up events that the outbox holds and the store has lost; needs the role operate',
)
  .option('--since <time>', 'all events since this time, not only those in which a session has no end', instant)
  .addHelpText('after', '\n  logout-relay outbox reread --since 2026-11-24T08:00:00Z')
  .action(async (options: RelayOptions & { since?: number }) => {
    let [read, taken] = [0, 0]
    const progress = openProgress(options.json)
    for await (const page of api(options).reread(options.since)) {
      read += page.read
      taken += page.taken
      progress.say(`${many(read, 'event')} read, ${taken} of them missing`)
    }
    progress.clear()
    show(options.json, { read, taken }, [`${many(read, 'event')} read, ${taken} of them missing, and received now`])
  })

addStatusCommand(program)

addContainmentsCommand(program)

onRelay(
  program,
  'contain',
  'end everything of these users or clients, at the identity provider and everywhere; needs the role operate',
)
  .argument('[user...]', 'ids or user names in the realm of the token')
  .option('--client <id...>', 'clients, with all that their service accounts have; they keep their secrets')
  .requiredOption('--reason <text>', 'why, for whoever reads the evidence')
  .option('--dry-run', 'only say what would end')
  .option('--confirm', 'it is meant, though many were signed out this way already; needs the role confirm')
  .addHelpText(
    'after',
    `
Exit status: 0 all is done, 1 something is not.

  logout-relay contain alice --reason "laptop stolen" --dry-run
  logout-relay contain alice bob --reason "INC-4711"
  logout-relay contain --client nightly-export --reason "secret in a public repository"`,
  )
  .action(
    async (
      users: string[],
      { client: clients = [], reason, dryRun = false, confirm = false, ...asked }: RelayOptions & Contained,
    ): Promise<void> => {
      const all = [
        ...users.map((subject) => ({ name: subject, word: { subject } })),
        ...clients.map((client_id) => ({ name: client_id, word: { client_id } })),
      ]
      if (all.length === 0) {
        throw new RelayError('invalid_request', 'Say who: users, or --client and a client')
      }
      const progress = openProgress(asked.json)
      for (const [n, { name, word }] of all.entries()) {
        try {
          progress.say(`${n + 1} of ${all.length}: ${name}`)
          const one = await api(asked).contain({ ...word, reason, dry_run: dryRun, confirm })
          progress.clear()
          show(asked.json, one, [name, containedWords(one), one.containment_id ?? ''])
        } catch (cause) {
          progress.clear()
          if (!(cause instanceof RelayError && cause.code === 'invalid_request')) {
            throw cause
          }
          // The others are not to wait for one whose name is misspelt.
          process.stderr.write(`logout-relay: ${name}: ${cause.message}\n`)
          process.exitCode = 1
        }
      }
    },
  )

addHeldCommands(program)
addRelyingPartyCommands(program)
addLoginCommands(program)

interface Audited {
  readonly url: string
  readonly realm: string
  readonly loginRealm?: string
  readonly caFile?: string
  readonly json?: boolean
  readonly failOn?: Level
}

program
  .command('audit')
  .description(
    'what would survive a password reset in a realm; the account comes from the environment, see docs/audit.md',
  )
  .requiredOption('--url <url>', 'Keycloak, for example https://idp.example.org')
  .requiredOption('--realm <realm>', 'the realm to audit')
  .option('--login-realm <realm>', 'the realm in which the account is, if it is another')
  .addOption(caFileOption())
  .option('--json', 'one JSON object')
  .addOption(new Option('--fail-on <level>', 'exit status 1 for findings of this danger or more').choices(LEVELS))
  // As grep has it: 1 is what was found, 2 that there was trouble; 78 is EX_CONFIG as everywhere here.
  .addHelpText('after', '\n  logout-relay audit --url https://idp.example.org --realm main --fail-on high')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async ({ url, realm, loginRealm, json, failOn, ...options }: Audited) => {
    try {
      const api = new AdminApi(url, loginRealm ?? realm, process.env, caOf(options))
      const read = await withWorkloads(api, await readRealm(api, realm), Date.now())
      print(json ? asJson(read, url, new Date().toISOString()) : asText(read, url))
      process.exitCode = failOn !== undefined && reaches(read, failOn) ? 1 : 0
    } catch (cause) {
      if (!(cause instanceof RelayError) || cause.code === 'config_invalid') {
        throw cause
      }
      process.stderr.write(`logout-relay: ${cause.message}\n`)
      process.exitCode = 2
    }
  })

addRotateCommand(program)
addAgentCommand(program)

addKeyCommands(program, show)
addCompletionCommand(program, print)
addStreamCommands(program)

/** Does what the process was started for. */
export async function main(): Promise<void> {
  // Whoever reads only the first lines has closed the pipe: what is left is for nobody.
  process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EPIPE') {
      throw cause
    }
    process.exit()
  })
  try {
    await program.parseAsync()
  } catch (cause) {
    // 78 is EX_CONFIG, 1 anything else that failed.
    process.stderr.write(`logout-relay: ${cause instanceof RelayError ? cause.message : String(cause)}\n`)
    process.exit(cause instanceof RelayError && cause.code === 'config_invalid' ? 78 : 1)
  }
}

// Not when it is imported, for its help.
if (import.meta.main) {
  await main()
}
