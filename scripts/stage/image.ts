import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, readFileSync, realpathSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ROOT, type Running, start } from './process.ts'
import { temporary } from './temporary.ts'

const COMMANDS = ['sh', 'cat', 'chmod', 'chown', 'cp', 'env', 'id', 'ls', 'mkdir', 'rm', 'touch', 'wget']

/**
 * The relay's image as its Dockerfile makes it, with Debian's buildah and without a registry of images: what stands in for
 * `node:26-alpine` has busybox, this Node and its npm, and the same user. Images lie in a folder of their own.
 */
export class RelayImage {
  readonly #dir = temporary('image')
  readonly #container: string

  constructor() {
    this.#buildah('bud', '--quiet', '--tag', 'docker.io/library/node:26-alpine', this.#standIn())
    const stages =
      /^FROM node:26-alpine AS modules$[^]*/m.exec(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))?.[0] ?? ''
    writeFileSync(join(this.#dir, 'Dockerfile'), stages)
    this.#buildah('bud', '--quiet', '--pull-never', '--tag', 'relay', '--file', join(this.#dir, 'Dockerfile'), ROOT)
    this.#container = this.#buildah('from', '--pull-never', 'relay').trim()
  }

  /** In bytes, as a registry would send it. */
  compressed(): number {
    const file = join(this.#dir, 'relay.tar')
    this.#buildah('push', '--quiet', 'relay', `oci-archive:${file}`)
    return statSync(file).size
  }

  run(...command: readonly string[]): string {
    return this.#buildah('run', '--isolation', 'chroot', this.#container, '--', ...command)
  }

  /** Its entry point, with that folder as /etc/logout-relay, in the network of this machine. */
  start(config: string): Running {
    const { OCIv1 } = JSON.parse(this.#buildah('inspect', this.#container)) as {
      OCIv1: { config: { Entrypoint: string[]; Cmd: string[] } }
    }
    const args = ['run', '--isolation', 'chroot', '--volume', `${config}:/etc/logout-relay:ro`, this.#container, '--']
    const command = [...OCIv1.config.Entrypoint, ...OCIv1.config.Cmd]
    return start('buildah', [...this.#store(), ...args, ...command], { logFile: join(this.#dir, 'log') })
  }

  #store(): string[] {
    return ['--root', join(this.#dir, 'root'), '--runroot', join(this.#dir, 'run'), '--storage-driver', 'vfs']
  }

  #buildah(command: string, ...args: readonly string[]): string {
    const isolated = command === 'bud' ? ['--isolation', 'chroot'] : []
    const all = [...this.#store(), command, ...isolated, ...args]
    return execFileSync('buildah', all, { encoding: 'utf8', stdio: 'pipe' })
  }

  /** The folder to build it from. */
  #standIn(): string {
    const folder = join(this.#dir, 'node')
    const root = join(folder, 'root')
    const at = (...path: string[]) => join(root, ...path)
    for (const path of [
      'bin',
      'usr/bin',
      'usr/local/bin',
      'etc/ssl/certs',
      'tmp',
      'root',
      'home/node',
      'proc',
      'dev',
    ]) {
      mkdirSync(at(path), { recursive: true })
    }
    chmodSync(at('tmp'), 0o1777)
    cpSync('/bin/busybox', at('bin', 'busybox'))
    for (const command of COMMANDS) {
      symlinkSync('busybox', at('bin', command))
    }
    symlinkSync('/bin/env', at('usr', 'bin', 'env'))
    const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/lib\S*/g) ?? []
    const names = ['dns', 'files'].map((name) => join(dirname(libraries[0] ?? ''), `libnss_${name}.so.2`))
    for (const library of [...libraries, ...names]) {
      cpSync(realpathSync(library), at(library), { recursive: true })
    }
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
