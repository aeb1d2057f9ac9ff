import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { type Command, Option } from 'commander'
import { RelayError } from '../errors.ts'
import { KeyAdmin } from '../idp/keycloak/rotation/key-admin.ts'
import { inOrder, planRotation, type RealmKey, type Rotation, type Wanted } from '../idp/keycloak/rotation/plan.ts'
import { caOf } from './ca-file.ts'
import { issuerOf, kidOf, onRelay, ownToken, print, type RelayOptions, show } from './relay.ts'
import { endsWords, hurtsWords, isSecret, leftWords, rotationWords } from './rotate-realm-words.ts'
import { freshToken } from './token.ts'
import { watchNewKeys } from './watch-keys.ts'

const HELP = `
For when a key of the realm may have been stolen (docs/workloads.md). It takes your own login with the role manage-realm. Keys
that encrypt stay as they are. It says first what ends and where it hurts, and asks for the realm's name. It may be interrupted
at any time: each algorithm then has one key that signs, and the same command goes on.

Then it watches, until all is seen or you interrupt it: the realm publishing the new keys, the relay taking them, and each
relying party taking a logout token that one has signed, for a session that does not exist.

Exit status: 0 done and seen, 1 not done, 3 done, and not all of it was seen.

  logout-relay keys rotate-realm
  logout-relay keys rotate-realm --disable`

interface Options extends RelayOptions {
  readonly issuer?: string
  readonly alg?: string[]
  readonly key?: string
  readonly disable?: boolean
  readonly yes?: boolean
}

/** `keys rotate-realm`: the realm's own keys, which are not the relay's. */
export function addRotateRealmCommand(keys: Command): void {
  onRelay(keys, 'rotate-realm', 'break glass: give the realm itself new signing keys, the old ones passive or disabled')
    .addOption(new Option('--issuer <issuer>', 'the realm, if it is another than that of your login'))
    .option('--disable', 'disable the old keys, and all older ones: what they signed ends at once')
    .option('--alg <alg...>', 'for these algorithms alone, not for all with which the realm signs')
    .option('--key <kid>', 'replace this key alone')
    .option('--yes', 'do not ask')
    .addHelpText('after', HELP)
    .action(rotateRealm)
}

async function rotateRealm(options: Options): Promise<void> {
  const { disable = false, json } = options
  const ca = caOf(options)
  let token = await ownToken(ca)
  const renew = async () => {
    token = await freshToken(process.env, Date.now(), ca)
    return token
  }
  const issuer = options.issuer ?? issuerOf(token)
  if (issuer === undefined) {
    throw new RelayError('config_invalid', 'The access token does not say of which realm it is: say it with --issuer')
  }
  const admin = new KeyAdmin(issuer, () => token, ca)
  const wanted = wantedBy(options)
  const set = await admin.read()
  const rotations = planRotation(set, wanted)
  if (rotations.length === 0) {
    show(json, { nothing_to_do: true }, ['Nothing is to be done'])
    return
  }
  const ownTokenEnds = disable && isFixed() && rotations.some(({ retire }) => retire.some(isOf(token)))
  tell(json, issuer, { rotations, disable, set, signed: await admin.signed(), ownTokenEnds })
  await agreed(options, decodeURIComponent(issuer.slice(issuer.lastIndexOf('/') + 1)))
  // It may have taken a while, in which the token has ended and somebody else has done something.
  await renew()
  if (JSON.stringify(planRotation(await admin.read(), wanted)) !== JSON.stringify(rotations)) {
    throw new RelayError('invalid_request', 'Nothing was changed: meanwhile the realm’s keys have. Run this again')
  }
  const stop = stopped()
  const made = await carryOut(rotations, options, admin, renew, stop)
  if (ownTokenEnds) {
    process.exitCode = 3
    return
  }
  const published = rotations.flatMap(({ alg, make, signer }) => {
    const kid = make ? made.get(alg) : signer?.kid
    return kid === undefined || isSecret(alg) ? [] : [kid]
  })
  process.exitCode = (await watchNewKeys({ issuer, url: options.url, ca, json, published, stop })) ? 0 : 3
}

function wantedBy({ disable = false, alg: algs = [], key: kid }: Options): Wanted {
  const run = `${new Date().toISOString()}-${randomBytes(4).toString('hex')}`
  return { disable, algs, run, ...(kid === undefined ? {} : { kid }) }
}

/** From now on an interruption ends the work after its next step, and says what is left. */
function stopped(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stop.abort())
  }
  return stop.signal
}

/** The new keys first, then a token that one of them has signed, then the old ones. @returns kids of new keys by algorithm */
async function carryOut(
  rotations: readonly Rotation[],
  { disable = false, json }: Options,
  admin: KeyAdmin,
  renew: () => Promise<string>,
  stop: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const done = { made: new Map<string, string>(), retired: new Set<string>() }
  try {
    for (const { alg, make } of rotations) {
      stop.throwIfAborted()
      if (make) {
        const kid = await admin.make(alg, make)
        done.made.set(alg, kid)
        show(json, { alg, made: kid }, [alg, `${kid} is new and signs`])
      }
    }
    for (const key of inOrder(rotations, kidOf(await renew()))) {
      stop.throwIfAborted()
      await admin.retire(key, disable)
      done.retired.add(key.kid)
      const now = disable ? 'disabled' : 'passive'
      show(json, { alg: key.alg, [now]: key.kid }, [key.alg, `${key.kid} is ${now}`])
    }
  } catch (cause) {
    const left = leftWords(rotations, disable, done)
    left.forEach((words) => show(json, { left: words }, ['LEFT', words]))
    const again = 'Each algorithm has one key that signs. Run the same command again'
    throw stop.aborted
      ? new RelayError('invalid_request', `Interrupted. ${again}`)
      : new RelayError('idp_unavailable', `${cause instanceof Error ? cause.message : String(cause)}. ${again}`, {
          cause,
        })
  }
  return done.made
}

function tell(json: boolean | undefined, issuer: string, ahead: Parameters<typeof endsWords>[0]): void {
  const { rotations, disable, set, signed } = ahead
  for (const one of rotations) {
    const kids = { makes_new: one.make !== undefined, retires: one.retire.map(({ kid }) => kid) }
    show(json, { issuer, alg: one.alg, ...kids, disable }, rotationWords(one, disable))
  }
  if (json) {
    print(JSON.stringify({ ends: endsWords(ahead), hurts: hurtsWords(ahead), ...signed }))
    return
  }
  if (set.encryption.length > 0) {
    print(`${set.encryption.join(', ')}  encrypt, and stay as they are`)
  }
  endsWords(ahead).forEach((words) => show(json, {}, ['ENDS', words]))
  hurtsWords(ahead).forEach((words) => show(json, {}, ['HURTS', words]))
}

/** Asked on standard error, since the answer is no result. @throws RelayError where it is not given */
async function agreed({ yes = false }: Options, realm: string): Promise<void> {
  if (yes) {
    return
  }
  process.stderr.write(`Type the name of the realm, ${realm}, to go on: `)
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === realm) {
      return
    }
    break
  }
  throw new RelayError('invalid_request', 'Nothing was changed: it takes the realm’s name, or --yes')
}

/** One that was given is sent as it is, for as long as it lives. */
function isFixed(): boolean {
  return (process.env['LOGOUT_RELAY_TOKEN'] ?? '') !== ''
}

/** Whether a key has signed this token. */
function isOf(token: string): (key: RealmKey) => boolean {
  return ({ kid }) => kid === kidOf(token)
}
