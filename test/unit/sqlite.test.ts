import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { checkSqlite } from '../../relay/check/store.ts'
import { FORM } from '../../relay/store/sqlite/schema.ts'
import { plan } from '../../relay/domain/plan.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { VERSION } from '../../relay/version.ts'
import { acceptInto, DAY_MS, ISSUER, NOW_MS, securityEvent, temporaryFolder } from './given.ts'
import { storeContract } from './store-contract.ts'
import { securityFeedContract } from './security-feed-contract.ts'
import { notesContract } from './notes-contract.ts'
import { retentionContract } from './retention-contract.ts'
import { watermarkContract } from './watermark-contract.ts'

const makeStore = () => {
  const file = join(temporaryFolder(), 'relay.db')
  const store = openSqliteStore(file)
  return Promise.resolve({
    store,
    reopen: async () => {
      await store.close()
      return openSqliteStore(file)
    },
  })
}
storeContract('SQLite', makeStore)
watermarkContract('SQLite', makeStore)
securityFeedContract('SQLite', makeStore)
notesContract('SQLite', makeStore)
retentionContract('SQLite', makeStore)

test('a second relay on the same file is refused with store_in_use', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  const first = openSqliteStore(file)
  expect(() => openSqliteStore(file)).toThrow(expect.objectContaining({ code: 'store_in_use' }))
  await first.close()
  await openSqliteStore(file).close()
})

test('a refused second relay does not harm the first', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  const first = openSqliteStore(file)
  onTestFinished(() => first.close())
  expect(() => openSqliteStore(file)).toThrow()
  expect(await first.open()).toEqual([])
  await first.reported(['nothing'])
})

test('a file in the form of another relay is refused, naming both versions, and not touched', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  await openSqliteStore(file).close()
  // What a newer relay does to it, beside tables of its own; and the forms that there were before the first release.
  for (const form of [10_000, FORM + 1, 50]) {
    const db = new DatabaseSync(file)
    db.exec(`pragma user_version = ${form}; update written_by set version = '9.9.9'`)
    db.close()
    const before = readFileSync(file)
    const says = new RegExp(`Logout Relay 9\\.9\\.9 \\(${form}\\).*${VERSION}.*start 9\\.9\\.9`)
    expect(() => openSqliteStore(file)).toThrow(
      expect.objectContaining({ code: 'store_unavailable', message: expect.stringMatching(says) as string }),
    )
    expect(checkSqlite(file).finding).toMatchObject({ ok: false, says: expect.stringMatching(says) as string })
    expect(readFileSync(file).equals(before)).toBe(true)
  }
})

test('a file of 0.1.0 is brought up as it is opened, with what is open in it, and is an older relay’s no more', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  const first = openSqliteStore(file)
  await acceptInto(first, securityEvent(1, ['orders', 'wiki', 'wiki']))
  await first.dismiss({ issuer: ISSUER, clientId: 'wiki' }, { by: 'olivia-1', atMs: NOW_MS, reason: 'gone' }, 9)
  await first.close()
  const old = new DatabaseSync(file)
  old.exec(`drop table month; drop table unreachable; drop index containment_by_subject; drop index containment_named;
    alter table containment drop column subject; alter table containment drop column unreachable;
    alter table containment drop column unreachable_until_ms;
    alter table containment drop column dismissed; drop table watermark;
    create table watermark (
      issuer text not null, kind text not null check (kind in ('sub', 'sid', 'kept')), name text not null,
      watermark_ms integer not null, until_ms integer not null, seq integer not null, containment_id text,
      primary key (issuer, kind, name)
    ) strict, without rowid;
    pragma user_version = 1; update written_by set version = '0.1.0'`)
  old.close()
  expect(checkSqlite(file).finding).toMatchObject({ ok: true })
  const store = openSqliteStore(file)
  onTestFinished(() => store.close())
  expect(await store.months(ISSUER)).toMatchObject([{ containments: 1, closed: 0, told: 0 }])
  const [before] = await store.containments({ issuer: ISSUER, limit: 9 })
  expect(before).toMatchObject({ id: 'txn-1', open: 1, dismissed: 2, unreachable: 0 })
  expect(before).not.toHaveProperty('subject')
  expect(await store.containments({ issuer: ISSUER, limit: 9, subject: 'user-1' })).toEqual([])
  await acceptInto(store, securityEvent(2, ['orders'], { client: { clientId: 'export', allTokens: true } }))
  expect(await store.containments({ issuer: ISSUER, limit: 9, subject: 'user-1' })).toMatchObject([{ id: 'txn-2' }])
  expect(await store.watermarksOf(ISSUER, 'somebody', undefined, 'export')).toMatchObject([{ kind: 'client' }])
  await store.close()
  const db = new DatabaseSync(file, { readOnly: true })
  expect(db.prepare('select version from written_by').all()).toEqual([{ version: VERSION }])
  expect(db.prepare('pragma user_version').get()).toEqual({ user_version: FORM })
  db.close()
})

test('a new file says whose form it has', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  await openSqliteStore(file).close()
  await openSqliteStore(file).close()
  const db = new DatabaseSync(file, { readOnly: true })
  expect(db.prepare('select version from written_by').all()).toEqual([{ version: VERSION }])
  expect(db.prepare('pragma user_version').get()).toEqual({ user_version: FORM })
  db.close()
})

test('a file that is no database is refused, and the refusal says what to do', () => {
  const file = join(temporaryFolder(), 'relay.db')
  writeFileSync(file, 'this is not a database, however long it may be, and it stays what it is'.repeat(100))
  expect(() => openSqliteStore(file)).toThrow(
    expect.objectContaining({
      code: 'store_unavailable',
      message: expect.stringMatching(/is damaged.*backup/) as string,
    }),
  )
})

test('once damage has been met nothing is written any more, so nothing is acknowledged that may be lost', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  const whole = openSqliteStore(file)
  for (let n = 1; n <= 60; n++) {
    const event = securityEvent(n, ['orders', 'wiki'])
    await acceptInto(whole, event)
  }
  await whole.close()
  // The oldest evidence: the start does not read it, nor does a new event.
  const db = new DatabaseSync(file)
  const page = db.prepare("select pageno from dbstat where name = 'evidence' and pagetype = 'leaf' order by path").get()
  db.close()
  const handle = openSync(file, 'r+')
  writeSync(handle, Buffer.alloc(4096, 0xa5), 0, 4096, (Number(page?.['pageno']) - 1) * 4096)
  closeSync(handle)
  const store = openSqliteStore(file)
  onTestFinished(() => store.close())
  const event = securityEvent(100, [])
  const accept = () => acceptInto(store, event)
  expect(await accept()).toBe('accepted')
  const damaged = { code: 'store_unavailable', message: expect.stringMatching(/is damaged/) as string }
  await expect(store.containment(ISSUER, 'txn-1')).rejects.toMatchObject(damaged)
  await expect(accept()).rejects.toMatchObject(damaged)
})

test('with more due than one claim takes, every lane has its turn', async () => {
  const store = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  onTestFinished(() => store.close())
  const event = securityEvent(
    1,
    ['a', 'b', 'c'].flatMap((client) => Array.from({ length: 6 }, () => client)),
  )
  await acceptInto(store, event)
  const claimed: string[] = []
  for (let n = 0; n < 6; n++) {
    const claims = await store.claim(NOW_MS, 30_000, 3, () => ({ privileged: 3, others: 3, latest: 0 }))
    claimed.push(...new Set(claims.map(({ delivery }) => delivery.clientId)))
  }
  expect(claimed).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
  expect(await store.claim(NOW_MS, 30_000, 3, () => ({ privileged: 3, others: 3, latest: 0 }))).toEqual([])
})

test('pages are the same by whichever way they are found, with few and with thousands', async () => {
  const store = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  onTestFinished(() => store.close())
  const ids: string[] = []
  for (let n = 1; n <= 11; n++) {
    const event = securityEvent(n, [...Array.from({ length: 499 }, () => 'orders'), 'wiki'])
    const planned = plan(event, NOW_MS)
    await store.accept(event, planned)
    ids.push(...planned.deliveries.map(({ id }) => id))
    for (const [clientId, state] of [
      ['orders', 'open'],
      ['wiki', 'open'],
      [undefined, 'open'],
      ['wiki', undefined],
      [undefined, undefined],
    ] as const) {
      const found: string[] = []
      for (let after: string | undefined, last: string | undefined = ''; last !== undefined; after = last) {
        const page = await store.deliveries({
          ...{ issuer: ISSUER, limit: 700 },
          ...(state === undefined ? {} : { state }),
          ...(clientId === undefined ? {} : { clientId }),
          ...(after === undefined ? {} : { after }),
        })
        found.push(...page.map(({ id }) => id))
        last = page.at(-1)?.id
      }
      const owed = ids.filter((_, at) => clientId === undefined || (at % 500 === 499) === (clientId === 'wiki'))
      expect(found).toEqual(owed.sort())
    }
  }
  const turns: string[] = []
  setImmediate(() => turns.push('others'))
  expect(await store.deliveries({ issuer: ISSUER, clientId: 'nobody', limit: 1 })).toEqual([])
  turns.push('a list that nothing matches')
  expect(turns).toEqual(['others', 'a list that nothing matches'])
})

test('a folder that the store makes is open to nobody else', async () => {
  const folder = join(temporaryFolder(), 'data')
  const store = openSqliteStore(join(folder, 'relay.db'))
  await store.close()
  expect(statSync(folder).mode & 0o077).toBe(0)
})

test('the pages of what was pruned are used again, so that the file does not grow with what comes after', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  const pages = () => {
    const db = new DatabaseSync(file)
    const count = Number(db.prepare('pragma page_count').get()?.['page_count'])
    db.close()
    return count
  }
  const endedBeforeMs = NOW_MS + 31 * DAY_MS
  let first = 0
  for (let round = 0; round < 4; round++) {
    const store = openSqliteStore(file)
    for (let n = 0; n < 300; n++) {
      const event = securityEvent(1000 * round + n, ['orders', 'wiki'])
      await acceptInto(store, event)
    }
    await store.dismiss({ issuer: ISSUER }, { by: 'operator-1', atMs: NOW_MS, reason: 'gone' }, 600)
    await store.close()
    first ||= pages()
    const pruning = openSqliteStore(file)
    const pruned = await pruning.prune({ nowMs: endedBeforeMs, endedBeforeMs, fed: [], limit: 100_000 })
    // The last one stays, and goes in the next round.
    expect(pruned.containments).toBe(round === 0 ? 299 : 300)
    await pruning.close()
  }
  expect(pages()).toBeLessThanOrEqual(first * 1.1)
})
