import { createInterface } from 'node:readline'
import { type GuardedWorld, startGuarded } from './guarded.ts'
import type { Run } from './run.ts'
import { held, play } from './story.ts'
import { table } from './table.ts'
import { applications, startWorld, type World } from './world.ts'

/** One realm with Logout Relay beside one without. Unless it is `once`, all stays up for a look around. */
export async function demo(run: Run, { once, version }: { once: boolean; version: string | undefined }): Promise<void> {
  const world = await run.keep(startWorld(run.progress, version))
  if (!world.demo.apache) {
    run.progress('Apache with mod_auth_openidc is not to be had here and is left out')
  }
  if (run.json) {
    run.print(JSON.stringify(ready(world)))
  }
  run.progress('Starting what has no sessions: an API, nginx before an application, a browser app')
  const guarded = await run.keep(startGuarded(world))
  if (!guarded.demo.intranet) {
    run.progress('nginx is not to be had here and is left out')
  }
  if (!guarded.chrome) {
    run.progress('Chromium is not installed: what the browser app would ask for is asked over HTTP')
  }
  const story = await play(world, guarded, run.progress)
  run.tell(story, story.every(held), 'What a password reset by an administrator leaves alive', table(story))
  if (once) {
    await run.end()
  } else if (!run.json) {
    run.print(lookAround(world, guarded))
    letStop(world.demo, (line) => run.print(line))
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
function letStop(realm: World['demo'], say: (line: string) => void): void {
  let up = true
  let last = Promise.resolve()
  const turn = async () => {
    await realm.express.stop()
    if (!up) {
      realm.express = await realm.express.restart()
    }
    up = !up
    say(`express-app is ${up ? 'up again' : 'stopped'}`)
  }
  const lines = createInterface({ input: process.stdin })
  // Whoever runs it with nohup has no keyboard, and wants it to stay up all the same.
  lines.on('error', () => undefined)
  lines.on('line', (line) => {
    if (line.trim() === 's') {
      last = last.then(turn).catch((cause: unknown) => say(`express-app: ${String(cause)}`))
    }
  })
}
