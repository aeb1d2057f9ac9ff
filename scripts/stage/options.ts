import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'

/** Reads the options of a command that developers run. A wrong one is told in one line that says what to give: exit status 2. */
export function readOptions<const T extends ParseArgsOptionsConfig>(options: T) {
  try {
    return parseArgs<{ options: T }>({ options }).values
  } catch (cause) {
    const [problem] = (cause instanceof Error ? cause.message : String(cause)).split(/\.\s/)
    const known = Object.keys(options).map((name) => `--${name}`)
    return refuse(`${problem ?? ''}; the options are ${known.join(', ')}`)
  }
}

export function wholeOption(name: string, given: string): number {
  return /^[1-9]\d{0,8}$/.test(given)
    ? Number(given)
    : refuse(`--${name} ${given} is no whole number from 1 up; give one like --${name} 10`)
}

export function refuse(problem: string): never {
  process.stderr.write(`${problem}\n`)
  process.exit(2)
}
