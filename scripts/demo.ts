import { parseArgs } from 'node:util'
import { federated } from './demo/federated/federated.ts'
import { demo } from './demo/plain.ts'
import { Run } from './demo/run.ts'

const USAGE = `npm run demo [-- --once] [--json] [--keycloak VERSION]
npm run demo -- --federated [--json] [--keycloak VERSION]

  --once       end after the story; exit status 0 only if all of it held
  --json       nothing on standard output but JSON lines: what is up, then the story
  --keycloak   a version that scripts/setup has brought (26.7.3)
  --federated  two realms, the second of which takes its logins from the first, and a directory
               behind the first; ends after the story

Ports are free ones unless DEMO_KEYCLOAK_PORT, DEMO_RELAY_PORT, DEMO_APACHE_PORT,
DEMO_EXPRESS_PORT or DEMO_BROWSER_APP_PORT say otherwise; with --federated they are free ones.`

const options = read()
const run = new Run(options.json ?? false)
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void run.end())
}
try {
  const version = options.keycloak
  await (options.federated ? federated(run, version) : demo(run, { once: options.once ?? false, version }))
} catch (cause) {
  await run.fail(cause)
}

function read() {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean' },
        json: { type: 'boolean' },
        keycloak: { type: 'string' },
        federated: { type: 'boolean' },
      },
    })
    return values
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}\n`)
    process.exit(2)
  }
}
