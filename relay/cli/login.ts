import { type Command, Option } from 'commander'
import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import { duration, plain } from '../text.ts'
import { caFileOption, caOf } from './ca-file.ts'
import { forgetLogin, keepLogin, keptLogin } from './kept-login.ts'
import { discover, type RealmClient, whyNoToken } from './realm.ts'
import { print } from './relay.ts'
import { clientSecretIn, keptOf } from './token.ts'

interface Options {
  readonly issuer: string
  readonly clientId: string
  readonly caFile?: string
}

/** `login` and `logout`: a person's own, in the browser that they have (RFC 8628). */
export function addLoginCommands(program: Command): void {
  program
    .command('login')
    .description('log in at the realm in a browser, here or elsewhere; the other commands then act as you')
    .addOption(new Option('--issuer <url>', 'the realm').env('LOGOUT_RELAY_ISSUER').makeOptionMandatory())
    .addOption(
      new Option('--client-id <client_id>', 'the client to log in through')
        .env('LOGOUT_RELAY_CLIENT_ID')
        .default('logout-relay-operator'),
    )
    .addOption(caFileOption())
    .addHelpText(
      'after',
      `
The client’s secret comes from LOGOUT_RELAY_CLIENT_SECRET or LOGOUT_RELAY_CLIENT_SECRET_FILE. The login is kept in
LOGOUT_RELAY_LOGIN_FILE, or in logout-relay/login.json under XDG_STATE_HOME (~/.local/state), for you alone.

  logout-relay login --issuer https://idp.example.org/realms/main`,
    )
    .action(async ({ issuer, clientId, ...options }: Options) => {
      await login({ issuer, clientId, clientSecret: clientSecretIn(process.env), ca: caOf(options) })
    })

  program
    .command('logout')
    .description('end the login of logout-relay login, here and at the realm')
    .addOption(caFileOption())
    .addHelpText('after', '\n  logout-relay logout')
    .action((options: Pick<Options, 'caFile'>) => logout(caOf(options)))
}

async function login(client: RealmClient): Promise<void> {
  const config = await discover(client)
  const tokens = await byDevice(config).catch((cause: unknown) => {
    throw whyNoToken(client, cause)
  })
  const file = keepLogin(process.env, keptOf(client, tokens, Date.now()))
  print(`Logged in as ${plain(nameIn(tokens.access_token))}; kept for you alone in ${file}`)
}

async function byDevice(config: oidc.Configuration) {
  const device = await oidc.initiateDeviceAuthorization(config, { scope: 'openid' })
  const { verification_uri_complete: complete, verification_uri, user_code, expires_in } = device
  process.stderr.write(
    `Open ${plain(complete ?? verification_uri)} in a browser within ${duration(expires_in * 1000)}, see that it shows the code ${plain(user_code)}, and log in.\n`,
  )
  return oidc.pollDeviceAuthorizationGrant(config, device)
}

/** Whatever the realm says, nothing of the login is left here. */
async function logout(ca: string | undefined): Promise<void> {
  const kept = keptLogin(process.env)
  forgetLogin(process.env)
  if (kept?.refresh_token === undefined) {
    print(kept ? 'Logged out' : 'There was no login')
    return
  }
  const client = { issuer: kept.issuer, clientId: kept.client_id, clientSecret: clientSecretIn(process.env), ca }
  try {
    await oidc.tokenRevocation(await discover(client), kept.refresh_token)
    print('Logged out, here and at the realm')
  } catch {
    process.stderr.write('logout-relay: the realm could not be told; the login there ends by itself\n')
    print('Logged out here')
  }
}

function nameIn(accessToken: string): string {
  try {
    const { preferred_username, sub } = decodeJwt(accessToken)
    return typeof preferred_username === 'string' ? preferred_username : (sub ?? 'somebody')
  } catch {
    return 'somebody'
  }
}
