import { setTimeout as delay } from 'node:timers/promises'
import type { Node } from '../stage/nodes.ts'
import { livesAt } from './cluster-sights.ts'
import type { Seen, Try } from './cluster.ts'

/** Two administrators reset the same password at the same moment, each at a node of their own. Stock Keycloak answers both. */
export async function resetTwiceAtOnce({ cluster, realm, name }: Try): Promise<Seen> {
  const { a, b } = cluster.nodes
  const user = await a.keycloak.admin.createUser(realm, name, 'password')
  const held = await Promise.all([a, b].map((node) => node.tokens(realm).directGrant('flows-app', name, 'password')))
  const passwords = ['one', 'two'] as const
  const answers = await Promise.all([
    a.keycloak.admin.resetPassword(realm, user, passwords[0]),
    b.keycloak.admin.resetPassword(realm, user, passwords[1]),
  ])
  const statuses = answers.map(({ status }) => status)
  const wrong = statuses.filter((status) => status >= 500).map((status) => `an answer of ${status}`)
  if (!statuses.includes(204)) {
    wrong.push(`no reset at all (${statuses.join(', ')})`)
  }
  const lives = (await Promise.all(held.flatMap((tokens) => [a, b].map((node) => livesAt(node, realm, tokens))))).flat()
  // A login of the event's own second counts as old.
  await delay(1000)
  const takenAt = async (node: Node) => {
    const form = { grant_type: 'password', client_id: 'flows-app', scope: 'openid', username: name }
    const tried = await Promise.all(
      ['password', ...passwords].map(async (password) => ({
        password,
        status: (await node.tokens(realm).ask({ ...form, password })).status,
      })),
    )
    return tried.flatMap(({ password, status }) => (status === 200 ? [password] : [])).join(' and ')
  }
  const [atA, atB] = [await takenAt(a), await takenAt(b)]
  if (atA !== atB || !passwords.some((password) => password === atA)) {
    wrong.push(`node A takes the password ${atA || 'none'}, node B ${atB || 'none'}`)
  }
  return { lives: [...new Set(lives)], wrong }
}
