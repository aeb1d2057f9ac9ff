import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { phaseOf, rotate, type Wanted, type World } from '../../relay/cli/rotation.ts'
import { RelayError } from '../../relay/errors.ts'
import { type ClientSecrets, type SecretReport, secretsOf } from '../../relay/idp/keycloak/secrets.ts'
import { keep, requireWritable } from '../../relay/places/file.ts'

const QUIET_MS = 60_000
const HEARD_MS = 5000
const GRACEFUL: Wanted = { now: false, quietMs: QUIET_MS }
const NOW: Wanted = { now: true, quietMs: QUIET_MS }

interface Rotation {
  id: string
  begun_ms: number
  new_seen_ms?: number
  old_last_ms?: number
  retired_ms?: number
}

/** A client at Keycloak with the extension, as docs/workloads.md has them; the real ones are in test/real/rotate.test.ts. */
class Realm implements ClientSecrets {
  nowMs = 1_000_000
  secret = 'secret-0'
  old: { readonly secret: string; readonly untilMs: number } | undefined
  rotation: Rotation | undefined
  hasSecret = true
  made = 0
  readonly withdrawn: string[] = []
  readonly #keepsMs: number
  /** How many more requests are answered before whoever asks is killed. */
  lives = Infinity
  /** Whether the kill comes after the request has done its work. */
  killedAfter = false

  constructor(keepsMs: number) {
    this.#keepsMs = keepsMs
  }

  /** Time goes on; what Keycloak keeps no longer is taken away. */
  pass(ms: number): void {
    this.nowMs += ms
    if (this.old && this.old.untilMs <= this.nowMs) {
      this.#retire()
    }
  }

  /** A workload asks for a token. */
  use(secret: string): boolean {
    if (secret === this.secret) {
      if (this.rotation) {
        this.rotation.new_seen_ms ??= this.nowMs
      }
      return true
    }
    if (secret === this.old?.secret && this.rotation) {
      this.rotation.old_last_ms = this.nowMs
      return true
    }
    return false
  }

  report = () => this.#ask(() => this.#report())

  makeBeside = () =>
    this.#ask(() => {
      if (this.old || this.#keepsMs === 0) {
        return undefined
      }
      return this.#make()
    })

  make = () => this.#ask(() => this.#make())

  current = () => this.#ask(() => this.secret)

  withdraw = (_: string, rotation?: string) =>
    this.#ask(() => {
      if (rotation !== undefined && (rotation !== this.rotation?.id || this.rotation.new_seen_ms === undefined)) {
        return false
      }
      this.withdrawn.push(this.old?.secret ?? 'nothing')
      this.#retire()
      return true
    })

  #make(): string {
    const before = this.secret
    this.made += 1
    this.secret = `secret-${this.made}`
    this.old = this.#keepsMs > 0 ? { secret: before, untilMs: this.nowMs + this.#keepsMs } : undefined
    this.rotation = { id: `rotation-${this.made}`, begun_ms: this.nowMs }
    if (!this.old) {
      this.rotation.retired_ms = this.nowMs
    }
    return this.secret
  }

  #retire(): void {
    this.old = undefined
    if (this.rotation) {
      this.rotation.retired_ms ??= this.nowMs
    }
  }

  #report(): SecretReport {
    const { rotation } = this
    const reaches_ms = rotation?.new_seen_ms && Math.max(rotation.old_last_ms ?? 0, rotation.new_seen_ms + HEARD_MS)
    return {
      ...{ client_id: 'job', id: 'uuid', has_secret: this.hasSecret, token_lifespan_s: 300, now_ms: this.nowMs },
      ...(this.old ? { old_valid_until_ms: this.old.untilMs } : {}),
      ...(rotation
        ? { rotation: { ...rotation, callers: [], ...(reaches_ms === undefined ? {} : { reaches_ms }) } }
        : {}),
    }
  }

  #ask<T>(work: () => T): Promise<T> {
    if (this.lives <= 0 && !this.killedAfter) {
      return Promise.reject(new Killed())
    }
    const done = work()
    if (this.lives <= 0) {
      return Promise.reject(new Killed())
    }
    this.lives -= 1
    return Promise.resolve(done)
  }
}

class Killed extends Error {}

/** @param live what happens while the command waits, until something of it ends */
function worldOf(live: () => void) {
  const kept: string[] = []
  const phases: string[] = []
  const resumed: boolean[] = []
  const world: World = {
    keep: (secret) => void kept.push(secret),
    begun: (_, again) => void resumed.push(again),
    seen: (_, phase) => void phases.push(phase),
    pause: () => {
      live()
      return Promise.resolve()
    },
  }
  return { world, kept, phases, resumed }
}

/** Puts the new secret in place after a while, and asks for a token each second. */
function job(realm: Realm, kept: () => string | undefined, movesAfterMs: number) {
  let has = realm.secret
  const from = realm.nowMs
  const answers: boolean[] = []
  return {
    answers,
    live: () => {
      realm.pass(1000)
      has = realm.nowMs - from >= movesAfterMs ? (kept() ?? has) : has
      answers.push(realm.use(has))
    },
  }
}

describe('a rotation', () => {
  test('ends the old secret once the client has come with the new one and nothing that the old one got is in use', async () => {
    const realm = new Realm(3_600_000)
    const { world, kept, phases } = worldOf(() => one.live())
    const one = job(realm, () => kept[0], 10_000)
    const { phase, report } = await rotate(realm, GRACEFUL, world)
    expect([phase, realm.made, realm.withdrawn, kept]).toEqual(['done', 1, ['secret-0'], ['secret-1']])
    expect(one.answers).not.toContain(false)
    expect([...new Set(phases)]).toEqual(['new-unseen', 'old-in-use', 'ready', 'done'])
    const { retired_ms = 0, new_seen_ms = 0 } = report.rotation ?? {}
    expect(retired_ms - new_seen_ms).toBeGreaterThanOrEqual(QUIET_MS + HEARD_MS)
  })

  test('waits as long as a token lives where nobody says how long', async () => {
    const realm = new Realm(3_600_000)
    const { world, kept } = worldOf(() => one.live())
    const one = job(realm, () => kept[0], 0)
    const { report } = await rotate(realm, { now: false }, world)
    expect((report.rotation?.retired_ms ?? 0) - (report.rotation?.new_seen_ms ?? 0)).toBeGreaterThanOrEqual(300_000)
  })

  test.each([
    ['graceful', GRACEFUL, false],
    ['graceful', GRACEFUL, true],
    ['at once', NOW, false],
    ['at once', NOW, true],
  ] as const)('%s that is killed at any request goes on when it is run again (%#)', async (_, wanted, killedAfter) => {
    let killed = 0
    for (let lives = 0; ; lives++) {
      const realm = Object.assign(new Realm(3_600_000), { lives, killedAfter })
      const { world, kept } = worldOf(() => one.live())
      const one = job(realm, () => kept.at(-1), 5000)
      const first = await rotate(realm, wanted, world).catch((cause: unknown) => cause)
      if (!(first instanceof Killed)) {
        break
      }
      killed += 1
      const made = realm.made
      realm.lives = Infinity
      const wasDone = realm.rotation?.retired_ms !== undefined
      const { phase } = await rotate(realm, wanted, world)
      expect([phase, realm.old, kept.at(-1)]).toEqual(['done', undefined, realm.secret])
      if (!wanted.now) {
        // Only one that was through already is begun anew.
        expect(realm.made).toBe(wasDone ? made + 1 : 1)
        expect(one.answers).not.toContain(false)
      }
    }
    expect(killed).toBeGreaterThan(5)
  })

  test('whose workload never comes ends nothing itself, and says that it is open', async () => {
    const realm = new Realm(100_000)
    const { world } = worldOf(() => {
      realm.pass(1000)
      realm.use('secret-0')
    })
    expect((await rotate(realm, { ...GRACEFUL, waitMs: 50_000 }, world)).phase).toBe('new-unseen')
    expect([realm.withdrawn, realm.old?.secret]).toEqual([[], 'secret-0'])
    expect((await rotate(realm, GRACEFUL, world)).phase, 'once its time is over').toBe('not-revalidated')
    expect([realm.withdrawn, realm.made]).toEqual([[], 1])
  })

  test('of a workload that goes back and forth does not end while it does', async () => {
    const realm = new Realm(3_600_000)
    const steady = realm.nowMs + 600_000
    const { world } = worldOf(() => {
      realm.pass(1000)
      const flaps = realm.nowMs <= steady && Math.floor(realm.nowMs / 20_000) % 2 === 0
      expect(realm.use(flaps ? 'secret-0' : 'secret-1')).toBe(true)
    })
    const { report } = await rotate(realm, GRACEFUL, world)
    expect(report.rotation?.retired_ms).toBeGreaterThanOrEqual((report.rotation?.old_last_ms ?? Infinity) + QUIET_MS)
    expect(report.rotation?.old_last_ms).toBeGreaterThan(steady - 40_000)
  })

  test('that is begun twice at once is one: the second goes on with what the first has made', async () => {
    const realm = new Realm(3_600_000)
    const worlds = [worldOf(() => one.live()), worldOf(() => one.live())] as const
    const one = job(realm, () => worlds[0].kept[0], 5000)
    const both = await Promise.all(worlds.map(({ world }) => rotate(realm, GRACEFUL, world)))
    expect(both.map(({ phase }) => phase)).toEqual(['done', 'done'])
    expect([realm.made, worlds[0].kept, worlds[1].kept]).toEqual([1, ['secret-1'], ['secret-1']])
    expect(worlds.flatMap(({ resumed }) => resumed).sort()).toEqual([false, true])
    expect(one.answers).not.toContain(false)
  })

  test('ends where another secret was made meanwhile, and takes away none of that one', async () => {
    const realm = new Realm(3_600_000)
    let looks = 0
    const { world } = worldOf(() => {
      realm.pass(1000)
      if (++looks === 3) {
        void realm.make()
      }
    })
    await expect(rotate(realm, GRACEFUL, world)).rejects.toThrow(/Another secret was made meanwhile/)
    expect([realm.secret, realm.old?.secret, realm.withdrawn]).toEqual(['secret-2', 'secret-1', []])
  })

  test('of a client without a secret, or in a realm that keeps no old one, changes nothing', async () => {
    const { world, kept } = worldOf(() => undefined)
    const without = Object.assign(new Realm(3_600_000), { hasSecret: false })
    await expect(rotate(without, NOW, world)).rejects.toThrow(/job has no secret/)
    const strict = new Realm(0)
    await expect(rotate(strict, GRACEFUL, world)).rejects.toThrow(/keeps no old secret of job, so nothing was changed/)
    expect([without.made, strict.made, kept]).toEqual([0, 0, []])
  })

  test.each([0, 3_600_000])(
    'at once leaves the old secret no moment, and waits for the new (a realm that keeps %i ms)',
    async (keeps) => {
      const realm = new Realm(keeps)
      const { world, kept } = worldOf(() => one.live())
      const one = job(realm, () => kept[0], 5000)
      const { phase } = await rotate(realm, NOW, world)
      expect([phase, realm.old, realm.secret]).toEqual(['done', undefined, 'secret-1'])
      expect(one.answers.slice(0, 4), 'what an outage of a theft costs').toEqual([false, false, false, false])
    },
  )

  test('has no phase where no new secret was ever seen', () => {
    expect(
      phaseOf({ client_id: 'job', id: 'x', has_secret: true, token_lifespan_s: 300, now_ms: 1 }, 0),
    ).toBeUndefined()
  })
})

interface Asked {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly meant: unknown
}

/** A stand-in for Keycloak and the extension. @param currents what it says of each secret that it is asked about */
async function keycloak(status: number, answer: unknown, currents: readonly boolean[] = []) {
  const asked: Asked[] = []
  const waited: number[] = []
  let judged = 0
  const server = createServer((question, response) => {
    const { method, url, headers } = question
    asked.push({ method, path: url, meant: headers['logout-relay-rotation'] })
    const isJudging = method === 'POST' && url?.endsWith('/client-rotations') === true
    response.writeHead(status).end(JSON.stringify(isJudging ? { current: currents[judged++] ?? true } : answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const issuer = `http://127.0.0.1:${port}/auth/realms/main`
  const sleep = (ms: number) => Promise.resolve(waited.push(ms))
  const secrets = secretsOf(issuer, 'a&b', () => Promise.resolve('my-token'), undefined, sleep)
  return { asked, waited, secrets }
}

test('each change of a secret says what is meant by it, and only --now says nothing', async () => {
  const { asked, secrets } = await keycloak(200, { value: 'new' })
  expect([await secrets.makeBeside('u/1'), await secrets.make('u'), await secrets.current('u')]).toEqual([
    'new',
    'new',
    'new',
  ])
  expect([await secrets.withdraw('u', 'r-1'), await secrets.withdraw('u')]).toEqual([true, true])
  const at = '/auth/admin/realms/main/clients'
  expect(asked).toEqual([
    { method: 'POST', path: `${at}/u%2F1/client-secret`, meant: 'begin' },
    { method: 'POST', path: `${at}/u/client-secret`, meant: undefined },
    { method: 'GET', path: `${at}/u/client-secret`, meant: undefined },
    { method: 'POST', path: '/auth/realms/main/logout-relay/client-rotations', meant: undefined },
    { method: 'DELETE', path: `${at}/u/client-secret/rotated`, meant: 'r-1' },
    { method: 'DELETE', path: `${at}/u/client-secret/rotated`, meant: undefined },
  ])
})

test('a secret that is not the one of now is not taken: the node is asked again, and none is taken from one that never hears', async () => {
  const late = await keycloak(200, { value: 'shown' }, [false, false, true])
  expect(await late.secrets.current('u')).toBe('shown')
  expect([late.asked.filter(({ method }) => method === 'GET').length, late.waited]).toEqual([3, [1000, 1000]])
  const never = await keycloak(200, { value: 'of before' }, Array<boolean>(9).fill(false))
  await expect(never.secrets.current('u')).rejects.toThrow(/has not heard which secret of the client counts/)
  expect(never.waited).toHaveLength(5)
})

test.each([400, 409])('a change that the extension refuses (%i) is no failure', async (status) => {
  const { secrets } = await keycloak(status, { error: 'x' })
  expect([await secrets.makeBeside('u'), await secrets.withdraw('u', 'r-1')]).toEqual([undefined, false])
  await expect(secrets.make('u')).rejects.toBeInstanceOf(RelayError)
  await expect(secrets.withdraw('u')).rejects.toBeInstanceOf(RelayError)
})

test.each([
  [401, {}, 'access_denied', /has ended/],
  [403, {}, 'access_denied', /role manage-clients of realm-management/, /role operate of the client logout-relay/],
  [500, {}, 'idp_unavailable', /answered 500/],
] as const)(
  'an operator who may not, or a Keycloak that cannot, is told so (%i)',
  async (status, answer, code, admin, extension = admin) => {
    const { secrets } = await keycloak(status, answer)
    await expect(secrets.makeBeside('u')).rejects.toMatchObject({
      code,
      message: expect.stringMatching(admin) as string,
    })
    await expect(secrets.report()).rejects.toMatchObject({ code, message: expect.stringMatching(extension) as string })
  },
)

test('an extension that does not watch rotations is told from a client that is not there', async () => {
  const old = await keycloak(404, { error: 'HTTP 404 Not Found' })
  await expect(old.secrets.report()).rejects.toThrow(/is the extension’s jar in .*, and is it of this version/)
  const none = await keycloak(404, { error: 'not_found', error_description: 'The client is not one of this realm' })
  await expect(none.secrets.report()).rejects.toMatchObject({ code: 'not_found' })
  expect(none.asked[0]?.path).toBe('/auth/realms/main/logout-relay/client-rotations?client=a%26b')
})

describe('the file with the new secret', () => {
  const inFolder = () => {
    const folder = mkdtempSync(join(tmpdir(), 'logout-relay-out-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    return folder
  }

  test('is for the user alone, whatever was there, and what a link leads to is not touched', () => {
    const folder = inFolder()
    const [open, linked, behind] = ['open', 'linked', 'behind'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    writeFileSync(open, 'before', { mode: 0o644 })
    writeFileSync(behind, 'of somebody else', { mode: 0o644 })
    symlinkSync(behind, linked)
    for (const file of [open, linked]) {
      keep(file, 'new-secret')
      expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual(['new-secret', 0o600])
    }
    expect(readFileSync(behind, 'utf8')).toBe('of somebody else')
    expect(readdirSync(folder).sort()).toEqual(['behind', 'linked', 'open'])
  })

  test('that cannot be put in its place leaves no copy beside it', () => {
    const folder = inFolder()
    mkdirSync(join(folder, 'out'))
    expect(() => keep(join(folder, 'out'), 'new-secret')).toThrow(/cannot be written/)
    expect(readdirSync(folder)).toEqual(['out'])
    expect(() => requireWritable(join(folder, 'out'), '--out')).toThrow(/is a folder/)
    expect(() => requireWritable(join(folder, 'none', 'out'), '--out')).toThrow(/cannot be written to/)
    expect(existsSync(join(folder, 'none'))).toBe(false)
  })
})

test('--now ends the old secret also where the node that is asked has not heard that it counts', async () => {
  const realm = new Realm(3600_000)
  const report = realm.report
  realm.report = async () => {
    const { old_valid_until_ms: _, ...stale } = await report()
    return stale
  }
  const world: World = {
    keep: () => undefined,
    begun: () => undefined,
    seen: () => undefined,
    pause: () => Promise.resolve(),
  }
  await rotate(realm, { ...NOW, waitMs: 0 }, world)
  expect(realm.withdrawn).toEqual(['secret-0'])
})
