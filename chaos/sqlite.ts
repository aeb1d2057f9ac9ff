import { closeSync, copyFileSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type CaseOptions, kills, paused, play, type Result, stopped } from './cases.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'
import { duration } from '../relay/text.ts'
import type { World } from './world.ts'

const FILE = 'relay.db'

/** Every case of the store on SQLite, one after another; the one that waits for a lease runs beside the others. */
export async function* sqlite(seed: number, count: number, isShort: boolean): AsyncGenerator<Result> {
  const options: CaseOptions = { seed, store: (dir) => ({ sqlite: join(dir, FILE) }) }
  const pause = isShort ? undefined : paused(options)
  // Its failure is seen where it is awaited.
  pause?.catch(() => undefined)
  yield await kills(options, count)
  yield await stopped(options, isShort ? 1 : 3)
  yield await diskFull(options.seed)
  yield await readOnly(options.seed)
  yield await corrupt(options)
  if (pause) {
    yield await pause
  }
}

/** The disk is full: no 202, nothing acknowledged is lost, and it goes on by itself as soon as there is room. */
async function diskFull(seed: number): Promise<Result> {
  let disk: SmallDisk | undefined
  const store = (dir: string) => {
    disk = mountSmallDisk(dir, 8)
    return { sqlite: join(disk?.dir ?? dir, FILE) }
  }
  return play('disk full', { seed, store }, async (world) => {
    world.spawn()
    await world.untilUp()
    if (!disk) {
      return { says: 'LEFT OUT: this user may not mount a small file system' }
    }
    await many(world, 20)
    await world.untilDone()
    disk.fill()
    const from = performance.now()
    const statuses = await many(world, 40)
    const wrong = statuses.filter((status) => status !== 503).map((status) => `a push was answered ${String(status)}`)
    if (world.relay?.exited()) {
      wrong.push('the relay has ended')
    }
    disk.free()
    world.ledger.fault(from, performance.now())
    const freed = performance.now()
    await world.untilDone()
    return {
      says: `40 pushes answered 503, all done ${duration(performance.now() - freed)} after there was room`,
      wrong,
    }
  })
}

/** A file system that turned read-only: the relay refuses to start and says so. */
async function readOnly(seed: number): Promise<Result> {
  let disk: SmallDisk | undefined
  const store = (dir: string) => {
    disk = mountSmallDisk(dir, 8)
    return { sqlite: join(disk?.dir ?? dir, FILE) }
  }
  return play('read-only database', { seed, store }, async (world) => {
    await oneLife(world)
    if (!disk) {
      world.spawn()
      return { says: 'LEFT OUT: this user may not mount a small file system' }
    }
    disk.readOnly(true)
    const { status, says } = await world.refusal()
    disk.readOnly(false)
    await many(world, 5)
    world.spawn()
    return { says: 'refused, then went on', wrong: status === 1 && /cannot be written/.test(says) ? [] : [says] }
  })
}

/**
 * A damaged file, with events acknowledged after the backup and not delivered: refused with what to do; the backup is put
 * back, or at last no file at all, and what it lacks is read from the outbox again.
 */
async function corrupt(options: CaseOptions): Promise<Result> {
  return play('corrupt database file', options, async (world) => {
    const { ledger } = world
    const file = join(world.dir, FILE)
    const backup = `${file}.backup`
    const wrong: string[] = []
    let again = 0
    for (const [damage, act] of Object.entries(DAMAGES)) {
      await oneLife(world)
      copyFileSync(file, backup)
      ledger.failing = 1
      const relay = world.spawn()
      await world.untilUp()
      const statuses = await many(world, 20)
      const from = performance.now()
      again += statuses.filter((each) => each === 202).length
      await relay.stop()
      act(file)
      const { status, says } = await world.refusal()
      if (status !== 1 || !/is damaged/.test(says) || !/backup/.test(says)) {
        wrong.push(`${damage}: ${String(status)} ${says}`)
      }
      // What SQLite kept beside the damaged file belongs to it alone.
      rmSync(`${file}-wal`, { force: true })
      rmSync(`${file}-shm`, { force: true })
      if (damage === WITHOUT_BACKUP) {
        rmSync(file)
      } else {
        copyFileSync(backup, file)
      }
      ledger.failing = 0
      ledger.fault(from, performance.now())
    }
    world.spawn()
    const names = Object.keys(DAMAGES).join(', ')
    return {
      says: `${names}: each refused; then from the backup, at last from nothing, and ${again} acknowledged events were read again`,
      wrong: again > 0 ? wrong : [...wrong, 'nothing had to be read again'],
    }
  })
}

/** The last of the damages: no backup is put back. */
const WITHOUT_BACKUP = 'cut in half'

const DAMAGES: Readonly<Record<string, (file: string) => void>> = {
  'first page overwritten': (file) => overwrite(file, 0, 4096),
  'pages in the middle overwritten': (file) => overwrite(file, 4096, statSync(file).size - 4096),
  'cut in half': (file) => truncateSync(file, Math.floor(statSync(file).size / 8192) * 4096),
}

function overwrite(file: string, from: number, length: number): void {
  const handle = openSync(file, 'r+')
  writeSync(handle, Buffer.alloc(length, 0xa5), 0, length, from)
  closeSync(handle)
}

/** Some work is done, and the relay stops gracefully: the file is whole and no log lies beside it. */
async function oneLife(world: World): Promise<void> {
  const relay = world.spawn()
  await world.untilUp()
  await many(world, 20)
  await world.untilDone()
  await relay.stop()
}

function many(world: World, count: number): Promise<(number | undefined)[]> {
  return Promise.all(Array.from({ length: count }, () => world.reset()))
}
