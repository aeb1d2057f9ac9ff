import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import { decodeJwt } from 'jose'
import { RelayError } from '../errors.ts'
import { type SecretCaller, type SecretReport, secretsOf } from '../idp/keycloak/secrets.ts'
import { keep, requireWritable } from '../places/file.ts'
import { duration, many } from '../text.ts'
import { caFileOption, caOf } from './ca-file.ts'
import { issuerOf, openProgress, type Progress, show, time } from './relay.ts'
import { type Phase, phaseOf, quietOf, rotate, type World } from './rotation.ts'
import { span } from './span.ts'
import { accessToken, lasting } from './token.ts'

interface Options {
  readonly client: string
  readonly out?: string
  readonly now?: boolean
  readonly quiet?: number
  readonly wait?: number
  readonly report?: boolean
  readonly caFile?: string
  readonly json?: boolean
}

/** The client by which the relay asks its realm. */
const RELAY = 'logout-relay'
const LOOK_MS = 2000

const HELP = `
Your token, as in docs/cli.md, must be of another client and have two roles: operate of the client logout-relay, and
manage-clients of realm-management. Killed at any point, it goes on when it is run again.

Exit status: 0 the client was seen with the new secret and no old one counts, 3 it is open.

  logout-relay rotate --client nightly-export --out /run/secrets/nightly-export --wait 26h --quiet 25h
  logout-relay rotate --client nightly-export --now
  logout-relay rotate --client nightly-export --report --json`

/** `rotate`: a client's new secret, from its making to the end of the old one. */
export function addRotateCommand(program: Command): void {
  program
    .command('rotate')
    .description(
      'give a client a new secret; the old one ends once the client was seen with the new; docs/workloads.md',
    )
    .requiredOption('--client <client_id>', 'the client')
    .option('--out <file>', 'write the new secret there, for your user alone')
    .option('--now', 'end the old one at once, as after a theft')
    .option(
      '--quiet <duration>',
      'end the old one after nobody has come with it for so long (default: a token’s life)',
      span,
    )
    .option('--wait <duration>', 'return after so long, whatever has come of it (default: never)', span)
    .option('--report', 'change nothing: say how far it is, and who comes with which secret')
    .addOption(caFileOption())
    .option('--json', 'one JSON object a line')
    .addHelpText('after', HELP)
    .action(run)
}

async function run(options: Options): Promise<void> {
  const ca = caOf(options)
  const token = lasting(() => accessToken(process.env, Date.now(), ca))
  const issuer = realmOf(await token(), options.client)
  const secrets = secretsOf(issuer, options.client, token, ca)
  if (options.report) {
    report(await secrets.report(), options)
    return
  }
  if (options.out !== undefined) {
    requireWritable(options.out, '--out')
  }
  const progress = openProgress(options.json)
  const wanted = { now: options.now === true, quietMs: options.quiet, waitMs: options.wait }
  try {
    const { report: last, phase } = await rotate(secrets, wanted, world(options, progress))
    progress.clear()
    report(last, options, phase)
  } finally {
    progress.clear()
  }
}

function world(options: Options, progress: Progress): World {
  const named = new Set<string>()
  return {
    keep: (secret) => {
      if (options.out !== undefined) {
        keep(options.out, secret)
      }
    },
    begun: (begun, resumed) => {
      const { client_id, old_valid_until_ms, rotation } = begun
      const until =
        old_valid_until_ms === undefined ? 'no old one counts' : `the old one counts until ${time(old_valid_until_ms)}`
      const words = [
        client_id,
        resumed ? 'has a new secret since' : 'has a new secret',
        ...(resumed ? [time(rotation?.begun_ms ?? 0)] : []),
        until,
        whereTo(options),
      ]
      show(
        options.json,
        { client_id, state: resumed ? 'resumed' : 'begun', rotation: rotation?.id, old_valid_until_ms },
        words,
      )
    },
    seen: (looked, phase) => {
      for (const one of looked.rotation?.callers ?? []) {
        const id = `${one.secret} ${one.address} ${one.user_agent}`
        if (!named.has(id)) {
          named.add(id)
          progress.clear()
          showCaller(looked.client_id, one, options)
        }
      }
      progress.say(`${looked.client_id}: ${says(looked, phase, options.quiet)}`)
    },
    pause: () => pause(LOOK_MS),
  }
}

/** What came of it, with everybody who has come, those with the old secret first. */
function report(last: SecretReport, options: Options, known?: Phase): void {
  const phase = known ?? phaseOf(last, quietOf(last, options.quiet))
  for (const one of last.rotation?.callers ?? []) {
    if (options.report) {
      showCaller(last.client_id, one, options)
    }
  }
  const { client_id, old_valid_until_ms } = last
  if (phase === undefined) {
    show(options.json, { client_id, state: 'unchanged' }, [client_id, 'has had no new secret that the extension saw'])
    return
  }
  const { id, begun_ms, new_seen_ms, old_last_ms, retired_ms } = last.rotation ?? {}
  const facts = {
    client_id,
    state: phase,
    rotation: id,
    begun_ms,
    new_seen_ms,
    old_last_ms,
    retired_ms,
    old_valid_until_ms,
  }
  show(options.json, facts, [client_id, phase === 'done' ? 'done' : 'OPEN', says(last, phase, options.quiet)])
  process.exitCode = phase === 'done' ? 0 : 3
}

function says(report: SecretReport, phase: Phase, quietMs: number | undefined): string {
  const { rotation, now_ms, old_valid_until_ms } = report
  const old = rotation?.callers.filter(({ secret }) => secret !== 'new') ?? []
  const uses = old.reduce((sum, one) => sum + one.uses, 0)
  const stillOld =
    old.length === 0 ? '' : `; ${many(old.length, 'caller')} came with the old one, ${many(uses, 'time')}`
  const left = old_valid_until_ms === undefined ? '' : `; it counts for ${duration(old_valid_until_ms - now_ms)} more`
  switch (phase) {
    case 'new-unseen':
      return `nobody has come with the new secret${stillOld}${left}`
    case 'old-in-use':
      return `the new secret is in use; the old one can end in ${duration((rotation?.reaches_ms ?? now_ms) + quietOf(report, quietMs) - now_ms)}, if nobody comes with it${stillOld}${left}`
    case 'ready':
      return `the old secret can end${stillOld}`
    case 'done':
      return `the client has come with the new secret, and no old one counts${stillOld}`
    case 'not-revalidated':
      return `no old secret counts, and nobody has come with the new one${stillOld}`
  }
}

function showCaller(client_id: string, one: SecretCaller, { json }: Options): void {
  const from = one.address === '' ? 'others' : one.address
  show(json, { client_id, ...one }, [
    client_id,
    one.secret,
    from,
    one.user_agent || '-',
    many(one.uses, 'time'),
    `last ${time(one.last_ms)}`,
  ])
}

function whereTo({ client, out, now }: Options): string {
  const where = out === undefined ? 'it is in Keycloak’s console, Clients, Credentials' : `it is in ${out}`
  if (client !== RELAY) {
    return `${where}: bring it to where the client reads it`
  }
  const until = now ? '; until then events wait in the outbox, and nothing is lost' : ''
  return `${where}: put it where client_secret or client_secret_file of relay.yaml reads it, and start the relay anew${until}`
}

function claims(token: string): { readonly azp?: unknown } {
  try {
    return decodeJwt(token)
  } catch {
    return {}
  }
}

/** Whoever changes the secret that they log in by would be seen as the client, and be cut off half way. */
function realmOf(token: string, client: string): string {
  const issuer = issuerOf(token)
  if (issuer === undefined) {
    throw new RelayError(
      'config_invalid',
      'The access token is opaque, so nobody knows its realm: use one that is a JWT',
    )
  }
  if (claims(token).azp === client) {
    throw new RelayError(
      'config_invalid',
      `Your own token is one of ${client}, whose secret would change under your feet: log in through another client that may act (docs/security.md)`,
    )
  }
  return issuer
}
