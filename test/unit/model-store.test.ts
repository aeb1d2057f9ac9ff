import { expect, test } from 'vitest'
import { Disk } from '../../sim/disk.ts'
import { openModelStore } from '../../sim/store.ts'
import { acceptInto, ISSUER, securityEvent } from './given.ts'
import { storeContract } from './store-contract.ts'
import { securityFeedContract } from './security-feed-contract.ts'
import { notesContract } from './notes-contract.ts'
import { retentionContract } from './retention-contract.ts'
import { watermarkContract } from './watermark-contract.ts'

function open(disk: Disk, sync = () => disk.sync()) {
  const soon = () => Promise.resolve()
  const synced = () => {
    sync()
    return Promise.resolve()
  }
  return openModelStore(disk, { arrive: soon, answered: soon, synced }, true)
}

const makeStore = () => {
  const disk = new Disk()
  return Promise.resolve({
    store: open(disk),
    reopen: () => {
      disk.losePower()
      return Promise.resolve(open(disk))
    },
  })
}
storeContract("the simulation's disk", makeStore)
watermarkContract("the simulation's disk", makeStore)
securityFeedContract("the simulation's disk", makeStore)
notesContract("the simulation's disk", makeStore)
retentionContract("the simulation's disk", makeStore)

test("what the simulation's disk has not synced is gone with the power", async () => {
  const disk = new Disk()
  const event = securityEvent(1, ['orders'])
  const store = open(disk, () => undefined)
  await acceptInto(store, event)
  expect(await store.deliveries({ issuer: ISSUER, limit: 10 })).toHaveLength(1)
  disk.losePower()
  expect(await store.deliveries({ issuer: ISSUER, limit: 10 })).toEqual([])
})
