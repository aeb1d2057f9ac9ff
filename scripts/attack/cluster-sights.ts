import { call } from '../stage/http.ts'
import type { Node } from '../stage/nodes.ts'
import type { Tokens } from '../stage/tokens.ts'
import { SECRET } from './cluster-world.ts'

/** By what ways of asking this node the tokens are found alive; a node that is down finds nothing. */
export async function livesAt(node: Node, realm: string, tokens: Tokens, clientId = 'flows-app'): Promise<string[]> {
  const endpoint = node.tokens(realm)
  const headers = { authorization: `Bearer ${tokens.access_token}` }
  const userinfo = `${node.url}/realms/${realm}/protocol/openid-connect/userinfo`
  const sights = {
    userinfo: async () => (await call('GET', userinfo, { headers })).status === 200,
    introspection: () => endpoint.isActive(tokens.access_token, 'reader', SECRET),
    refresh: () => endpoint.lives(clientId, tokens),
  }
  const lives: string[] = []
  for (const [sight, isAlive] of Object.entries(sights)) {
    if (await isAlive().catch(() => false)) {
      lives.push(`${sight} at ${node.name}`)
    }
  }
  return lives
}

/** All of them at both nodes. */
export const EVERY_SIGHT = ['A', 'B'].flatMap((node) =>
  ['userinfo', 'introspection', 'refresh'].map((sight) => `${sight} at ${node}`),
)
