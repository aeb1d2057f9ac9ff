import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { temporary } from '../stage/temporary.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly license: string
  readonly dependencies: Readonly<Record<string, string>>
}

interface Bill {
  readonly metadata: { readonly component: { name: string } }
}

/** The oldest that undici takes. Who has an older one is told so by `relay/bin.ts`. */
const NODE = '>=22.19.0'

/** Types, sources of what was compiled, and maps: half of the files. */
const NOT_READ = /\.([cm]?ts|map)$/

/**
 * The npm package of the relay and its command line. It is JavaScript, since Node strips no types below a `node_modules`. What
 * it needs is in it, in the versions of package-lock.json, with which it has been tested: npm heeds a lock file for these only
 * at its own pleasure, and an installation asks no registry.
 *
 * @param root where the sources are, and a `node_modules` with the compiler; nothing is written there
 * @returns the name of the file
 */
export function packRelay(root: string, into: string): string {
  const folder = temporary('relay-package')
  compile(root, join('relay', 'tsconfig.build.json'), folder)
  // What is read as it runs: the console's files, the store's scripts for Redis.
  const isRead = (path: string) => !['.ts', '.json'].includes(extname(path))
  cpSync(join(root, 'relay'), join(folder, 'relay'), { recursive: true, filter: isRead })
  const compiled = readdirSync(folder)
  const beside = ['LICENSE', 'CHANGELOG.md', 'relay.example.yaml', 'docs', join('deploy', 'systemd')]
  for (const path of beside) {
    cpSync(join(root, path), join(folder, path), { recursive: true })
  }
  cpSync(join(root, 'scripts', 'release', 'relay-readme.md'), join(folder, 'README.md'))

  const { name, version, description, license, dependencies } = read(join(root, 'package.json'))
  // In the repository npm brings a Node for machines with an older one, of 120 MB.
  const { node: _, ...ofTheRelay } = dependencies
  write(join(folder, 'package.json'), {
    ...{ name, version, description, license, type: 'module', engines: { node: NODE } },
    ...{ bin: { 'logout-relay': 'relay/bin.js' }, dependencies: ofTheRelay, bundleDependencies: true },
    // Else whatever a program leaves in the folder meanwhile would be in the package.
    files: [...compiled, ...beside],
  })
  cpSync(join(root, 'package-lock.json'), join(folder, 'package-lock.json'))
  npm(folder, 'install', '--ignore-scripts', '--prefer-offline')
  for (const file of readdirSync(join(folder, 'node_modules'), { recursive: true, encoding: 'utf8' })) {
    if (NOT_READ.test(file)) {
      rmSync(join(folder, 'node_modules', file))
    }
  }
  return pack(folder, into)
}

/** The npm package of the guard, which is a library and leaves the versions of what it needs to the application. */
export function packGuard(root: string, into: string): string {
  const folder = temporary('guard-package')
  compile(root, join('guard', 'tsconfig.json'), join(folder, 'dist'))
  for (const path of ['README.md', 'vectors']) {
    cpSync(join(root, 'guard', path), join(folder, path), { recursive: true })
  }
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  write(join(folder, 'package.json'), { ...read(join(root, 'guard', 'package.json')), scripts: undefined })
  npm(folder, 'install', '--package-lock-only', '--ignore-scripts')
  return pack(folder, into)
}

/** The file, and beside it the bill of materials, which says what an installation of it consists of. */
function pack(folder: string, into: string): string {
  const file = npm(folder, 'pack', '--loglevel=error', '--pack-destination', into).trim()
  const made = JSON.parse(npm(folder, 'sbom', '--sbom-format', 'cyclonedx', '--package-lock-only')) as Bill
  // npm calls it by its folder.
  made.metadata.component.name = read(join(folder, 'package.json')).name
  write(join(into, `${basename(file, '.tgz')}.cdx.json`), made)
  return file
}

/** Without looking at types, which `npm run check` does. */
function compile(root: string, project: string, into: string): void {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  execFileSync(process.execPath, [tsc, '-p', project, '--noCheck', '--outDir', into], { cwd: root, stdio: 'inherit' })
}

/** What it says on standard output. */
function npm(folder: string, ...args: readonly string[]): string {
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier']
  return execFileSync('npm', [...args, ...quiet], { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
}

const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Manifest
const write = (file: string, content: object) => writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`)
