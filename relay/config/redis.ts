import { z } from 'zod'
import { isLoopback } from '../domain/uri.ts'

const Text = z.string().min(1, 'is empty')
const Server = Text.regex(/^(\[[0-9a-f:]+\]|[^\s:/@]+):\d{1,5}$/i, 'is not host:port')

/** `store.redis` in relay.yaml. */
export const Redis = z
  .strictObject({
    nodes: z.array(Server).min(1, 'is empty').optional().describe('`host:port` of a server, or of nodes of a cluster'),
    sentinels: z.array(Server).min(1, 'is empty').optional().describe('or of Sentinels; one of the two is required'),
    master: Text.optional().describe('the name under which the Sentinels know the master'),
    username: Text.optional().describe('the relay’s user in Redis: [operate.md](operate.md#the-relay-on-redis)'),
    password_file: Text.optional().describe('a file that holds its password; required for servers on other machines'),
    sentinel_username: Text.optional().describe('its user at the Sentinels'),
    sentinel_password_file: Text.optional().describe('a file that holds the password of that one'),
    tls: z
      .strictObject({ ca_file: Text.optional().describe('PEM; the CAs to trust in place of those that Node trusts') })
      .optional()
      .describe('`{}` is TLS; required for servers on other machines'),
    allow_unencrypted: z.boolean().default(false).describe('unless something else encrypts the way to them'),
    replicas: z
      .number()
      .int()
      .min(0)
      .max(10)
      .default(0)
      .describe('how many replicas must have an event before it is acknowledged'),
  })
  .refine((redis) => (redis.nodes === undefined) !== (redis.sentinels === undefined), {
    path: ['nodes'],
    error: 'or sentinels must be given, and not both',
  })
  .refine((redis) => (redis.sentinels === undefined) === (redis.master === undefined), {
    path: ['master'],
    error: 'goes with sentinels: the name under which they know the master',
  })
  .refine((redis) => redis.tls !== undefined || redis.allow_unencrypted || areHere(redis), {
    path: ['tls'],
    error:
      'is missing for servers on other machines; give tls: {}, or say allow_unencrypted: true if something else ' +
      'encrypts the way',
  })
  .refine((redis) => redis.password_file !== undefined || areHere(redis), {
    path: ['password_file'],
    error: 'is missing for servers on other machines; there is no default',
  })

interface Node {
  readonly host: string
  readonly port: number
}

interface RedisAccess {
  readonly username?: string
  readonly password?: string
  readonly tls?: { readonly ca?: string }
}

export interface RedisConfig {
  readonly where:
    | { readonly nodes: readonly Node[] }
    | { readonly sentinels: readonly Node[]; readonly master: string; readonly access: RedisAccess }
  readonly access: RedisAccess
  readonly replicas: number
}

/** @param secret reads a file; @param certificates too. Both are given the field for their complaints. */
export function redisOf(
  redis: z.infer<typeof Redis>,
  secret: (path: string, field: string) => string,
  certificates: (path: string, field: string) => string,
): RedisConfig {
  const { nodes, sentinels = [], master = '', tls, replicas } = redis
  const trusted = tls?.ca_file === undefined ? {} : { ca: certificates(tls.ca_file, 'store.redis.tls.ca_file') }
  const access = (username: string | undefined, passwordFile: string | undefined, field: string): RedisAccess => ({
    ...(username === undefined ? {} : { username }),
    ...(passwordFile === undefined ? {} : { password: secret(passwordFile, `store.redis.${field}`).trim() }),
    ...(tls ? { tls: trusted } : {}),
  })
  const ofSentinels = access(redis.sentinel_username, redis.sentinel_password_file, 'sentinel_password_file')
  return {
    where: nodes ? { nodes: nodes.map(nodeOf) } : { sentinels: sentinels.map(nodeOf), master, access: ofSentinels },
    access: access(redis.username, redis.password_file, 'password_file'),
    replicas,
  }
}

function nodeOf(server: string): Node {
  const at = server.lastIndexOf(':')
  return { host: server.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(server.slice(at + 1)) }
}

function areHere({ nodes = [], sentinels = [] }: { nodes?: string[] | undefined; sentinels?: string[] | undefined }) {
  return [...nodes, ...sentinels].every((server) => isLoopback(`http://${server}`))
}
