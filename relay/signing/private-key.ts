import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { codeOf, RelayError } from '../errors.ts'

/**
 * A private key in PEM that nobody but this process' user can read: mode 0600 or less, or 0640 where root owns the file,
 * which is how secrets are mounted into containers.
 *
 * @param field of the config that named the file @param make the command that makes such a file
 * @throws RelayError `config_invalid`, which names the file and never shows what is in it
 */
export function readPrivateKey(path: string, field: string, make: string): KeyObject {
  const refuse = (why: string, todo: string) => new RelayError('config_invalid', `${path}: ${field} ${why}. ${todo}`)
  let pem: Buffer
  try {
    const { mode, uid } = statSync(path)
    const others = mode & (uid === 0 && process.getuid?.() !== 0 ? 0o037 : 0o077)
    if (others !== 0 && process.platform !== 'win32') {
      const octal = (mode & 0o777).toString(8).padStart(4, '0')
      throw refuse(`is open to others (mode ${octal})`, `Close it: chmod 600 ${path}`)
    }
    pem = readFileSync(path)
  } catch (cause) {
    if (cause instanceof RelayError) {
      throw cause
    }
    throw refuse(`cannot be read (${codeOf(cause) ?? 'unknown'})`, `Make one: ${make}`)
  }
  try {
    return createPrivateKey(pem)
  } catch {
    throw refuse('is not a private key in PEM without a passphrase', `Make one: ${make}`)
  }
}
