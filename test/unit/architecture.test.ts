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

/**
 * The rooms, from the ground up, and what the files of each may import beside their own room, by the start of the path. All
 * may import what lies on the ground: errors, an exchange over HTTP, words for people, the version.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  store: ['domain/'],
  flow: ['domain/', 'store/port.ts', 'delivery/port.ts'],
  // The published package holds the table, the hash, the answers and the look at a token: one rule, not two.
  signing: ['../guard/'],
  idp: ['../guard/', 'domain/', 'flow/ports.ts', 'delivery/port.ts'],
  // How a client is told is read in one place, in an event as in the list of relying parties.
  'idp/keycloak': ['domain/', 'flow/ports.ts', 'idp/', 'delivery/', 'signing/key.ts'],
  'idp/keycloak/audit': ['domain/', 'idp/keycloak/rest.ts'],
  // It asks what the relay will ask, the way it will ask it. Which application is told is judged as the audit judges it.
  'idp/keycloak/check': [
    'domain/',
    'delivery/',
    'idp/',
    'idp/keycloak/audit/',
    'idp/keycloak/claims.ts',
    'idp/keycloak/come-again.ts',
    'idp/keycloak/directories.ts',
    'idp/keycloak/realm-logouts.ts',
    'idp/keycloak/upstreams.ts',
  ],
  // It changes a realm, with an administrator's word alone; a client is read as the audit reads it.
  'idp/keycloak/setup': ['idp/keycloak/audit/', 'idp/keycloak/rest.ts'],
  config: ['domain/', 'signing/key.ts'],
  // A kind has a folder; kinds.ts, which lists them, imports the one file of it that the others need not know.
  delivery: [
    'domain/',
    'delivery/backchannel/backchannel.ts',
    'delivery/global-token-revocation/global-token-revocation.ts',
  ],
  'delivery/backchannel': ['../guard/', 'domain/', 'delivery/port.ts', 'delivery/failures.ts', 'signing/'],
  'delivery/global-token-revocation': ['domain/', 'delivery/port.ts', 'delivery/failures.ts'],
  // Signatures are verified as the guards do it.
  ingest: ['../guard/jwt.ts', 'domain/', 'flow/ports.ts', 'idp/', 'delivery/kinds.ts'],
  // What it asks of others goes the guarded way that deliveries go.
  upstream: [
    '../guard/jwt.ts',
    'domain/',
    'flow/ports.ts',
    'idp/port.ts',
    'delivery/port.ts',
    'ingest/',
    'config/upstream.ts',
  ],
  watermarks: ['../guard/', 'domain/', 'store/watermark-log.ts', 'signing/private-key.ts'],
  // What people register is a back-channel logout URL, and it is probed as `logout-relay check` does it.
  registry: ['domain/', 'store/notes.ts', 'flow/ports.ts', 'delivery/port.ts', 'delivery/backchannel/target.ts'],
  telemetry: ['domain/', 'store/port.ts', 'flow/ports.ts'],
  'security-feed': ['domain/', 'store/port.ts', 'flow/ports.ts'],
  // It shows what the store and the registry hold, and verifies tokens with the keys that verify events.
  api: [
    ...['../guard/', 'domain/', 'store/port.ts', 'flow/ports.ts', 'registry/', 'telemetry/metrics.ts'],
    ...['watermarks/', 'idp/port.ts'],
  ],
  console: [
    ...['../guard/', 'domain/', 'store/port.ts', 'flow/ports.ts', 'registry/', 'telemetry/answers.ts'],
    ...['idp/keycloak/audit/', 'idp/keycloak/users.ts', 'idp/port.ts', 'config/config.ts'],
  ],
  check: [
    ...['domain/', 'config/', 'delivery/', 'flow/ports.ts', 'signing/acts.ts', 'watermarks/key.ts', 'upstream/'],
    ...['store/redis/', 'store/sqlite/', 'idp/keycloak/check/', 'idp/keycloak/publish.ts'],
  ],
  // It puts the parts together: what is opened, what is served, and what is done again and again.
  run: [
    ...['domain/', 'config/', 'store/', 'flow/ports.ts', 'signing/', 'idp/', 'ingest/', 'registry/', 'telemetry/'],
    ...[
      'security-feed/',
      'watermarks/',
      'upstream/',
      'delivery/',
      'delivery/backchannel/signer.ts',
      'flow/flow.ts',
      'api/',
      'console/',
    ],
    ...['idp/keycloak/keycloak.ts', 'idp/keycloak/claims.ts', 'idp/keycloak/audit/read.ts'],
    // What a relay that runs has found by the way is judged as `logout-relay check` judges it.
    ...['idp/keycloak/check/realm.ts', 'idp/keycloak/users.ts', 'store/sqlite/room.ts'],
  ],
  // Where workloads read their secrets.
  places: ['domain/uri.ts'],
  cli: [
    ...['api/answers.ts', 'api/client.ts', 'config/config.ts', 'config/files.ts', 'signing/', 'run/open.ts'],
    ...['idp/keycloak/publish.ts', 'idp/keycloak/users.ts', 'idp/keycloak/held.ts', 'idp/keycloak/rotation/'],
    ...['idp/keycloak/come-again.ts', 'idp/keycloak/rest.ts'],
    ...['idp/keycloak/secrets.ts', 'idp/keycloak/setup/', 'domain/', 'upstream/', 'delivery/post.ts'],
    ...['idp/keycloak/client-secret.ts', 'places/'],
  ],
}

const GROUND = ['errors.ts', 'http.ts', 'text.ts', 'version.ts']
/** What puts the parts together imports what it likes, and nobody imports it. */
const ROOF = ['main.ts', 'cli.ts']

/** The innermost room that has a rule. */
function roomOf(file: string): string | undefined {
  const folders = file.split('/').slice(0, -1)
  const rooms = folders.map((_, n) => folders.slice(0, n + 1).join('/'))
  return rooms.findLast((room) => room in MAY_IMPORT) ?? rooms[0]
}

function violations(sources: ReadonlyMap<string, string>): string[] {
  return [...sources].flatMap(([file, source]) => {
    const room = roomOf(file)
    if (room === undefined) {
      const mayImport = ROOF.includes(file) ? [''] : GROUND
      return imports(file, source).flatMap((path) =>
        mayImport.some((start) => path.startsWith(start)) ? [] : [`${file}: ${path}`],
      )
    }
    const wrong = imports(file, source).filter(
      (path) =>
        !(roomOf(path) === room && path.startsWith(`${room}/`)) &&
        !GROUND.includes(path) &&
        !(MAY_IMPORT[room] ?? []).some((start) => path === start || (start.endsWith('/') && isDirectly(path, start))),
    )
    const impure =
      room === 'domain' || room === 'flow'
        ? [...source.matchAll(/\b(Date\.now|new Date\(\)|Math\.random|fetch\(|setTimeout|process\.)/g)].map(
            ([, w]) => w,
          )
        : []
    return [...wrong, ...impure].map((what) => `${file}: ${String(what)}`)
  })
}

/** In that room, and not in one with a rule of its own behind it: `idp/` is not `idp/keycloak/`. */
function isDirectly(path: string, start: string): boolean {
  const room = roomOf(path) ?? ''
  return path.startsWith(start) && (`${room}/` === start || !room.startsWith(start))
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
  const rooms = new Set([...SOURCES.keys()].flatMap((file) => roomOf(file) ?? []))
  expect([...rooms].sort()).toEqual(Object.keys(MAY_IMPORT).sort())
  expect(violations(SOURCES)).toEqual([])
})

test('no file imports itself by a detour', () => {
  expect(cycle(SOURCES)).toBeUndefined()
})

/** All files of ours that are loaded with one, at once and not by and by. */
function loadedWith(file: string, loaded = new Set<string>()): Set<string> {
  if (!loaded.has(file)) {
    loaded.add(file)
    imports(file, SOURCES.get(file) ?? '').forEach((path) => loadedWith(path, loaded))
  }
  return loaded
}

const loads = (files: ReadonlySet<string>, what: string) =>
  [...files].filter((file) => new RegExp(`from '${what}['/]`).test(SOURCES.get(file) ?? ''))

test('whoever calls the API loads what it answers, and no route', () => {
  const loaded = loadedWith('api/client.ts')
  expect(loaded).toContain('api/answers.ts')
  expect(loads(loaded, 'hono')).toEqual([])
  expect(loads(loaded, '@hono')).toEqual([])
})

test('a command loads no relay, and a relay on SQLite nothing of Redis: that is most of a start', () => {
  const command = loadedWith('cli.ts')
  expect(command).toContain('cli/status.ts')
  expect(loads(command, 'hono')).toEqual([])
  const relay = loadedWith('main.ts')
  expect(relay).toContain('store/sqlite/sqlite.ts')
  expect([...loads(relay, 'redis'), ...loads(command, 'redis')]).toEqual([])
  expect([...relay].filter((file) => file.startsWith('store/redis/'))).toEqual([])
})

test('the rule sees a wrong import, a clock in the flow, and a cycle', () => {
  const wrong = new Map([
    ['domain/plan.ts', "import { Flow } from '../flow/flow.ts'"],
    ['flow/flow.ts', "import { plan } from '../domain/plan.ts'\nconst now = Date.now()"],
  ])
  expect(violations(wrong)).toEqual(['domain/plan.ts: flow/flow.ts', 'flow/flow.ts: Date.now'])
  expect(cycle(wrong)).toEqual(['domain/plan.ts', 'flow/flow.ts', 'domain/plan.ts'])
})

test('every arrow between two rooms that is turned round is seen', () => {
  const arrows = new Map<string, readonly [from: string, to: string]>()
  for (const [file, source] of SOURCES) {
    for (const path of imports(file, source)) {
      const [room, other] = [roomOf(file), roomOf(path)]
      if (room !== undefined && other !== undefined && room !== other && SOURCES.has(path)) {
        arrows.set(`${room} ${other}`, [file, path])
      }
    }
  }
  expect(arrows.size).toBeGreaterThan(60)
  for (const [file, path] of arrows.values()) {
    const turned = posix.relative(posix.dirname(path), file)
    const source = `import { x } from '${turned.startsWith('.') ? turned : `./${turned}`}'`
    expect(violations(new Map([[path, source]]))).toEqual([`${path}: ${file}`])
  }
})

test('Keycloak’s class is named in its own folder, and where the parts are opened', () => {
  const named = [...SOURCES].filter(([file, source]) => imports(file, source).includes('idp/keycloak/keycloak.ts'))
  expect(named.map(([file]) => file)).toEqual(['run/open.ts'])
})
