import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Memory, turn } from '../../relay/cli/placing.ts'
import { type ClientSecret, clientSecretOf } from '../../relay/idp/keycloak/client-secret.ts'
import { filePlace, groupId, keep, requireWritable } from '../../relay/places/file.ts'
import { placeNamed, type PlaceOptions } from '../../relay/places/named.ts'
import { withCommand } from '../../relay/places/then.ts'
import { temporaryFolder, uuid } from './given.ts'

const MINUTE = 60_000

/** A client at Keycloak as an agent sees it, and a place; the real ones are in test/real/agent.test.ts. */
class World implements ClientSecret {
  nowMs = 1_000_000
  secret = 'secret-0'
  rotation: { id: string } | undefined
  reads = 0
  place = ''
  memory: Memory | undefined

  state = () =>
    Promise.resolve({
      ...{ id: 'uuid', has_secret: true, now_ms: this.nowMs },
      ...(this.rotation ? { rotation: this.rotation } : {}),
    })

  current = () => {
    this.reads += 1
    return Promise.resolve(this.secret)
  }

  put = (secret: string) => {
    const isOther = this.place !== secret
    this.place = secret
    return Promise.resolve(isOther)
  }

  rotate(id: string, secret: string): void {
    this.rotation = { id }
    this.secret = secret
  }

  async turn(): Promise<string> {
    const { did, memory } = await turn(this, this, this.memory)
    this.memory = memory
    this.nowMs += 10_000
    return did
  }
}

describe('an agent', () => {
  test('reads the secret as it starts, and after that only when there is another or ten minutes have gone', async () => {
    const world = new World()
    expect([await world.turn(), await world.turn(), await world.turn()]).toEqual(['placed', 'unchanged', 'unchanged'])
    expect([world.place, world.reads]).toEqual(['secret-0', 1])
    world.rotate('r-1', 'secret-1')
    expect([await world.turn(), world.place]).toEqual(['placed', 'secret-1'])
    world.nowMs += MINUTE
    const reads = world.reads
    expect([await world.turn(), world.reads]).toEqual(['unchanged', reads])
    world.place = 'somebody has changed it'
    world.nowMs += 10 * MINUTE
    expect([await world.turn(), world.place]).toEqual(['placed', 'secret-1'])
  })
})

/** A stand-in for Keycloak and the extension: a node, which shows what it has heard of, and the database behind it. */
class Node {
  shown = 'secret-0'
  stored = 'secret-0'
  /** How often it must be asked before it reads the client anew. */
  deaf = 0
  isDeleted = false
  readonly put: string[] = []
  waits = 0
  issuer = ''

  async listen(): Promise<this> {
    const server = createServer((request, response) => {
      void text(request).then((body) => {
        this.#answer(`${request.method ?? ''} ${request.url ?? ''}`, body, response)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/main`
    return this
  }

  turn(memory?: Memory) {
    const sleep = () => Promise.resolve((this.waits += 1))
    const source = clientSecretOf({ issuer: this.issuer, clientId: 'x' }, () => Promise.resolve('a-token'), sleep)
    return turn(source, { put: (secret) => Promise.resolve(this.put.push(secret) > 0) }, memory)
  }

  #answer(asked: string, body: string, response: ServerResponse): void {
    const json = (answer: object, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    if (asked.includes('.well-known')) {
      json({ issuer: this.issuer, token_endpoint: `${this.issuer}/token` })
    } else if (asked.endsWith('/token')) {
      // So short that each request needs another.
      const part = (of: object) => Buffer.from(JSON.stringify(of)).toString('base64url')
      const token = `${part({ alg: 'none' })}.${part({ exp: Math.floor(Date.now() / 1000) + 5 })}.x`
      json({ access_token: token, token_type: 'Bearer', expires_in: 5 })
    } else if (asked === 'GET /realms/main/logout-relay/client-rotations/state?client=x') {
      json({ id: 'uuid', has_secret: true, now_ms: 200_000, rotation: { id: 'r-1', begun_ms: 95_000 } })
    } else if (asked === 'POST /realms/main/logout-relay/client-rotations/state') {
      if (this.deaf-- <= 0) {
        this.shown = this.stored
      }
      const { client, secret } = JSON.parse(body) as { client: string; secret: string }
      json({ current: client === 'x' && secret === this.stored })
    } else if (this.isDeleted || asked !== 'GET /admin/realms/main/clients/uuid/client-secret') {
      json({ error: 'Could not find client' }, 404)
    } else {
      json({ type: 'secret', value: this.shown })
    }
  }
}

describe('where a node of Keycloak is behind', () => {
  test('an agent that begins anew does not put the old secret in place of the new one', async () => {
    const node = await new Node().listen()
    Object.assign(node, { stored: 'secret-1', deaf: 1 })
    await node.turn()
    expect([node.put, node.waits]).toEqual([['secret-1'], 2])
  })

  test('an agent puts nothing in place of a node that does not hear of the change at all', async () => {
    const node = await new Node().listen()
    Object.assign(node, { stored: 'secret-1', deaf: Infinity })
    await expect(node.turn()).rejects.toMatchObject({ code: 'idp_unavailable' })
    expect(node.put).toEqual([])
  })
})

test('a client that is deleted between two questions is told as one that is not there, and not as an old extension', async () => {
  const node = await new Node().listen()
  node.isDeleted = true
  const refused = (await node.turn().catch((cause: unknown) => cause)) as Error
  expect(refused).toMatchObject({ code: 'not_found' })
  expect(refused.message).not.toMatch(/extension|upgrade/)
})

test('an agent at work goes on where the file with its own secret is away or empty for a moment', async () => {
  const folder = temporaryFolder()
  const [own, file] = [join(folder, 'own'), join(folder, 'secret')]
  writeFileSync(own, 'agents-secret')
  const env = {
    PATH: process.env['PATH'],
    LOGOUT_RELAY_ISSUER: (await new Node().listen()).issuer,
    LOGOUT_RELAY_CLIENT_ID: 'the-agent',
    LOGOUT_RELAY_CLIENT_SECRET_FILE: own,
  }
  const cli = join(import.meta.dirname, '../../relay/cli.ts')
  const child = spawn(process.execPath, [cli, 'agent', '--client', 'x', '--to', `file:${file}`, '--every', '1s'], {
    env,
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (some: Buffer) => (said += some.toString()))
  }
  const says = (what: RegExp) =>
    expect.poll(() => what.test(said) || child.exitCode, { timeout: 60_000, message: String(what) }).toBe(true)
  await says(/its secret is now in/)
  rmSync(own)
  await says(/own cannot be read by this user \(ENOENT\).*trying again/)
  writeFileSync(own, '')
  await says(/own is empty.*trying again/)
  said = ''
  writeFileSync(own, 'agents-secret')
  await says(/its secret is in/)
}, 120_000)

/** Whoever is root may write everywhere; the tests of a user who may not are as that one. */
const ROOT = process.getuid?.() === 0
const NOBODY = 65_534
function asNobody<T>(work: () => T): T {
  if (!ROOT) {
    return work()
  }
  process.setegid?.(NOBODY)
  process.seteuid?.(NOBODY)
  try {
    return work()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
}

const rights = (file: string) => statSync(file).mode & 0o777

describe('a file', () => {
  test('is written with its mode and group, and not again while it is right', async () => {
    const file = join(temporaryFolder(), 'secret')
    const gid = process.getgid?.()
    const place = filePlace(file, { mode: 0o640, gid })
    expect([await place.put('new'), rights(file), readFileSync(file, 'utf8')]).toEqual([true, 0o640, 'new'])
    const { ino, mtimeMs } = statSync(file)
    expect([await place.put('new'), statSync(file).ino, statSync(file).mtimeMs]).toEqual([false, ino, mtimeMs])
    chmodSync(file, 0o644)
    expect([await place.put('new'), rights(file)]).toEqual([true, 0o640])
    expect([await filePlace(file).put('new'), rights(file)]).toEqual([true, 0o600])
  })

  test('that is a link is replaced, and what it leads to is not touched', async () => {
    const folder = temporaryFolder()
    const [file, behind] = [join(folder, 'secret'), join(folder, 'behind')]
    writeFileSync(behind, 'new', { mode: 0o600 })
    symlinkSync(behind, file)
    expect([await filePlace(file).put('new'), lstatSync(file).isFile()]).toEqual([true, true])
  })

  test('what a run that was killed has left beside it is gone after the next, and nothing else is', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'secret')
    const left = `${file}.${uuid(1)}`
    const others = [`secret.${uuid(2)}x`, 'secret.old', `secrets.${uuid(3)}`, `secret.d.${uuid(4)}`]
    others.forEach((name) => writeFileSync(join(folder, name), 'another’s'))
    mkdirSync(`${file}.${uuid(5)}`)
    symlinkSync(join(folder, 'secret.old'), `${file}.${uuid(6)}`)
    const kept = [...others, `secret.${uuid(5)}`, `secret.${uuid(6)}`]
    const runs: readonly (() => Promise<unknown>)[] = [
      () => filePlace(file).put('new'),
      () => filePlace(file).put('new'),
      () => {
        keep(file, 'newer')
        return Promise.resolve()
      },
    ]
    for (const run of runs) {
      writeFileSync(left, 'a secret')
      await run()
      expect(readdirSync(folder).sort()).toEqual([...kept, 'secret'].sort())
    }
  })

  test.runIf(ROOT)('what another user has left beside it stays', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'secret')
    const left = `${file}.${uuid(1)}`
    writeFileSync(left, 'another’s')
    chownSync(left, NOBODY, NOBODY)
    await filePlace(file).put('new')
    expect(existsSync(left)).toBe(true)
  })

  test('killed at any time it is whole, the one or the other, and the next run leaves nothing beside it', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'secret')
    const [one, other] = ['1', '2'].map((digit) => digit.repeat(100_000)) as [string, string]
    await filePlace(file).put(one)
    const script = `import { filePlace } from '${join(import.meta.dirname, '../../relay/places/file.ts')}'
      const place = filePlace(process.argv[1])
      process.stdout.write('ready')
      for (;;) { for (const digit of ['1', '2']) { await place.put(digit.repeat(100_000)) } }`
    let left = 0
    // Until one at least was killed between the writing and the renaming.
    for (let n = 0; n < 6 || left === 0; n++) {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', script, '--', file])
      onTestFinished(() => void child.kill('SIGKILL'))
      const ended = new Promise((resolve) => child.once('close', resolve))
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await pause((n % 6) * 3)
      child.kill('SIGKILL')
      await ended
      expect([one, other].includes(readFileSync(file, 'utf8'))).toBe(true)
      left += readdirSync(folder).length - 1
    }
    await filePlace(file).put(one)
    expect([readdirSync(folder), readFileSync(file, 'utf8') === one]).toEqual([['secret'], true])
  })

  test('two agents at once, each of which takes away what the other has left, both put it in place', async () => {
    const file = join(temporaryFolder(), 'secret')
    const script = `import { filePlace } from '${join(import.meta.dirname, '../../relay/places/file.ts')}'
      const place = filePlace(process.argv[1])
      for (let n = 0; n < 300; n++) { await place.put(String(n)) }`
    const codes = [1, 2].map(() => {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', script, '--', file])
      return new Promise((resolve) => child.once('close', resolve))
    })
    expect(await Promise.all(codes)).toEqual([0, 0])
    expect(readFileSync(file, 'utf8')).toBe('299')
  })

  test('that cannot be written says which, why, and what to do', async () => {
    const folder = temporaryFolder()
    chmodSync(folder, 0o555)
    const file = join(folder, 'secret')
    await expect(asNobody(() => filePlace(file).put('canary'))).rejects.toMatchObject({
      code: 'access_denied',
      message: `${file} cannot be written (EACCES): let the user that this runs as write to the folder ${folder}`,
    })
    await expect(filePlace(join(folder, 'none', 'secret')).put('canary')).rejects.toThrow(/there is no folder .*none/)
    chmodSync(folder, 0o755)
    mkdirSync(file)
    await expect(filePlace(file).put('canary')).rejects.toThrow(/it is a folder: name a file in it/)
    expect(readdirSync(folder)).toEqual(['secret'])
  })

  test('is given only to a group that this machine knows, and that its user may give it to', async () => {
    await expect(groupId('no-such-group')).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/knows no group no-such-group/) as string,
    })
    expect(await groupId('daemon')).toBe(Number(/^daemon:[^:]*:(\d+)/m.exec(readFileSync('/etc/group', 'utf8'))?.[1]))
    const folder = temporaryFolder()
    chmodSync(folder, 0o777)
    const put = asNobody(() => filePlace(join(folder, 'secret'), { mode: 0o640, gid: 0 }).put('canary'))
    await expect(put).rejects.toThrow(/\(EPERM\): .* only to a group of its own: make it a member of group 0/)
    expect(readdirSync(folder)).toEqual([])
  })

  test('that cannot be written is refused before a secret is made, and nothing is left of the attempt', () => {
    const folder = temporaryFolder()
    const file = join(folder, 'secret')
    requireWritable(file, '--out')
    expect(readdirSync(folder)).toEqual([])
    // To be searched is part of it; of a folder that may be written to alone nothing can be named.
    for (const mode of [0o555, 0o662]) {
      chmodSync(folder, mode)
      expect(() => asNobody(() => requireWritable(file, '--out'))).toThrow(/--out: .* cannot be written to \(EACCES\)/)
    }
  })

  test.runIf(ROOT)('of another user in a folder like /tmp is refused before a secret is made', () => {
    const folder = temporaryFolder()
    const file = join(folder, 'secret')
    writeFileSync(file, '')
    chmodSync(folder, 0o1777)
    expect(() => asNobody(() => requireWritable(file, '--out'))).toThrow(/another user’s, in a folder/)
    requireWritable(file, '--out')
  })
})

/** Somebody else, who may write to the folder: swaps each file beside the secret for a link as soon as it is there. */
const THIEF = `
  import { readdirSync, renameSync, symlinkSync } from 'node:fs'
  const [folder, victim] = process.argv.slice(1)
  process.setgroups([]); process.setgid(${NOBODY}); process.setuid(${NOBODY})
  process.stdout.write('ready')
  for (let n = 0; ;) {
    for (const name of readdirSync(folder)) {
      if (/^secret\\.[0-9a-f-]{36}$/.test(name)) {
        try { renameSync(folder + '/' + name, folder + '/taken.' + n++); symlinkSync(victim, folder + '/' + name) } catch {}
      }
    }
  }`

async function startThief(folder: string, victim: string): Promise<void> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', THIEF, '--', folder, victim])
  onTestFinished(() => void child.kill('SIGKILL'))
  await new Promise((resolve) => child.stdout.once('data', resolve))
}

function sharedFolder() {
  const outer = temporaryFolder()
  chmodSync(outer, 0o755)
  const [folder, theirs] = [join(outer, 'shared'), join(outer, 'theirs')]
  for (const one of [folder, theirs]) {
    mkdirSync(one)
    chownSync(one, NOBODY, NOBODY)
  }
  return { folder, theirs, file: join(folder, 'secret') }
}

describe.runIf(ROOT)('in a folder to which another user may write', () => {
  const ROUNDS = 1000

  test('a link in place of the file beside it gets that user no secret', async () => {
    const { folder, file, theirs } = sharedFolder()
    const bait = join(theirs, 'bait')
    writeFileSync(bait, '')
    chownSync(bait, NOBODY, NOBODY)
    await startThief(folder, bait)
    const place = filePlace(file)
    for (let n = 0; n < ROUNDS && readFileSync(bait, 'utf8') === ''; n++) {
      await place.put(`canary-${n}`).catch(() => undefined)
    }
    expect(readFileSync(bait, 'utf8')).toBe('')
  }, 120_000)

  test('a link in place of the file beside it changes nothing of what it leads to', async () => {
    const { folder, file } = sharedFolder()
    const victim = join(temporaryFolder(), 'shadow')
    writeFileSync(victim, 'precious', { mode: 0o600 })
    const is = () => [readFileSync(victim, 'utf8'), rights(victim), statSync(victim).gid]
    const was = is()
    await startThief(folder, victim)
    const place = filePlace(file, { mode: 0o640, gid: NOBODY })
    for (let n = 0; n < ROUNDS && String(is()) === String(was); n++) {
      await place.put(`canary-${n}`).catch(() => undefined)
    }
    expect(is()).toEqual(was)
  }, 120_000)
})

describe('the command of --then', () => {
  const made = (command: (log: string) => string) => {
    const folder = temporaryFolder()
    const [file, log] = [join(folder, 'secret'), join(folder, 'log')]
    const place = withCommand(filePlace(file), file, command(log))
    return { file, place, said: () => (existsSync(log) ? readFileSync(log, 'utf8') : '') }
  }

  test('runs after each secret that was written, and not where none was', async () => {
    const { file, place, said } = made((log) => `echo ran >>'${log}'`)
    expect([await place.put('one'), await place.put('one'), await place.put('two')]).toEqual([true, false, true])
    expect([said(), existsSync(`${file}.then`)]).toEqual(['ran\nran\n', false])
  })

  test('that failed, or was not come to before a kill, runs at the next time, though the secret is there', async () => {
    const { file, place, said } = made((log) => `echo ran >>'${log}'; [ $(wc -l <'${log}') -gt 1 ]`)
    await expect(place.put('one')).rejects.toThrow(/is in place, and the command of --then ended with status 1/)
    expect([readFileSync(file, 'utf8'), await place.put('one'), said()]).toEqual(['one', false, 'ran\nran\n'])
    // As whoever was killed has left it.
    writeFileSync(`${file}.then`, '')
    expect([await place.put('one'), said(), existsSync(`${file}.then`)]).toEqual([false, 'ran\nran\nran\n', false])
  })

  test('that goes on for too long ends with all that it has started, whatever signal they ignore, and is in no error', async () => {
    const file = join(temporaryFolder(), 'secret')
    const command = `trap '' TERM; sleep 600 & echo $! >'${file}.pid'; wait; sleep 600; : canary`
    const refused = (await withCommand(filePlace(file), file, command, 1000)
      .put('one')
      .catch((cause: unknown) => cause)) as Error
    expect(refused.message).toBe('The secret is in place, and the command of --then was ended by SIGKILL')
    const child = readFileSync(`${file}.pid`, 'utf8').trim()
    const isAlive = () => existsSync(`/proc/${child}`) && !/\) Z /.test(readFileSync(`/proc/${child}/stat`, 'utf8'))
    await expect.poll(isAlive).toBe(false)
  })

  test('a link of the name of its note empties no file', async () => {
    const { file, place } = made(() => 'true')
    const victim = join(temporaryFolder(), 'shadow')
    writeFileSync(victim, 'precious')
    symlinkSync(victim, `${file}.then`)
    await place.put('one')
    expect([readFileSync(victim, 'utf8'), existsSync(`${file}.then`)]).toEqual(['precious', false])
  })

  test('a pipe of the name of its note does not hold the agent for ever', () => {
    const file = join(temporaryFolder(), 'secret')
    spawnSync('mkfifo', [`${file}.then`])
    const places = join(import.meta.dirname, '../../relay/places')
    const script = `import { filePlace } from '${places}/file.ts'; import { withCommand } from '${places}/then.ts'
      await withCommand(filePlace(process.argv[1]), process.argv[1], 'true').put('one')`
    const args = ['--input-type=module', '--eval', script, '--', file]
    const { signal, status } = spawnSync(process.execPath, args, { timeout: 10_000, killSignal: 'SIGKILL' })
    expect([signal, status]).toEqual([null, 0])
  })

  test('is told nothing of a secret, in its arguments or its environment', async () => {
    process.env['LOGOUT_RELAY_CLIENT_SECRET'] = 'canary-1'
    process.env['VAULT_TOKEN'] = 'canary-2'
    onTestFinished(() => {
      delete process.env['LOGOUT_RELAY_CLIENT_SECRET']
      delete process.env['VAULT_TOKEN']
    })
    const { place, said } = made((log) => `{ env; tr '\\0' ' ' </proc/$$/cmdline; } >'${log}'`)
    await place.put('canary-3')
    expect([said().includes('PATH='), /canary/.test(said())]).toEqual([true, false])
  })
})

describe('--to', () => {
  const DEFAULTS = { kubernetesAccount: '/none', vaultAuth: 'kubernetes' }
  const POD = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '6443' }
  const VAULT = { VAULT_ADDR: 'https://vault.example.org:8200' }
  const named = (to: string, more: Partial<PlaceOptions> = {}, env: Record<string, string> = { ...POD, ...VAULT }) =>
    placeNamed({ ...DEFAULTS, to, ...more }, env, undefined)

  test('names a file, a key of a Secret, or a field in Vault', async () => {
    expect((await named('file:/run/a b')).name).toBe('/run/a b')
    expect((await named('kubernetes:jobs/nightly/client-secret')).name).toBe('Secret jobs/nightly, key client-secret')
    expect((await named('vault:team/kv/nightly#secret', { vaultRole: 'jobs' })).name).toBe(
      'Vault team/kv/nightly, field secret',
    )
  })

  test.each([
    ['file:relative', {}, /begins with \//],
    ['file:/run/', {}, /names a file/],
    ['kubernetes:jobs/nightly', {}, /nothing left out/],
    ['kubernetes:jobs/../nightly', {}, /nothing left out/],
    ['kubernetes:jobs/nightly/a/b', {}, /nothing left out/],
    ['vault:secret/nightly', { vaultRole: 'jobs' }, /nothing left out/],
    ['vault:secret/../sys/mounts#x', { vaultRole: 'jobs' }, /nothing left out/],
    ['vault:secret#x', { vaultRole: 'jobs' }, /nothing left out/],
    ['vault:secret/nightly#x', {}, /either --vault-token-file or --vault-role/],
    ['vault:secret/nightly#x', { vaultRole: 'jobs', vaultTokenFile: '/t' }, /either/],
    ['kubernetes:jobs/nightly/x', { mode: 0o600 }, /--mode, --group and --then are for a file/],
    ['s3:bucket', {}, /--to: give/],
  ] as const)('%s is refused with words', async (to, more, words) => {
    await expect(named(to, more)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(words) as string,
    })
  })

  test('nothing secret goes to a Vault in clear, and Kubernetes is where the pod says', async () => {
    const role = { vaultRole: 'jobs' }
    await expect(named('vault:a/b#c', role, { VAULT_ADDR: 'http://vault:8200' })).rejects.toThrow(/must be https/)
    await expect(named('vault:a/b#c', role, {})).rejects.toThrow(/VAULT_ADDR must be/)
    await expect(named('kubernetes:a/b/c', {}, {})).rejects.toThrow(/KUBERNETES_SERVICE_HOST is not set/)
  })
})
