import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, realpathSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ROOT, type Running, start } from './process.ts'
import { temporary } from './temporary.ts'

/** Debian's buildah, without a registry of images: an image is built from stand-ins of its bases. Images lie in a folder of their own. */
export class Buildah {
  readonly dir = temporary('image')

  /** @param from its folder, with a Dockerfile unless another file is given */
  build(tag: string, from: string, ...more: readonly string[]): void {
    this.call('bud', '--isolation', 'chroot', '--quiet', '--pull-never', '--tag', tag, ...more, from)
  }

  /** A container of it. */
  from(image: string): string {
    return this.call('from', '--pull-never', image).trim()
  }

  /** The size of an image in bytes, as a registry would send it. */
  compressed(image: string): number {
    const file = join(this.dir, `${image}.tar`)
    this.call('push', '--quiet', image, `oci-archive:${file}`)
    return statSync(file).size
  }

  /** @param options of `buildah run` */
  run(container: string, options: readonly string[], ...command: readonly string[]): string {
    return this.call('run', '--isolation', 'chroot', ...options, container, '--', ...command)
  }

  /** In the network of this machine; without a command what the image starts by itself. */
  start(container: string, options: readonly string[], ...command: readonly string[]): Running {
    const args = ['run', '--isolation', 'chroot', ...options, container, '--']
    const own = command.length > 0 ? command : this.#ownCommand(container)
    return start('buildah', [...this.#store(), ...args, ...own], { logFile: join(this.dir, 'log') })
  }

  call(command: string, ...args: readonly string[]): string {
    return execFileSync('buildah', [...this.#store(), command, ...args], { encoding: 'utf8', stdio: 'pipe' })
  }

  #store(): string[] {
    return ['--root', join(this.dir, 'root'), '--runroot', join(this.dir, 'run'), '--storage-driver', 'vfs']
  }

  #ownCommand(container: string): string[] {
    const { OCIv1 } = JSON.parse(this.call('inspect', container)) as {
      OCIv1: { config: { Entrypoint: string[]; Cmd?: string[] } }
    }
    return [...OCIv1.config.Entrypoint, ...(OCIv1.config.Cmd ?? [])]
  }
}

/** The stages of our Dockerfile from one to before another, or to the end. */
export function stages(from: string, to?: string): string {
  const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
  const begin = text.indexOf(`\nFROM ${from}`)
  const end = to === undefined ? text.length : text.indexOf(`\nFROM ${to}`)
  if (begin < 0 || end < begin) {
    throw new Error(`The Dockerfile has no stages from ${from} to ${to ?? 'its end'}`)
  }
  return text.slice(begin, end)
}

/** Into the root of a stand-in: busybox under these names. */
export function bringBusybox(root: string, commands: readonly string[]): void {
  mkdirSync(join(root, 'bin'), { recursive: true })
  cpSync('/bin/busybox', join(root, 'bin', 'busybox'))
  for (const command of commands) {
    symlinkSync('busybox', join(root, 'bin', command))
  }
}

/** And what these programs, or libraries, are linked with, and what looks names up. */
export function bringLibraries(root: string, programs: readonly string[]): void {
  const linked = programs.flatMap(
    (program) => execFileSync('ldd', [program], { encoding: 'utf8' }).match(/(?<=^\s+|=> )\/(usr\/)?lib\S*/gm) ?? [],
  )
  const system = linked.filter((library) => /\/libc\.so/.test(library)).map((library) => dirname(library))
  const names = ['dns', 'files'].map((name) => join(system[0] ?? '', `libnss_${name}.so.2`))
  for (const library of new Set([...linked, ...names])) {
    cpSync(realpathSync(library), join(root, library), { recursive: true })
  }
}
