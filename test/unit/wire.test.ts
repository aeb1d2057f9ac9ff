import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePort } from '../../scripts/stage/process.ts'
import { startWire, type Wire } from '../../scripts/stage/wire.ts'

const INNER = '127.0.0.2'
let echo: Server
let wire: Wire
let port: number
const ends = new Set<Socket>()

beforeEach(async () => {
  port = await freePort()
  echo = createServer((socket) => {
    ends.add(socket.on('error', () => undefined))
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => echo.listen(port, INNER, resolve))
  wire = await startWire([port], INNER)
})
afterEach(() => {
  wire.stop()
  ends.forEach((end) => end.destroy())
  echo.close()
})

const dial = () => {
  const socket = connect({ host: '127.0.0.1', port }).on('error', () => undefined)
  ends.add(socket)
  return socket
}
const said = async (socket: Socket) => String((await once(socket, 'data'))[0])

test('a wire carries both ways', async () => {
  const socket = dial()
  socket.write('one')
  expect(await said(socket)).toBe('one')
})

test('a wire that is cut breaks what goes through it, takes nothing new, and carries again when it is joined', async () => {
  const socket = dial()
  socket.write('one')
  await said(socket)
  wire.cut()
  await once(socket, 'close')
  const refused = dial()
  await once(refused, 'close')
  wire.join()
  const again = dial()
  again.write('two')
  expect(await said(again)).toBe('two')
})

test('a silent wire holds what is sent and tells nobody, and passes it on when it is joined', async () => {
  const old = dial()
  old.write('one')
  await said(old)
  wire.silence()
  const young = dial()
  const heard: string[] = []
  for (const socket of [old, young]) {
    socket.on('data', (bytes: Buffer) => heard.push(String(bytes))).on('close', () => heard.push('closed'))
    socket.write('two')
  }
  await delay(200)
  expect(heard).toEqual([])
  wire.join()
  await expect.poll(() => heard).toEqual(['two', 'two'])
})
