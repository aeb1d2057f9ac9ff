import { mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './process.ts'
import { temporary } from './temporary.ts'

/** The commands of a document as they stand there, block by block, each with the heading that it is under. */
export function commandsIn(file: string): { readonly heading: string; readonly text: string }[] {
  let heading = ''
  return readFileSync(join(ROOT, file), 'utf8')
    .split(/^(?=#+ |\s*```sh$)/m)
    .flatMap((part) => {
      heading = /^#+ (.*)$/m.exec(part)?.[1] ?? heading
      const block = /^( *)```sh\n([^]*?)\n *```/.exec(part)
      return block ? [{ heading, text: (block[2] ?? '').replaceAll(new RegExp(`^${block[1] ?? ''}`, 'gm'), '') }] : []
    })
}

/**
 * A folder that is the repository to every command typed in it, and into which they may write. Its node_modules is a folder
 * of links and no link itself: npm, if it is asked to, then takes away the links and not what they lead to.
 */
export function repositoryFolder(): string {
  const folder = temporary('repository')
  mkdirSync(join(folder, 'node_modules'))
  const names = readdirSync(ROOT).filter((name) => !['.git', 'data', 'relay.yaml', 'node_modules'].includes(name))
  const modules = readdirSync(join(ROOT, 'node_modules')).map((name) => join('node_modules', name))
  for (const name of [...names, ...modules]) {
    symlinkSync(join(ROOT, name), join(folder, name))
  }
  return folder
}
