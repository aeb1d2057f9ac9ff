import { createServer, type Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { startWorld } from '../scripts/demo/world.ts'
import { until } from '../scripts/stage/process.ts'
import { figure, type Line, type Size } from './stats.ts'

const RELYING_PARTIES = 50
const MOST_ROUNDS = 3
/** Rounds before the first that counts: a Keycloak that has just started compiles as it goes. */
const WARM_UP = 8

/**
 * A person with a session at each of 50 relying parties. Keycloak's own back-channel logout, on an administrator's "sign out
 * everywhere" in a realm without the extension, beside a reset that the extension and the relay answer, in turn, in one
 * server, with Keycloak signing both. From the administrator's request to the last relying party's answer.
 */
export async function native({ rounds }: Size): Promise<Line[]> {
  const world = await startWorld((what) => void process.stderr.write(`· ${what}\n`))
  const { admin } = world.keycloak
  let delayMs = 0
  let answered = 0
  const servers: Server[] = []
  const lines: Line[] = []
  try {
    for (let n = 0; n < RELYING_PARTIES; n++) {
      const server = createServer((question, response) => {
        question.resume().on('end', () => {
          setTimeout(() => {
            response.end()
            answered++
          }, delayMs)
        })
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      servers.push(server)
      const address = server.address()
      const port = address !== null && typeof address === 'object' ? address.port : 0
      for (const realm of ['demo', 'stock']) {
        await admin.createClient(realm, {
          clientId: `bench-${n}`,
          publicClient: true,
          directAccessGrantsEnabled: true,
          attributes: { 'backchannel.logout.url': `http://127.0.0.1:${port}/logout` },
        })
      }
    }
    const users = {
      demo: await admin.createUser('demo', 'bench-native', 'password'),
      stock: await admin.createUser('stock', 'bench-native', 'password'),
    }
    for (const ms of [0, 50, 200]) {
      delayMs = ms
      const times: Record<'demo' | 'stock', number[]> = { demo: [], stock: [] }
      for (let round = ms === 0 ? -WARM_UP : -1; round < Math.min(rounds, MOST_ROUNDS); round++) {
        for (const realm of [world.demo, world.stock]) {
          for (let n = 0; n < RELYING_PARTIES; n++) {
            await realm.tokens.directGrant(`bench-${n}`, 'bench-native', 'password')
          }
          await delay(1100)
          const owed = answered + RELYING_PARTIES
          const began = performance.now()
          const asked =
            realm.name === 'stock'
              ? admin.must('POST', `/stock/users/${users.stock}/logout`)
              : admin.resetPassword('demo', users.demo, 'password')
          await until('all have answered', () => answered >= owed, { seconds: 60, everyMs: 1 })
          const took = performance.now() - began
          await asked
          if (round >= 0) {
            times[realm.name].push(took)
          }
        }
      }
      lines.push(
        { what: `Keycloak's own logout of 50 of ${ms} ms`, unit: 'ms', figure: figure(times.stock) },
        { what: `reset with the relay, 50 of ${ms} ms`, unit: 'ms', figure: figure(times.demo) },
        {
          what: `times faster than Keycloak's own, 50 of ${ms} ms`,
          unit: 'ratio',
          figure: figure(times.stock.map((own, n) => own / (times.demo[n] ?? Number.NaN))),
          ...(ms === 0 ? {} : { goal: ['median', 'at least', ms === 50 ? 15 : 30] as const }),
        },
      )
    }
  } finally {
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
    await world.stop()
  }
  return lines
}
