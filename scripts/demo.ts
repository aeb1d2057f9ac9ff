import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { type GuardedWorld, startGuarded } from './demo/guarded.ts'
import { held, play } from './demo/story.ts'
import { table } from './demo/table.ts'
import { applications, startWorld, type World } from './demo/world.ts'

const USAGE = `npm run demo [-- --once] [--json] [--keycloak VERSION]

  --once      end after the story; exit status 0 only if all of it held
  --json      nothing on standard output but JSON lines: what is up, then the story
  --keycloak  a version that scripts/setup has brought (26.7.3)

Ports are free ones unless DEMO_KEYCLOAK_PORT, DEMO_RELAY_PORT, DEMO_APACHE_PORT,
DEMO_EXPRESS_PORT or DEMO_BROWSER_APP_PORT say otherwise.`

const began = performance.now()
const seconds = () => Math.round((performance.now() - began) / 1000)
const progress = (what: string) => void process.stderr.write(`${String(seconds()).padStart(3)} s  ${what}\n`)
const print = (line: string) => void process.stdout.write(`${line}\n`)

let world: World | undefined
let guarded: GuardedWorld | undefined
const end = async (status: number) => {
  await guarded?.stop()
  await world?.stop()
  process.exit(status)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void end(world ? 0 : 1))
}

try {
  const options = read()
  world = await startWorld(progress, options.keycloak)
  if (!world.demo.apache) {
    progress('Apache with mod_auth_openidc is not to be had here and is left out')
  }
  if (options.json) {
    print(JSON.stringify(ready(world)))
  }
  progress('Starting what has no sessions: an API, nginx before an application, a browser app')
  guarded = await startGuarded(world)
  if (!guarded.demo.intranet) {
    progress('nginx is not to be had here and is left out')
  }
  if (!guarded.chrome) {
    progress('Chromium is not installed: what the browser app would ask for is asked over HTTP')
  }
  const story = await play(world, guarded, progress)
  const ok = story.every(held)
  if (options.json) {
    print(JSON.stringify({ story, held: ok, seconds: seconds() }))
  } else {
    print(
      `\nWhat a password reset by an administrator leaves alive\n\n${table(story)}\n\n${ok ? 'All of it is as it must be.' : 'NOT all of it is as it must be.'}\n`,
    )
  }
  if (options.once) {
    await end(ok ? 0 : 1)
  } else if (!options.json) {
    print(lookAround(world, guarded))
    letStop(world.demo)
  }
} catch (cause) {
  process.stderr.write(`The demo failed: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`)
  await end(1)
}

function read() {
  try {
    const { values } = parseArgs({
      options: { once: { type: 'boolean' }, json: { type: 'boolean' }, keycloak: { type: 'string' } },
    })
    return values
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}\n`)
    process.exit(2)
  }
}

function ready({ keycloak, relay, demo, operatorToken, consoleUrl }: World) {
  return {
    ready: true,
    keycloak: { url: keycloak.url, realm: demo.name, admin: keycloak.adminUser },
    relay: { url: relay.url, token: operatorToken },
    console: { url: consoleUrl },
    relyingParties: applications(demo).map(({ clientId, url }) => ({ clientId, url })),
  }
}

function lookAround(
  { keycloak, relay, demo, operatorToken, consoleUrl, password }: World,
  { demo: { browserApp } }: GuardedWorld,
): string {
  const { username, password: adminPassword } = keycloak.adminUser
  return `Have a look around. Log in as Bob, reset his password in the realm demo, load his page again.

  bob           ${password}
${[...applications(demo), browserApp].map(({ clientId, url }) => `  ${clientId.padEnd(12)}  ${url}`).join('\n')}
  Keycloak      ${keycloak.url}/admin/master/console/#/demo/users (${username} / ${adminPassword})
  the console   ${consoleUrl} (olivia / ${password})
  the shell     export LOGOUT_RELAY_URL=${relay.url} LOGOUT_RELAY_TOKEN=${operatorToken}

s and Enter stops express-app, and starts it again; Ctrl-C ends it all. What to look at: docs/tutorial.md`
}

/** Stops the Express application when somebody asks for it, and starts it again, with the sessions that it had. */
function letStop(realm: World['demo']): void {
  let up = true
  let last = Promise.resolve()
  const turn = async () => {
    await realm.express.stop()
    if (!up) {
      realm.express = await realm.express.restart()
    }
    up = !up
    print(`express-app is ${up ? 'up again' : 'stopped'}`)
  }
  const lines = createInterface({ input: process.stdin })
  // Whoever runs it with nohup has no keyboard, and wants it to stay up all the same.
  lines.on('error', () => undefined)
  lines.on('line', (line) => {
    if (line.trim() === 's') {
      last = last.then(turn).catch((cause: unknown) => print(`express-app: ${String(cause)}`))
    }
  })
}
