import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkSqlite } from '../../relay/check/store.ts'
import { keepToOwner } from '../../relay/store/sqlite/owner.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { acceptInto, ISSUER, securityEvent, temporaryFolder } from './given.ts'

/** The mode of every file in the folder, by its name. */
const modes = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)]))

/** As a process starts whose umask keeps nothing from anybody. */
function underUmask(mask: number): void {
  const before = process.umask(mask)
  onTestFinished(() => void process.umask(before))
}

/** The files of a store as a relay leaves them that was killed: the last events are in the log beside the file. */
async function killed(folder: string): Promise<string> {
  const path = join(temporaryFolder(), 'relay.db')
  const store = openSqliteStore(path)
  onTestFinished(() => store.close())
  await acceptInto(store, securityEvent(1, ['orders']))
  for (const end of ['', '-wal']) {
    copyFileSync(path + end, join(folder, `relay.db${end}`))
    chmodSync(join(folder, `relay.db${end}`), 0o644)
  }
  // A store that something else than the relay has looked at has this one as well.
  writeFileSync(join(folder, 'relay.db-shm'), '')
  chmodSync(join(folder, 'relay.db-shm'), 0o666)
  return join(folder, 'relay.db')
}

test('a new store is for its owner alone under any umask, and so is what SQLite makes beside it', async () => {
  underUmask(0)
  const folder = temporaryFolder()
  const path = join(folder, 'relay.db')
  const narrowed: string[] = []
  const store = openSqliteStore(path, undefined, () => narrowed.push('narrowed'))
  await acceptInto(store, securityEvent(1, ['orders']))
  expect(modes(folder)).toEqual({ 'relay.db': '600', 'relay.db-wal': '600' })
  await store.close()
  expect(modes(folder)).toEqual({ 'relay.db': '600' })
  expect(narrowed).toEqual([])
})

test('a store that others could read is narrowed, with its log, and goes on with what is in it', async () => {
  underUmask(0)
  const folder = temporaryFolder()
  const path = await killed(folder)
  expect(modes(folder)).toEqual({ 'relay.db': '644', 'relay.db-wal': '644', 'relay.db-shm': '666' })
  const narrowed: string[] = []
  const store = openSqliteStore(path, undefined, () => narrowed.push('narrowed'))
  onTestFinished(() => store.close())
  expect(narrowed).toEqual(['narrowed'])
  expect(new Set(Object.values(modes(folder)))).toEqual(new Set(['600']))
  expect(await store.containments({ issuer: ISSUER, limit: 9 })).toHaveLength(1)
})

test('a store that is another user’s and open to others is refused, with what to do', async () => {
  const path = await killed(temporaryFolder())
  // Tests may run as root, who may change the mode of everything.
  const refused = () => {
    throw Object.assign(new Error('not permitted'), { code: 'EPERM' })
  }
  expect(() => keepToOwner(path, refused)).toThrow(
    expect.objectContaining({
      code: 'store_unavailable',
      message: expect.stringMatching(
        /relay\.db can be read by others.*\(EPERM\): give it to the user.*chmod 600 /,
      ) as string,
    }),
  )
})

test('a store on a file system that keeps no modes is refused as well', async () => {
  const path = await killed(temporaryFolder())
  expect(() => keepToOwner(path, () => undefined)).toThrow(
    /can be read by others than its owner.*may not change that: /,
  )
})

test('the check says that a store can be read by others, and leaves its mode as it is', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'relay.db')
  await openSqliteStore(path).close()
  expect(checkSqlite(path).finding.ok).toBe(true)
  chmodSync(path, 0o640)
  expect(checkSqlite(path)).toMatchObject({
    held: false,
    finding: { ok: false, says: expect.stringMatching(/read by other users.*chmod 600 .*relay\.db/) as string },
  })
  expect(modes(folder)['relay.db']).toBe('640')
})

test('whoever tries to open a store that this process has open leaves it locked against other processes', () => {
  const path = join(temporaryFolder(), 'relay.db')
  const store = openSqliteStore(path)
  onTestFinished(() => store.close())
  expect(() => openSqliteStore(path)).toThrow(/Another process uses the store/)
  const open = `new (require('node:sqlite').DatabaseSync)(${JSON.stringify(path)}).exec('begin immediate')`
  const other = spawnSync(process.execPath, ['-e', open], { encoding: 'utf8' })
  expect(other.stderr).toContain('database is locked')
})
