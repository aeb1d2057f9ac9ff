import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** Whether there is somebody who can be asked. */
export const isSomebodyThere = () => process.stdin.isTTY && process.stderr.isTTY

/** What somebody types; of a secret nothing is shown. Standard output is left to what a command finds. */
export async function ask(question: string, secret = false): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const keyboard = createInterface({ input: process.stdin, output: secret ? nowhere : process.stderr, terminal: true })
  // Without a listener Ctrl-C would end the question and not the process.
  keyboard.once('SIGINT', () => process.exit(130))
  try {
    const answer = keyboard.question('')
    // Only now is the terminal's own echo off.
    process.stderr.write(question)
    return (await answer).trim()
  } finally {
    keyboard.close()
    if (secret) {
      process.stderr.write('\n')
    }
  }
}
