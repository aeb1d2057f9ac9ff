import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bringBusybox, bringLibraries, Buildah, stages } from './buildah.ts'
import { ROOT, type Running } from './process.ts'

const COMMANDS = ['sh', 'cat', 'chmod', 'chown', 'cp', 'env', 'id', 'ls', 'mkdir', 'rm', 'touch', 'wget']

const ENTRY_POINT = ['node', 'relay/cli.ts']

/**
 * The relay's image as its Dockerfile makes it. What stands in for `node:26-alpine` has busybox, this Node and its npm, and the
 * same user.
 */
export class RelayImage {
  readonly #buildah = new Buildah()
  readonly #container: string

  constructor() {
    this.#buildah.build('docker.io/library/node:26-alpine', this.#standIn())
    const file = join(this.#buildah.dir, 'Dockerfile')
    writeFileSync(file, stages('node:26-alpine AS modules'))
    this.#buildah.build('relay', ROOT, '--file', file)
    this.#container = this.#buildah.from('relay')
  }

  /** In bytes, as a registry would send it. */
  compressed(): number {
    return this.#buildah.compressed('relay')
  }

  run(...command: readonly string[]): string {
    return this.#buildah.run(this.#container, [], ...command)
  }

  /** Its entry point, in the network of this machine; without words what it does by itself. @param folders by where it sees them */
  start(folders: Readonly<Record<string, string>>, ...words: readonly string[]): Running {
    const own = words.length > 0 ? [...ENTRY_POINT, ...words] : []
    return this.#buildah.start(this.#container, volumes(folders), ...own)
  }

  /** Its entry point with these words, to the end; answers what it prints. */
  command(
    folders: Readonly<Record<string, string>>,
    env: Readonly<Record<string, string>>,
    ...words: readonly string[]
  ) {
    const variables = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    return this.#buildah.run(this.#container, [...volumes(folders), ...variables], ...ENTRY_POINT, ...words)
  }

  /** The folder to build it from. */
  #standIn(): string {
    const folder = join(this.#buildah.dir, 'node')
    const root = join(folder, 'root')
    const at = (...path: string[]) => join(root, ...path)
    for (const path of ['usr/bin', 'usr/local/bin', 'etc/ssl/certs', 'tmp', 'root', 'home/node', 'proc', 'dev']) {
      mkdirSync(at(path), { recursive: true })
    }
    chmodSync(at('tmp'), 0o1777)
    bringBusybox(root, COMMANDS)
    symlinkSync('/bin/env', at('usr', 'bin', 'env'))
    bringLibraries(root, [process.execPath])
    cpSync(process.execPath, at('usr', 'local', 'bin', 'node'))
    const npm = dirname(dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())))
    cpSync(npm, at('usr', 'local', 'lib', 'node_modules', 'npm'), { recursive: true })
    symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', at('usr', 'local', 'bin', 'npm'))
    cpSync('/etc/ssl/certs/ca-certificates.crt', at('etc', 'ssl', 'certs', 'ca-certificates.crt'))
    writeFileSync(at('etc', 'passwd'), 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n')
    writeFileSync(at('etc', 'group'), 'root:x:0:\nnode:x:1000:\n')
    const variables = 'PATH=/usr/local/bin:/usr/bin:/bin NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'
    writeFileSync(join(folder, 'Dockerfile'), `FROM scratch\nCOPY root /\nENV ${variables}\n`)
    return folder
  }
}

function volumes(folders: Readonly<Record<string, string>>): string[] {
  return Object.entries(folders).flatMap(([at, folder]) => ['--volume', `${folder}:${at}`])
}
