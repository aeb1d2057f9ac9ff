import { Argument, Command, Option } from 'commander'

const SHELLS = ['bash', 'zsh', 'fish'] as const
const HELP = `
  bash: logout-relay completion bash >~/.local/share/bash-completion/completions/logout-relay
  zsh:  logout-relay completion zsh >~/.zsh/completions/_logout-relay   (a folder of your fpath)
  fish: logout-relay completion fish >~/.config/fish/completions/logout-relay.fish`

/** `completion`: what a shell needs to finish our commands. It is made of the commands themselves, and starts nothing to complete one. */
export function addCompletionCommand(program: Command, print: (line: string) => void): void {
  program
    .command('completion')
    .description('print what lets a shell complete these commands')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText('after', HELP)
    .action((shell: (typeof SHELLS)[number]) => print((shell === 'fish' ? fish : bash)(program, shell)))
}

interface Node {
  /** The words that lead there. */
  readonly path: readonly string[]
  readonly command: Command
}

function nodesOf(command: Command, path: readonly string[] = []): Node[] {
  return [{ path, command }, ...command.commands.flatMap((one) => nodesOf(one, [...path, one.name()]))]
}

function optionsOf(command: Command): Option[] {
  return [...command.options, new Option('-h, --help', 'display help for command')]
}

function bash(program: Command, shell: string): string {
  const nodes = nodesOf(program)
  const inner = nodes.filter(({ path }) => path.length > 0)
  const words = ({ command }: Node) => [
    ...command.commands.map((one) => one.name()),
    ...command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices),
    ...optionsOf(command).flatMap(({ long }) => long ?? []),
  ]
  const chosen = nodes.flatMap(({ path, command }) =>
    command.options.flatMap(({ long, argChoices }) =>
      long !== undefined && argChoices
        ? [`    '${[...path, long].join(' ')}') words='${argChoices.join(' ')}' ;;`]
        : [],
    ),
  )
  const takesValue = [
    ...new Set(
      nodes.flatMap(({ command }) =>
        command.options.flatMap(({ long, required, optional }) =>
          long !== undefined && (required || optional) ? [long] : [],
        ),
      ),
    ),
  ]
  return `${shell === 'zsh' ? '#compdef logout-relay\nautoload -U +X bashcompinit && bashcompinit\n' : ''}# Completion of logout-relay, made by: logout-relay completion ${shell}
_logout_relay() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" at='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${at:+$at }\${COMP_WORDS[i]}" in
      ${inner.map(({ path }) => `'${path.join(' ')}'`).join(' | ')}) at="\${at:+$at }\${COMP_WORDS[i]}" ;;
    esac
  done
  case "\${at:+$at }$prev" in
${chosen.join('\n')}
  esac
  if [ -z "$words" ]; then
    case "$prev" in
      ${takesValue.join(' | ')}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
    case "$at" in
${nodes.map((node) => `      '${node.path.join(' ')}') words='${words(node).join(' ')}' ;;`).join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _logout_relay logout-relay`
}

function fish(program: Command): string {
  const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const lines = nodesOf(program).flatMap(({ path, command }) => {
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`)
    const below = command.commands.map((one) => one.name())
    const here = path.length === 0 ? '__fish_use_subcommand' : seen.join('; and ')
    const next =
      below.length > 0 && path.length > 0 ? `${here}; and not __fish_seen_subcommand_from ${below.join(' ')}` : here
    return [
      ...command.commands.map(
        (one) => `complete -c logout-relay -n ${quoted(next)} -a ${one.name()} -d ${quoted(one.description())}`,
      ),
      ...command.registeredArguments.flatMap(({ argChoices }) =>
        argChoices ? [`complete -c logout-relay -n ${quoted(here)} -a ${quoted(argChoices.join(' '))}`] : [],
      ),
      ...(below.length > 0 && path.length > 0 ? [] : optionsOf(command)).map(
        ({ long, short, description, required, argChoices }) =>
          [
            `complete -c logout-relay -n ${quoted(here)}`,
            ...(long === undefined ? [] : [`-l ${long.slice(2)}`]),
            ...(short === undefined ? [] : [`-s ${short.slice(1)}`]),
            ...(required ? [argChoices ? `-x -a ${quoted(argChoices.join(' '))}` : '-r'] : []),
            `-d ${quoted(description)}`,
          ].join(' '),
      ),
    ]
  })
  return [
    '# Completion of logout-relay, made by: logout-relay completion fish',
    'complete -c logout-relay -f',
    ...lines,
  ].join('\n')
}
