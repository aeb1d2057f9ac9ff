import { connect, createServer, type Socket } from 'node:net'
import { freePort } from './process.ts'

const CONNECT_MS = 1000

export interface Balancer {
  readonly port: number
  /** Breaks what goes through it, and takes nothing more until it is joined again. */
  cut(): void
  /** What comes back through it is held. */
  deafen(): void
  join(): void
  stop(): void
}

/** A plain TCP balancer: each connection goes to the next of the ports on this machine that takes it. */
export async function startBalancer(ports: readonly number[], port?: number): Promise<Balancer> {
  const open = new Set<Socket>()
  const backs = new Set<Socket>()
  let turn = 0
  let isCut = false
  const server = createServer((from) => {
    open.add(from)
    from.on('close', () => open.delete(from)).on('error', () => from.destroy())
    if (isCut) {
      from.destroy()
    } else {
      reach(from, ports.length)
    }
  })
  const reach = (from: Socket, tries: number) => {
    const to = connect({ host: '127.0.0.1', port: ports[turn++ % ports.length] ?? 0 })
    const late = setTimeout(() => to.destroy(new Error('too late')), CONNECT_MS)
    let through = false
    to.once('connect', () => {
      clearTimeout(late)
      through = true
      from.pipe(to)
      to.pipe(from)
      backs.add(to)
    })
    to.once('error', () => undefined)
    to.once('close', () => {
      clearTimeout(late)
      backs.delete(to)
      if (through || tries <= 1 || from.destroyed) {
        from.destroy()
      } else {
        reach(from, tries - 1)
      }
    })
    from.once('close', () => to.destroy())
  }
  const mine = port ?? (await freePort())
  await new Promise<void>((resolve) => server.listen(mine, '127.0.0.1', resolve))
  const cut = () => {
    isCut = true
    open.forEach((socket) => socket.destroy())
  }
  return {
    port: mine,
    cut,
    deafen: () => backs.forEach((back) => back.pause()),
    join: () => {
      isCut = false
    },
    stop: () => {
      cut()
      server.close()
    },
  }
}
