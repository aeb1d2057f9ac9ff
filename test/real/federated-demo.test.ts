import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import type { Line } from '../../scripts/demo/federated/story.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'

interface Ready {
  readonly keycloak: { readonly url: string }
  readonly relay: { readonly url: string }
  readonly directory?: { readonly kind: string; readonly url: string }
  readonly relyingParties: readonly { readonly url: string }[]
}

interface Told {
  readonly held: boolean
  readonly story: readonly Line[]
}

// As long as that of the tutorial, whose demo has no directory to start.
const LIMIT_MS = 420_000

/** The demo as a process: what is up, then the rest of what it prints, and its exit status. */
async function startDemo() {
  const args = [join(ROOT, 'scripts', 'demo.ts'), '--federated', '--json']
  const demo = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void demo.kill('SIGKILL'))
  const ended = once(demo, 'exit').then(([status]) => status as number | null)
  let said = ''
  demo.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const lines = createInterface({ input: demo.stdout })[Symbol.asyncIterator]()
  const first = await lines.next()
  expect(first.done ? said : '').toBe('')
  const ready = JSON.parse(first.value as string) as Ready
  return {
    demo,
    ended,
    ready,
    next: async () => JSON.parse((await lines.next()).value as string) as Told,
    said: () => said,
  }
}

/** Nothing that it had started listens any more. */
async function nothingIsLeft({ keycloak, relay, directory, relyingParties }: Ready): Promise<void> {
  const urls = [keycloak.url, relay.url, ...relyingParties.map(({ url }) => url), ...(directory ? [directory.url] : [])]
  await until('nothing listens any more', async () => (await Promise.all(urls.map(refuses))).every(Boolean))
}

function refuses(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port || 389), hostname, () => {
      socket.destroy()
      resolve(false)
    })
    socket.on('error', () => resolve(true))
  })
}

test(
  'a password that is changed at the beginning of a chain ends what is at its end, and all of the evidence names the first event',
  async () => {
    const { ended, ready, next, said } = await startDemo()
    expect(ready.directory?.kind).toBe('Active Directory')
    const { story, held } = await next()
    expect(story.filter((line) => line.expected === 'alive' && !line.aliveAfter)).toEqual([])
    const acts = [...new Set(story.filter(({ expected }) => expected === 'dead').map(({ act }) => act))]
    const ends = acts.map((act) => story.filter((line) => line.act === act))
    expect(ends.map(([line]) => line?.trigger)).toEqual(['directory-password-changed', 'admin-reset-password'])
    for (const lines of ends) {
      const places = lines.map(({ realm, clientId }) => `${realm} ${clientId}`)
      expect(new Set(places)).toEqual(
        new Set(
          ['staff apache-app', 'staff express-app', 'staff mobile-app'].concat([
            'main apache-app',
            'main express-app',
            'main browser-app',
          ]),
        ),
      )
      expect(lines.filter(({ aliveBefore, aliveAfter }) => !aliveBefore || aliveAfter)).toEqual([])
      expect(lines.filter(({ deadAfterNewLogin }) => deadAfterNewLogin !== true)).toEqual([])
      expect(new Set(lines.map(({ txn }) => txn)).size).toBe(1)
      expect(lines[0]?.txn).toMatch(/./)
    }
    expect(ends[0]?.[0]?.txn).not.toBe(ends[1]?.[0]?.txn)
    // The two with a new password, and the one whose password nobody has changed.
    expect(story.filter(({ expected }) => expected === 'alive')).toHaveLength(3 * (ends[0]?.length ?? 0))
    expect([held, await ended], said()).toEqual([true, 0])
    await nothingIsLeft(ready)
  },
  LIMIT_MS,
)

test(
  'that is ended in the middle of its story leaves nothing behind, and does not end as if all had held',
  async () => {
    const { demo, ended, ready } = await startDemo()
    demo.kill('SIGINT')
    expect(await ended).toBe(1)
    await nothingIsLeft(ready)
  },
  LIMIT_MS,
)
