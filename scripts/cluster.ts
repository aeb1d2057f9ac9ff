import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parse, stringify } from 'yaml'
import { loadConfig } from '../relay/config/config.ts'
import { startBalancer } from './stage/balancer.ts'
import { call } from './stage/http.ts'
import { freePort, ROOT, start, untilUp } from './stage/process.ts'
import { startRedisGroup } from './stage/redis.ts'
import { temporary } from './stage/temporary.ts'

/**
 * Three relays behind a plain TCP balancer, Redis with a replica and three Sentinels, all on this machine, until Ctrl-C. All
 * but `listen` and `store` is taken from the config, and its `listen.port` is where the balancer is.
 */
const { values: options } = parseArgs({
  options: {
    config: { type: 'string', short: 'c', default: process.env['LOGOUT_RELAY_CONFIG'] ?? 'relay.yaml' },
    relays: { type: 'string', default: '3' },
    once: { type: 'boolean', default: false },
  },
})
const say = (line: string) => void process.stdout.write(`${line}\n`)
const config = loadConfig(options.config, process.env)
const group = await startRedisGroup()
const sentinels = group.sentinels.map((port) => `127.0.0.1:${port}`)
say(`Redis: master on ${(await group.master()).port}, replica on ${(await group.replica()).port}`)
say(`Sentinels: ${sentinels.join(', ')}; they call the master ${group.name}`)
const asWritten = parse(readFileSync(options.config, 'utf8')) as object
const dir = temporary('cluster')
const ports: number[] = []
for (let n = 1; n <= Number(options.relays); n++) {
  const port = await freePort()
  const file = join(dir, `relay-${n}.yaml`)
  const store = { redis: { sentinels, master: group.name, replicas: 1 } }
  writeFileSync(file, stringify({ ...asWritten, listen: { host: '127.0.0.1', port }, store }), { mode: 0o600 })
  const args = [join(ROOT, 'relay', 'cli.ts'), 'start', '--config', file]
  const relay = start(process.execPath, args, { logFile: join(dir, `relay-${n}.log`) })
  const isUp = async () => (await call('GET', `http://127.0.0.1:${port}/healthz`)).status === 200
  await untilUp('A relay does not come up', relay, isUp, 60)
  say(`Relay ${n}: http://127.0.0.1:${port}, its log is ${relay.logFile}`)
  ports.push(port)
}
const { port } = await startBalancer(ports, config.listen.port === 0 ? undefined : config.listen.port)
say(`All of them: http://127.0.0.1:${port}. Ctrl-C ends them; kill any of them and see`)
if (options.once) {
  process.exit(0)
}
