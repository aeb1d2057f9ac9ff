import { type Command, Option } from 'commander'
import { type Config, loadConfig } from '../config/config.ts'
import { RelayError } from '../errors.ts'
import { keycloakComponent, publishCommand } from '../idp/keycloak/publish.ts'
import { openProvider } from '../run/open.ts'
import { createKey, importKey, keyStatus, LAST_TOKENS_S, rotateKey } from '../signing/acts.ts'
import { SIGNING_ALGORITHMS, type KeyPlace, readRelayKey } from '../signing/key.ts'
import { nextOf } from '../signing/realm-keys.ts'
import { addRotateRealmCommand } from './rotate-realm.ts'

interface KeyOptions {
  readonly config: string
  readonly issuer?: string
  readonly alg?: string
  readonly json?: boolean
}

interface Place extends KeyPlace {
  readonly realm: Config['issuers'][number]
  readonly publishedForMs: number
}

type Show = (json: boolean | undefined, one: object, words: readonly (string | number)[]) => void

/** `logout-relay keys …`: the keys with which the relay signs logout tokens by itself, where relay.yaml has `signing`, and the realm's. */
export function addKeyCommands(program: Command, show: Show): void {
  const keys = program
    .command('keys')
    .description('the keys with which the relay signs logout tokens by itself, and the realm’s; see docs/signing.md')

  const on = (name: string, description: string) =>
    keys
      .command(name)
      .description(description)
      .addOption(new Option('-c, --config <file>', 'the config file').env('LOGOUT_RELAY_CONFIG').default('relay.yaml'))
      .option('--issuer <issuer>', 'of this realm')
      .addOption(new Option('--alg <alg>', 'for this algorithm').choices(SIGNING_ALGORITHMS))
  const report = (name: string, description: string) => on(name, description).option('--json', 'one JSON object a line')

  report('create', 'make every key that relay.yaml names and that is not there yet')
    .addHelpText(
      'after',
      '\nTo be run as the user that runs the relay.\n\n  logout-relay keys create --config relay.yaml',
    )
    .action((options: KeyOptions) => {
      for (const place of places(options)) {
        const { alg, file, realm } = place
        const created = createKey(place)
        const { fingerprint } = readRelayKey(file, alg)
        const todo = created ? `publish it: ${publishing(place, options.config, '')}` : 'was there already'
        show(options.json, { issuer: realm.issuer, alg, file, fingerprint, created }, [alg, file, fingerprint, todo])
      }
    })

  report('import <file>', 'take a private key (PEM) made elsewhere; beside a current key it becomes the next')
    .addHelpText('after', '\n  logout-relay keys import made-elsewhere.pem --alg ES256')
    .action((from: string, options: KeyOptions) => {
      const place = onePlace(options)
      const file = importKey(place, from)
      const { fingerprint } = readRelayKey(file, place.alg)
      const todo = `publish it: ${publishing(place, options.config, file === place.file ? '' : ' --next')}`
      show(options.json, { issuer: place.realm.issuer, alg: place.alg, file, fingerprint }, [file, fingerprint, todo])
    })

  on('export', 'print the component that makes the realm publish a key; it holds the private key, so it goes to a pipe')
    .option('--next', 'the next key')
    .addHelpText('after', '\n  logout-relay keys export --alg RS256 | kcadm.sh create components -r main -f -')
    .action((options: KeyOptions & { next?: boolean }) => {
      const { alg, file } = onePlace(options)
      if (process.stdout.isTTY) {
        throw new RelayError(
          'invalid_request',
          'This prints a private key; send it to a pipe: … | kcadm.sh create components -r <realm> -f -',
        )
      }
      process.stdout.write(
        `${JSON.stringify(keycloakComponent(readRelayKey(options.next ? nextOf(file) : file, alg)))}\n`,
      )
    })

  report('status', 'which keys the realm publishes, and which the relay signs with')
    .addHelpText(
      'after',
      '\nExit status: 0 the relay signs for every algorithm that relay.yaml names, 3 the realm still does for one.',
    )
    .action(async (options: KeyOptions) => {
      for (const place of places(options)) {
        const published = await publishedBy(place)
        const states = keyStatus(place, published, place.publishedForMs, Date.now())
        for (const one of states) {
          const state = one.used
            ? 'signs'
            : one.used_from === undefined
              ? 'waits to be seen published'
              : `from ${one.used_from}`
          const seen = one.published === undefined ? 'realm not reached' : one.published ? 'published' : 'not published'
          show(options.json, { issuer: place.realm.issuer, ...one }, [one.alg, one.which, one.fingerprint, seen, state])
        }
        process.exitCode = states.some(({ used }) => used) ? process.exitCode : 3
      }
    })

  report('rotate', 'make the next key; run again once it signs, put it in place of the current one')
    .addHelpText('after', '\nExit status: 0 done, 1 not yet: the realm has not published the next key for long enough.')
    .action((options: KeyOptions) => {
      for (const place of places(options)) {
        const { alg, file, realm, publishedForMs } = place
        const rotation = rotateKey(place, publishedForMs, Date.now())
        if (rotation.did === 'made next') {
          const { fingerprint } = rotation.next
          const todo = `publish it: ${publishing(place, options.config, ' --next')}; the relay then changes by itself; run this again`
          show(options.json, { issuer: realm.issuer, alg, made_next: fingerprint }, [
            alg,
            nextOf(file),
            fingerprint,
            todo,
          ])
        } else {
          const [now, old] = [rotation.current.fingerprint, rotation.old.fingerprint]
          const todo = `in ${LAST_TOKENS_S} s, delete the realm's key ${old}`
          show(options.json, { issuer: realm.issuer, alg, current: now, withdraw: old }, [alg, file, now, todo])
        }
      }
    })

  addRotateRealmCommand(keys)
}

function places({ config: path, issuer, alg }: KeyOptions): Place[] {
  const found = loadConfig(path, process.env).issuers.flatMap((realm) =>
    (realm.signing?.keys ?? []).map((key) => ({
      alg: key.alg,
      file: key.key_file,
      realm,
      publishedForMs: (realm.signing?.published_for_s ?? 0) * 1000,
    })),
  )
  const meant = found.filter(
    (place) => (issuer === undefined || place.realm.issuer === issuer) && (alg === undefined || place.alg === alg),
  )
  if (meant.length === 0) {
    throw new RelayError(
      'config_invalid',
      `${path}: issuers.signing names no such key. Example: signing: { keys: [{ alg: RS256, key_file: /var/lib/logout-relay/rs256.pem }] }`,
    )
  }
  return meant
}

function onePlace(options: KeyOptions): Place {
  const [place, ...more] = places(options)
  if (place === undefined || more.length > 0) {
    throw new RelayError('invalid_request', 'There are several keys; say which: --issuer and --alg')
  }
  return place
}

function publishing({ alg, realm }: Place, config: string, next: string): string {
  return publishCommand(realm.issuer, alg, ` --config ${config}${next}`)
}

async function publishedBy({ realm }: Place) {
  const provider = openProvider(realm)
  try {
    return await provider.published()
  } catch {
    return undefined
  } finally {
    await provider.close()
  }
}
