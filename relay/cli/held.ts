import type { Command } from 'commander'
import { RelayError } from '../errors.ts'
import { type Held, heldOf, type HeldOfRealm } from '../idp/keycloak/held.ts'
import { many } from '../text.ts'
import { caFileOption, caOf } from './ca-file.ts'
import { issuerOf, ownToken, print, show } from './relay.ts'

interface Options {
  readonly json?: boolean
  readonly caFile?: string
}

interface Decided extends Options {
  readonly reason: string
}

const MEANING = {
  confirm: 'what it is about ends, some hundred users at a time',
  dismiss: 'nothing ends; that it was let go, and by whom, is among the changes',
} as const

/** `logout-relay held …`: what waits in the realm for a person's word. The realm itself is asked, with the caller's own token. */
export function addHeldCommands(program: Command): void {
  const commands = program
    .command('held')
    .description(
      'what ends nothing until a person says so: everybody at once, very many changes of a directory or words of an identity provider; log in first, with logout-relay login or by the environment',
    )
  const on = (name: string, description: string) =>
    commands.command(name).description(description).addOption(caFileOption()).option('--json', 'one JSON object a line')

  on('list', 'what waits; needs the role confirm')
    .addHelpText('after', '\n  logout-relay held list --json')
    .action(async (options: Options) => {
      const waiting = await (await realm(options)).list()
      waiting.forEach((one) => show(options.json, one, [one.id, ...words(one)]))
      if (waiting.length === 0 && !options.json) {
        print('Nothing waits')
      }
    })

  const decides = (decision: 'confirm' | 'dismiss', description: string, example: string) =>
    on(decision, `${description}; needs the role confirm`)
      .argument('<id>', 'of what waits, as list has it')
      .requiredOption('--reason <text>', 'why, for whoever reads it later')
      .addHelpText('after', example)
      .action(async (id: string, { json, reason, ...options }: Decided) => {
        const there = await realm(options)
        const one = (await there.list()).find((waiting) => waiting.id === id)
        if (!one) {
          throw new RelayError('invalid_request', 'Nothing of that id waits: logout-relay held list')
        }
        await there.decide(one, decision, reason)
        show(json, { ...one, decision }, [...words(one), MEANING[decision]])
      })
  decides(
    'confirm',
    'it is meant: end it',
    '\n  logout-relay held confirm 9b1c… --reason "INC-4711, all of them were phished"',
  )
  decides(
    'dismiss',
    'it is not meant: let it go, for good',
    '\nWhat is let go ends nothing, also not what of it was meant.\n\n  logout-relay held dismiss 0d1c… --reason "restore of the directory, CHG-42"',
  )
}

function words({ kind, about, held }: Held): string[] {
  switch (kind) {
    case 'realm logout':
      return ['everybody', `signed out at ${about}`, many(held, 'user')]
    case 'directory':
      return ['directory', about, many(held, 'changed user')]
    case 'upstream':
      return ['identity provider', about, many(held, 'word')]
  }
}

/** The one whose token it is. An opaque one does not say, and then the environment must. */
async function realm(options: Pick<Options, 'caFile'>): Promise<HeldOfRealm> {
  const ca = caOf(options)
  const token = await ownToken(ca)
  const issuer = issuerOf(token) ?? process.env['LOGOUT_RELAY_ISSUER']
  if (issuer === undefined || issuer === '') {
    throw new RelayError(
      'config_invalid',
      'The access token is opaque and does not say whose it is: set LOGOUT_RELAY_ISSUER. Example: https://idp.example.org/realms/main',
    )
  }
  return heldOf(issuer, token, ca)
}
