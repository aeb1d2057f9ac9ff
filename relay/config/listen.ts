import { codeOf } from '../errors.ts'

interface Listen {
  readonly host: string
  readonly port: number
}

const WHY: Readonly<Record<string, (listen: Listen) => string>> = {
  EADDRINUSE: ({ host, port }) =>
    `port ${port} of ${host} is in use by another program: end that one, or name another port in listen.port`,
  EACCES: ({ port }) =>
    `port ${port} may not be opened by this user: name one above 1023 in listen.port, and let a proxy or the service manager hold the other`,
  EADDRNOTAVAIL: ({ host }) =>
    `${host} is no address of this machine: name one of its own in listen.host, or 127.0.0.1 behind a proxy here`,
  ENOTFOUND: ({ host }) => `${host} is a name that nobody knows: name an address of this machine in listen.host`,
}

/** Why nobody can be listened for there, with what to do; undefined for a failure of another kind. */
export function whyNotListening(listen: Listen, cause: unknown): string | undefined {
  return WHY[codeOf(cause) ?? '']?.(listen)
}
