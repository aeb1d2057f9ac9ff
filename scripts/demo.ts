import { parseArgs } from 'node:util'
import { held, type Line, play } from './demo/story.ts'
import { applications, startWorld } from './demo/world.ts'

const { values } = parseArgs({
  options: { once: { type: 'boolean' }, json: { type: 'boolean' }, keycloak: { type: 'string' } },
})
const progress = (what: string) => void process.stderr.write(`· ${what}\n`)
const print = (line: string) => void process.stdout.write(`${line}\n`)

const began = performance.now()
const world = await startWorld(progress, values.keycloak)
const end = async (status: number) => {
  await world.stop()
  process.exit(status)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void end(0))
}
try {
  const { keycloak, relay, demo, operatorToken } = world
  const relyingParties = applications(demo).map(({ clientId, url }) => ({ clientId, url }))
  if (values.json) {
    const ready = {
      ready: true,
      keycloak: { url: keycloak.url, realm: 'demo', admin: keycloak.adminUser },
      relay: { url: relay.url, token: operatorToken },
      console: { url: `${keycloak.url}/admin/master/console/#/demo/users` },
      relyingParties,
    }
    print(JSON.stringify(ready))
  } else if (relyingParties.length < 2) {
    print('Apache with mod_auth_openidc is not to be had here and is left out.')
  }
  const story = await play(world, progress)
  const ok = story.every(held)
  if (values.json) {
    print(JSON.stringify({ story, held: ok, seconds: Math.round((performance.now() - began) / 1000) }))
  } else {
    tell(story)
  }
  if (values.once) {
    await end(ok ? 0 : 1)
  }
  if (!values.json) {
    print(`
Have a look around, Ctrl-C ends it all:
  Keycloak      ${keycloak.url}/admin/master/console/#/demo   ${keycloak.adminUser.username} / ${keycloak.adminUser.password}
${relyingParties.map(({ clientId, url }) => `  ${clientId.padEnd(12)}  ${url}   bob / ${world.password}`).join('\n')}
  the relay     curl -H 'Authorization: Bearer ${operatorToken}' ${relay.url}/api/v1/containments`)
  }
} catch (cause) {
  process.stderr.write(`The demo failed: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`)
  await end(1)
}

function tell(story: readonly Line[]): void {
  const word = (alive: boolean | undefined) => (alive === undefined ? '' : alive ? 'alive' : 'dead')
  const rows = [
    [
      '',
      'at',
      'before',
      'after a reset on stock Keycloak',
      'after a reset with the relay',
      'dead after',
      'after her next login',
      '',
    ],
    ...story.map((line) => [
      line.access,
      line.clientId,
      word(line.aliveBefore),
      word(line.aliveAfterStockReset),
      word(line.aliveAfterRelayReset),
      line.deadAfterMs === undefined ? '' : `${line.deadAfterMs} ms`,
      word(line.aliveAfterNewLogin),
      held(line) ? '✓' : '✗ NOT AS IT SHOULD BE',
    ]),
  ]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  print('')
  rows.forEach((row, n) => {
    print(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    if (n === 0) {
      print(widths.map((width) => '─'.repeat(width)).join('──'))
    }
  })
}
