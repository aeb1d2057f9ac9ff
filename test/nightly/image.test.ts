import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { VERSION } from '../../relay/version.ts'
import { call } from '../../scripts/stage/http.ts'
import { RelayImage } from '../../scripts/stage/image.ts'
import { freePort, untilUp } from '../../scripts/stage/process.ts'
import { StandInIdp } from '../../scripts/stage/stand-in-idp.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

let image: RelayImage

// What its Dockerfile names is there: test/unit/compose.test.ts.
beforeAll(() => {
  image = new RelayImage()
})

test('the relay’s image is below 120 MB as a registry sends it', () => {
  const megabytes = image.compressed() / 1e6
  console.log(`image of the relay: ${megabytes.toFixed(1)} MB compressed`)
  expect(megabytes).toBeLessThan(120)
})

test('in its image the relay is nobody in particular, who can write to /data and not to what is run', () => {
  expect(image.run('id', '-u')).toBe('1000\n')
  expect(image.run('sh', '-c', 'touch /data/mine && echo written')).toBe('written\n')
  expect(() => image.run('touch', '/app/mine')).toThrow(/Permission denied/)
  expect(image.run('node', 'relay/cli.ts', '--version')).toBe(`${VERSION}\n`)
})

test('the image brings no tool and no other Node', () => {
  const modules = image.run('ls', 'node_modules').split('\n')
  expect(modules).toContain('undici')
  expect(modules.filter((name) => ['node', 'typescript', 'vitest', 'eslint'].includes(name))).toEqual([])
})

test('what the image starts by itself reads /etc/logout-relay/relay.yaml and is ready', async () => {
  const realm = await StandInIdp.start([])
  onTestFinished(() => realm.stop())
  const config = temporary('config')
  chmodSync(config, 0o755)
  const port = await freePort()
  const issuers = [{ issuer: realm.issuer, client_secret: realm.clientSecret }]
  writeFileSync(
    join(config, 'relay.yaml'),
    stringify({ listen: { port }, store: { sqlite: '/data/relay.db' }, issuers }),
    { mode: 0o644 },
  )
  const running = image.start({ '/etc/logout-relay': config })
  onTestFinished(() => running.stop())
  const isReady = async () => (await call('GET', `http://127.0.0.1:${port}/readyz`)).status === 200
  await untilUp('The relay in its image is not ready', running, isReady, 60)
})
