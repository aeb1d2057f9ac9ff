import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import { expect, test } from 'vitest'

const RELAY = join(import.meta.dirname, '..', '..', 'relay')
const SOURCES = new Map(
  readdirSync(RELAY, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [relative('.', file), readFileSync(join(RELAY, file), 'utf8')]),
)

/** The files of ours that a file imports, from the relay's folder. */
function imports(file: string, source: string): string[] {
  return [...source.matchAll(/from '(\.[^']+)'/g)].map(([, path = '']) =>
    posix.normalize(posix.join(posix.dirname(file), path)),
  )
}

/** What the files of a folder may import, by the start of the path. Each may import its own folder. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  flow: ['domain/', 'store/port.ts', 'errors.ts'],
  store: ['domain/', 'guard/port.ts', 'registry/port.ts', 'errors.ts', 'version.ts'],
  // The published package holds the table, the hash and the answers: one rule, not two.
  guard: ['domain/', 'ingest/set.ts', 'api/auth.ts', 'errors.ts', 'private-key.ts', '../guard/'],
  signing: ['../guard/jwt.ts', '../guard/logout-token.ts', 'domain/', 'flow/ports.ts', 'errors.ts', 'private-key.ts'],
  delivery: ['domain/', 'flow/ports.ts', 'errors.ts'],
  // A registration is checked as `logout-relay check` does it.
  registry: ['domain/', 'check/finding.ts', 'check/relying-party.ts', 'flow/ports.ts', 'errors.ts'],
  idp: ['domain/', 'flow/ports.ts', 'ingest/patience.ts', 'ingest/unverifiable.ts', 'errors.ts', 'http.ts', 'text.ts'],
  // A poll reports what it refuses in the identity provider's own form. Signatures are verified as the guards do it.
  ingest: ['../guard/jwt.ts', 'domain/', 'flow/ports.ts', 'errors.ts', 'idp/keycloak.ts'],
  // It asks what the relay will ask, the way it will ask it. Which application is told is judged as the audit judges it.
  check: [
    '../guard/logout-token.ts',
    'domain/',
    'audit/',
    'config.ts',
    'redis-config.ts',
    'delivery/sender.ts',
    'flow/ports.ts',
    'guard/key.ts',
    'ingest/unverifiable.ts',
    'signing/acts.ts',
    'store/redis/',
    'store/sqlite/owner.ts',
    'store/sqlite/schema.ts',
    'errors.ts',
    'http.ts',
  ],
  // It shows what the store holds, and verifies logout tokens with the keys that verify events.
  console: [
    '../guard/jwt.ts',
    '../guard/logout-token.ts',
    'domain/',
    'audit/',
    'store/port.ts',
    'registry/registrar.ts',
    'registry/registry.ts',
    'flow/ports.ts',
    'ingest/set.ts',
    'errors.ts',
    'text.ts',
    'config.ts',
  ],
  // It shows what the store and the registry hold, and verifies tokens with the keys that verify events.
  audit: ['domain/', 'errors.ts', 'http.ts', 'text.ts'],
  'security-feed': ['domain/', 'store/port.ts', 'flow/ports.ts', 'errors.ts', 'http.ts', 'text.ts'],
  // What a guard takes for the token's fault, the API does too.
  api: [
    '../guard/bearer.ts',
    '../guard/jwt.ts',
    'domain/',
    'store/port.ts',
    'flow/ports.ts',
    'registry/registry.ts',
    'registry/registrar.ts',
    'ingest/set.ts',
    'errors.ts',
    'http.ts',
  ],
}

function violations(sources: ReadonlyMap<string, string>): string[] {
  return [...sources].flatMap(([file, source]) => {
    const [folder = '', inside] = file.split('/')
    const allowed = inside === undefined ? undefined : MAY_IMPORT[folder]
    const wrong = allowed
      ? imports(file, source).filter((path) => ![`${folder}/`, ...allowed].some((start) => path.startsWith(start)))
      : []
    const impure =
      folder === 'domain' || folder === 'flow'
        ? [...source.matchAll(/\b(Date\.now|new Date\(\)|Math\.random|fetch\(|setTimeout|process\.)/g)].map(
            ([, w]) => w,
          )
        : []
    return [...wrong, ...impure].map((what) => `${file}: ${String(what)}`)
  })
}

/** A way from a file back to itself, or undefined. */
function cycle(sources: ReadonlyMap<string, string>): string[] | undefined {
  const done = new Set<string>()
  const walk = (file: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(file)) {
      return [...way, file]
    }
    if (done.has(file)) {
      return undefined
    }
    for (const next of imports(file, sources.get(file) ?? '')) {
      const found = walk(next, [...way, file])
      if (found) {
        return found
      }
    }
    done.add(file)
    return undefined
  }
  for (const file of sources.keys()) {
    const found = walk(file, [])
    if (found) {
      return found
    }
  }
  return undefined
}

test('every folder imports only what the layout lets it, and domain and flow touch no clock, chance or network', () => {
  expect(SOURCES.size).toBeGreaterThan(20)
  expect(Object.keys(MAY_IMPORT)).toEqual(
    expect.arrayContaining([
      ...new Set([...SOURCES.keys()].filter((f) => f.includes('/')).map((f) => f.split('/')[0])),
    ]),
  )
  expect(violations(SOURCES)).toEqual([])
})

test('no file imports itself by a detour', () => {
  expect(cycle(SOURCES)).toBeUndefined()
})

test('whoever calls the API loads what it answers, and no route', () => {
  const loaded = new Set<string>()
  const load = (file: string) => {
    if (!loaded.has(file)) {
      loaded.add(file)
      imports(file, SOURCES.get(file) ?? '').forEach(load)
    }
  }
  load('api/client.ts')
  expect(loaded).toContain('api/answers.ts')
  expect([...loaded].filter((file) => SOURCES.get(file)?.includes("from 'hono"))).toEqual([])
  expect([...loaded].filter((file) => SOURCES.get(file)?.includes("from '@hono"))).toEqual([])
})

test('the rule sees a wrong import, a clock in the flow, and a cycle', () => {
  const wrong = new Map([
    ['domain/plan.ts', "import { Flow } from '../flow/flow.ts'"],
    ['flow/flow.ts', "import { plan } from '../domain/plan.ts'\nconst now = Date.now()"],
  ])
  expect(violations(wrong)).toEqual(['domain/plan.ts: flow/flow.ts', 'flow/flow.ts: Date.now'])
  expect(cycle(wrong)).toEqual(['domain/plan.ts', 'flow/flow.ts', 'domain/plan.ts'])
})
