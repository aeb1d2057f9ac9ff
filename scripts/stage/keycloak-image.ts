import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bringBusybox, bringLibraries, Buildah, stages } from './buildah.ts'
import { EXTENSION_JAR } from './keycloak.ts'
import { ROOT, type Running } from './process.ts'

const COMMANDS = [
  ...['sh', 'cat', 'chmod', 'chown', 'dirname', 'grep', 'id', 'ls', 'mkdir', 'printf', 'readlink', 'sed', 'sleep'],
  ...['touch', 'uname', 'xargs'],
]

/**
 * The image of Keycloak with the extension as its Dockerfile makes it, `kc.sh build` included. What stands in for
 * `keycloak/keycloak` is the same release with busybox and this machine's Java, and the same user; in place of the stage that
 * runs Maven there is the jar.
 */
export class KeycloakImage {
  readonly #buildah = new Buildah()
  readonly #container: string

  /** @param db what it is built for */
  constructor(version: string, db: string) {
    this.#buildah.build(`docker.io/keycloak/keycloak:${version}`, this.#standIn(version))
    const folder = join(this.#buildah.dir, 'with-extension')
    mkdirSync(folder)
    cpSync(EXTENSION_JAR, join(folder, 'logout-relay-keycloak.jar'))
    const extension = 'FROM scratch AS extension\nCOPY logout-relay-keycloak.jar /src/target/\n'
    writeFileSync(join(folder, 'Dockerfile'), extension + stages('keycloak/keycloak:', 'node:26-alpine AS modules'))
    this.#buildah.build('keycloak', folder, '--target', 'keycloak', '--build-arg', `KC_DB=${db}`)
    this.#container = this.#buildah.from('keycloak')
  }

  run(...command: readonly string[]): string {
    return this.#buildah.run(this.#container, [], ...command)
  }

  /** Its entry point with these words, in the network of this machine. */
  start(env: Readonly<Record<string, string>>, ...words: readonly string[]): Running {
    const variables = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    return this.#buildah.start(this.#container, variables, '/opt/keycloak/bin/kc.sh', ...words)
  }

  /** The folder to build it from. */
  #standIn(version: string): string {
    const folder = join(this.#buildah.dir, 'keycloak')
    const root = join(folder, 'root')
    const at = (...path: string[]) => join(root, ...path)
    for (const path of ['etc', 'opt', 'tmp', 'proc', 'dev', 'sys']) {
      mkdirSync(at(path), { recursive: true })
    }
    chmodSync(at('tmp'), 0o1777)
    bringBusybox(root, COMMANDS)
    const java = dirname(dirname(realpathSync(execFileSync('which', ['java'], { encoding: 'utf8' }).trim())))
    // Debian has links to what is in packages of its own, such as sources.
    const isThere = (path: string) => existsSync(path)
    for (const part of ['bin', 'conf', 'lib', 'release']) {
      cpSync(join(java, part), at('opt', 'java', part), { recursive: true, dereference: true, filter: isThere })
    }
    const libraries = readdirSync(join(java, 'lib'), { recursive: true, encoding: 'utf8' })
    const linked = libraries.filter((file) => file.endsWith('.so')).map((file) => join(java, 'lib', file))
    bringLibraries(root, [join(java, 'bin', 'java'), ...linked])
    cpSync(join(ROOT, '.cache', `keycloak-${version}`), at('opt', 'keycloak'), { recursive: true })
    // As Keycloak's own image has them: the group is root's, and may write.
    writeFileSync(at('etc', 'passwd'), 'root:x:0:0::/root:/bin/sh\nkeycloak:x:1000:0::/opt/keycloak:/bin/sh\n')
    writeFileSync(at('etc', 'group'), 'root:x:0:\nkeycloak:x:0:root\n')
    const lines = [
      ...['FROM scratch', 'COPY root /', 'RUN chown -R 1000:0 /opt/keycloak && chmod -R g+rwX /opt/keycloak'],
      ...['ENV JAVA_HOME=/opt/java PATH=/opt/java/bin:/bin', 'USER 1000', 'ENTRYPOINT ["/opt/keycloak/bin/kc.sh"]'],
    ]
    writeFileSync(join(folder, 'Dockerfile'), `${lines.join('\n')}\n`)
    return folder
  }
}
