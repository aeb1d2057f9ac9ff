import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { RelayError } from '../errors.ts'
import { isUserId, usersOf } from '../idp/keycloak/users.ts'
import { many } from '../text.ts'
import { caOf } from './ca-file.ts'
import { api, issuerOf, onRelay, ownToken, print, type RelayOptions, show, time } from './relay.ts'

const MOST = 500
const HELP = `
A user is given by id, or by name where your own token may look up users at the realm (role view-users of realm-management).

  logout-relay containments --limit 5
  logout-relay containments --user alice
  logout-relay containments b7c1… --json`

interface Listed extends RelayOptions {
  readonly limit: number
  readonly user?: string
}

/** `containments`: the latest, those of one user, or the evidence of one. */
export function addContainmentsCommand(program: Command): void {
  onRelay(program, 'containments', 'the latest containments, or the evidence of one; needs the role view')
    .argument('[id]', 'of this one, all its evidence')
    .option('--limit <n>', `how many, at most ${MOST}`, count, 20)
    .option('--user <user>', 'of this user')
    .addHelpText('after', HELP)
    .action(async (id: string | undefined, options: Listed) =>
      id === undefined ? list(options) : evidence(id, options),
    )
}

async function evidence(id: string, options: Listed): Promise<void> {
  for await (const line of api(options).evidence(id)) {
    const data = Object.entries(line.data).map(([name, value]) => `${name}=${value}`)
    show(options.json, line, [time(line.at_ms), line.kind, ...data])
  }
}

async function list(options: Listed): Promise<void> {
  const subject = options.user === undefined ? undefined : await subjectOf(options.user, caOf(options))
  const found = await api(options).containments(options.limit, subject)
  for (const one of found) {
    const missing = one.arrived < one.parts ? `, ${one.arrived} of ${one.parts} parts` : ''
    const state = one.closed_at_ms === undefined ? `${one.open} open${missing}` : 'closed'
    const givenUp = one.dismissed > 0 ? [`${one.dismissed} given up`] : []
    const lives = (one.unreachable_until_ms ?? 0) > Date.now()
    const untold = lives ? [`${many(one.unreachable, 'session')} that nobody can be told about`] : []
    const counted = many(one.deliveries, 'delivery', 'deliveries')
    show(options.json, one, [
      ...[one.id, time(one.event_at_ms), one.trigger, one.subject ?? 'of an unknown user', counted, state],
      ...givenUp,
      ...untold,
    ])
  }
  if (found.length === 0 && !options.json) {
    print(options.user === undefined ? 'There are none yet' : 'There are none of this user')
  }
}

/** With the caller's own right to look at users, and no other. */
async function subjectOf(user: string, ca: string | undefined): Promise<string> {
  if (isUserId(user)) {
    return user
  }
  const token = await ownToken(ca)
  const issuer = issuerOf(token)
  if (issuer === undefined) {
    throw new RelayError(
      'config_invalid',
      'The access token is opaque, so nobody can be looked up by it: give the user’s id',
    )
  }
  const subject = await usersOf(issuer, ca)
    .find(token, user)
    .catch((cause: unknown) => {
      throw cause instanceof RelayError && cause.code === 'access_denied'
        ? new RelayError('access_denied', `${cause.message}. Or give the user’s id: --user 5b2e…`)
        : cause
    })
  if (subject === undefined) {
    throw new RelayError(
      'invalid_request',
      'No user of the realm goes by exactly this name or email address, or several do: give the user’s id',
    )
  }
  return subject
}

function count(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > MOST) {
    throw new InvalidArgumentError(`Give a number from 1 to ${MOST}.`)
  }
  return number
}
