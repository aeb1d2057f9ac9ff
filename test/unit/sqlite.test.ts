import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { temporaryFolder } from './given.ts'
import { storeContract } from './store-contract.ts'
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

test('a file of a newer relay is not touched', () => {
  const file = join(temporaryFolder(), 'relay.db')
  const db = new DatabaseSync(file)
  db.exec('pragma user_version = 10000')
  db.close()
  expect(() => openSqliteStore(file)).toThrow(expect.objectContaining({ code: 'store_unavailable' }))
})

test('a file that is no database is refused in words', () => {
  const file = join(temporaryFolder(), 'relay.db')
  writeFileSync(file, 'this is not a database, however long it may be, and it stays what it is'.repeat(100))
  expect(() => openSqliteStore(file)).toThrow(expect.objectContaining({ code: 'store_unavailable' }))
})

test('a folder that the store makes is open to nobody else', async () => {
  const folder = join(temporaryFolder(), 'data')
  const store = openSqliteStore(join(folder, 'relay.db'))
  await store.close()
  expect(statSync(folder).mode & 0o077).toBe(0)
})
