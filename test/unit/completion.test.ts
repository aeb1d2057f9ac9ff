import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import { program } from '../../relay/cli.ts'
import { addCompletionCommand } from '../../relay/cli/completion.ts'
import { temporaryFolder } from './given.ts'

async function script(shell: string): Promise<string> {
  const printed: string[] = []
  const own = new Command('logout-relay').version('1')
  program.commands.filter((one) => one.name() !== 'completion').forEach((one) => own.addCommand(one))
  addCompletionCommand(own, (line) => printed.push(line))
  await own.parseAsync(['node', 'logout-relay', 'completion', shell])
  return printed.join('\n')
}

/** What bash offers after these words, the last of which is being typed. */
function offered(file: string, ...words: string[]): string[] {
  const line = ['logout-relay', ...words].map((word) => `'${word}'`).join(' ')
  const ask = `source '${file}'; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _logout_relay; printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['-c', ask], { encoding: 'utf8' }).trim().split('\n').sort()
}

test('bash completes commands, what is below them, their options, and the words that an option takes', async () => {
  const file = join(temporaryFolder(), 'completion')
  writeFileSync(file, await script('bash'))
  expect(offered(file, 'conta')).toEqual(['contain', 'containments'])
  expect(offered(file, 'deliveries', '')).toEqual(['--help', 'dismiss', 'list', 'retry'])
  expect(offered(file, 'deliveries', 'list', '--st')).toEqual(['--state'])
  expect(offered(file, 'deliveries', 'list', '--client', 'wiki', '--state', '')).toEqual([
    'delivered',
    'dismissed',
    'expired',
    'open',
  ])
  expect(offered(file, 'completion', 'z')).toEqual(['zsh'])
  expect(offered(file, 'relying-parties', 'pause', '--reas')).toEqual(['--reason'])
})

test('every command and every option is in the scripts of all shells', async () => {
  const names = (command: Command): string[] => [
    ...command.commands.flatMap((one) => [one.name(), ...names(one)]),
    ...command.options.flatMap(({ long }) => (long === undefined ? [] : [long.slice(2)])),
  ]
  const all = [...new Set(names(program))]
  expect(all.length).toBeGreaterThan(30)
  for (const shell of ['bash', 'zsh', 'fish']) {
    const text = await script(shell)
    expect([shell, all.filter((name) => !text.includes(name))]).toEqual([shell, []])
  }
  expect((await script('zsh')).split('\n')[0]).toBe('#compdef logout-relay')
})

test('a quote in a description is none in fish', async () => {
  const own = new Command('logout-relay')
  own.command('it').description("it's \\ done")
  const printed: string[] = []
  addCompletionCommand(own, (line) => printed.push(line))
  await own.parseAsync(['node', 'logout-relay', 'completion', 'fish'])
  expect(printed.join('\n')).toContain("-a it -d 'it\\'s \\\\ done'")
})
