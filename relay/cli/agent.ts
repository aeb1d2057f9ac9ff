import { setTimeout as pause } from 'node:timers/promises'
import { type Command, InvalidArgumentError } from 'commander'
import { certificates } from '../config/files.ts'
import { retryDelayMs } from '../domain/backoff.ts'
import { RelayError } from '../errors.ts'
import { type ClientSecret, clientSecretOf } from '../idp/keycloak/client-secret.ts'
import { placeNamed, type PlaceOptions } from '../places/named.ts'
import type { Place } from '../places/port.ts'
import { duration, plain } from '../text.ts'
import { caFileOption, caOf } from './ca-file.ts'
import { type Memory, turn } from './placing.ts'
import { show } from './relay.ts'
import { span } from './span.ts'
import { lasting, ownClient, tokenOf } from './token.ts'

interface Options extends PlaceOptions {
  readonly client: string
  readonly every: number
  readonly once?: boolean
  readonly caFile?: string
  readonly json?: boolean
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Whoever has mended what was wrong is not to wait for long. */
const LONGEST_PAUSE_MS = 60_000
const SHORTEST_PAUSE_MS = 1000

const HELP = `
It runs at the workload's side, with a client of its own that may view this one client: LOGOUT_RELAY_ISSUER,
LOGOUT_RELAY_CLIENT_ID and LOGOUT_RELAY_CLIENT_SECRET_FILE. Keycloak says when there is a new secret, and the agent gets it there;
neither passes the relay. What is in place already is left alone, so it may be killed and started at any time.

Vault and OpenBao: VAULT_ADDR, VAULT_CACERT, VAULT_NAMESPACE. Kubernetes: what a pod has.

Exit status with --once: 0 the secret is in place, 1 refused, or it failed. Without, it goes on trying until SIGTERM or Ctrl-C.

  logout-relay agent --client nightly-export --to file:/run/secrets/nightly-export --mode 0640 --group app
  logout-relay agent --client nightly-export --to file:/etc/nightly/secret --then 'systemctl reload nightly'
  logout-relay agent --client nightly-export --to kubernetes:jobs/nightly-export/client-secret
  logout-relay agent --client nightly-export --to 'vault:secret/nightly-export#client-secret' --vault-token-file /run/vault/token`

/** `agent`: brings a client's secret to where the client reads it, whenever there is another. */
export function addAgentCommand(program: Command): void {
  program
    .command('agent')
    .description('put a client’s secret where the client reads it, now and after each rotation; docs/workloads.md')
    .requiredOption('--client <client_id>', 'the client, which is another than the one to log in by')
    .requiredOption('--to <place>', 'file:PATH, kubernetes:NAMESPACE/NAME/KEY or vault:MOUNT/PATH#FIELD')
    .option('--mode <mode>', 'of the file (default: 0600)', permissions)
    .option('--group <group>', 'of the file')
    .option('--then <command>', 'for the shell, after each secret that was put into the file')
    .option('--kubernetes-account <folder>', 'with token and ca.crt of the service account', ACCOUNT)
    .option('--vault-token-file <file>', 'a token of Vault, which somebody else renews')
    .option('--vault-role <role>', 'in place of a token: log in as the pod’s service account')
    .option('--vault-auth <mount>', 'where Vault has its Kubernetes auth method', 'kubernetes')
    .option('--every <duration>', 'ask whether there is another secret (default: 10s)', span, 10_000)
    .option('--once', 'put it there, and return')
    .addOption(caFileOption())
    .option('--json', 'one JSON object a line')
    .addHelpText('after', HELP)
    .action(run)
}

async function run(options: Options): Promise<void> {
  const { client, once } = options
  const ca = caOf(options)
  const own = ownClient(process.env)
  if (own.clientId === client) {
    throw new RelayError(
      'config_invalid',
      `${client} is the client by which the agent itself logs in, so the next secret would lock it out: give the agent a client of its own`,
    )
  }
  const vaultCa = process.env['VAULT_CACERT']
  const place = await placeNamed(options, process.env, vaultCa ? certificates(vaultCa, 'VAULT_CACERT') : ca)
  const open = () =>
    clientSecretOf(
      { issuer: own.issuer, clientId: client, ca },
      // The file with the agent's own secret may be another by then.
      lasting(() => tokenOf({ ...ownClient(process.env), ca })),
    )
  if (once) {
    const { did } = await turn(open(), place, undefined)
    say(options, place, did)
    return
  }
  // As process 1 of a container it would not end by itself.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => process.exit(0))
  }
  await goOn(open, place, options)
}

async function goOn(open: () => ClientSecret, place: Place, options: Options): Promise<never> {
  let source = open()
  let memory: Memory | undefined
  for (let failures = 0; ;) {
    try {
      const turned = await turn(source, place, memory)
      if (turned.did === 'placed' || memory === undefined) {
        say(options, place, turned.did)
      }
      memory = turned.memory
      failures = 0
      await pause(Math.max(options.every, SHORTEST_PAUSE_MS))
    } catch (cause) {
      // Later the file with its own secret may be away or empty while somebody changes it.
      const isStart = memory === undefined && failures === 0
      if (!(cause instanceof RelayError) || (isStart && cause.code === 'config_invalid')) {
        throw cause
      }
      // What was known before may be what is wrong.
      ;[source, memory, failures] = [open(), undefined, failures + 1]
      const waitMs = Math.min(retryDelayMs(failures, Math.random()), LONGEST_PAUSE_MS)
      process.stderr.write(`logout-relay: ${plain(cause.message)}; trying again in ${duration(waitMs)}\n`)
      await pause(waitMs)
    }
  }
}

function say({ client, json }: Options, { name }: Place, state: string): void {
  const words = state === 'placed' ? `its secret is now in ${name}` : `its secret is in ${name}`
  show(json, { client_id: client, state, place: name }, [client, words])
}

function permissions(text: string): number {
  const mode = /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : 0
  if ((mode & 0o400) === 0 || (mode & 0o137) !== 0) {
    throw new InvalidArgumentError(
      'Give 0400, 0440, 0600, 0640 or the like: a secret is read, by its user and group alone.',
    )
  }
  return mode
}
