import { randomUUID } from 'node:crypto'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { Admin } from '../../scripts/stage/admin.ts'
import { call } from '../../scripts/stage/http.ts'
import { KeycloakImage } from '../../scripts/stage/keycloak-image.ts'
import { KEYCLOAK_VERSIONS } from '../../scripts/stage/keycloak-versions.ts'
import { freePort, untilUp } from '../../scripts/stage/process.ts'

let image: KeycloakImage

// Nothing else builds it; the jar by itself is in all of test/real.
beforeAll(() => {
  image = new KeycloakImage(KEYCLOAK_VERSIONS[1], 'dev-file')
})

test('the image of Keycloak runs as its own user and has the jar where Keycloak looks for it', () => {
  expect(image.run('id', '-u')).toBe('1000\n')
  expect(image.run('ls', '/opt/keycloak/providers')).toContain('logout-relay-keycloak.jar')
})

test('it is built, so that start --optimized takes it, with the extension, and says that it is healthy', async () => {
  const [port, management, password] = [await freePort(), await freePort(), randomUUID()]
  const url = `http://localhost:${port}`
  const admin = { KC_BOOTSTRAP_ADMIN_USERNAME: 'admin', KC_BOOTSTRAP_ADMIN_PASSWORD: password }
  const running = image.start(
    admin,
    ...['start', '--optimized', '--http-enabled=true', `--http-port=${port}`, '--http-host=127.0.0.1'],
    ...[`--http-management-port=${management}`, `--hostname=${url}`],
  )
  onTestFinished(() => running.stop())
  const isReady = async () => (await call('GET', `http://127.0.0.1:${management}/health/ready`)).status === 200
  await untilUp('Keycloak in its image is not ready', running, isReady, 300)
  const master = new Admin(url, 'admin', password)
  const { json } = await call<{ providers: { eventsListener: { providers: object } } }>(
    'GET',
    `${url}/admin/serverinfo`,
    {
      headers: { authorization: `Bearer ${await master.token()}` },
    },
  )
  expect(json().providers.eventsListener.providers).toHaveProperty('logout-relay')
})
