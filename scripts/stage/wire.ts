import { connect, createServer, type Server, type Socket } from 'node:net'

export interface Wire {
  /** Breaks what goes through it and refuses what is new: both ends know at once. */
  cut(): void
  /** Nothing goes through it any more, and nobody is told: what is sent is held, as by a filter that drops. */
  silence(): void
  join(): void
  stop(): void
}

/** A way from each of these ports of 127.0.0.1 to the same port of another loopback address, that can be broken. */
export async function startWire(ports: readonly number[], host: string): Promise<Wire> {
  let state: 'joined' | 'cut' | 'silent' = 'joined'
  const pairs = new Set<readonly [Socket, Socket]>()
  const carry = ([from, to]: readonly [Socket, Socket]) => {
    from.pipe(to)
    to.pipe(from)
  }
  const hold = ([from, to]: readonly [Socket, Socket]) => {
    from.unpipe().pause()
    to.unpipe().pause()
  }
  const take = (from: Socket, port: number) => {
    if (state === 'cut') {
      from.destroy()
      return
    }
    const to = connect({ host, port })
    const pair = [from, to] as const
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      from.destroy()
      to.destroy()
    }
    for (const socket of pair) {
      socket.setNoDelay().on('close', end).on('error', end)
    }
    ;(state === 'silent' ? hold : carry)(pair)
  }
  const servers = await Promise.all(
    ports.map(
      (port) =>
        new Promise<Server>((resolve, reject) => {
          const server = createServer((socket) => take(socket, port))
          server.once('error', reject)
          server.listen(port, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const cut = () => {
    state = 'cut'
    pairs.forEach(([from]) => from.destroy())
  }
  return {
    cut,
    silence: () => {
      state = 'silent'
      pairs.forEach(hold)
    },
    join: () => {
      if (state === 'silent') {
        pairs.forEach(carry)
      }
      state = 'joined'
    },
    stop: () => {
      cut()
      servers.forEach((server) => server.close())
    },
  }
}
