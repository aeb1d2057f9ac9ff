import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { codeOf, RelayError } from '../errors.ts'

/** @param what the setting that names it @throws RelayError `config_invalid`, with what to do */
export function readText(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new RelayError('config_invalid', `${what}: ${resolve(path)} cannot be read: ${whyUnread(path, cause)}`)
  }
}

function whyUnread(path: string, cause: unknown): string {
  const code = codeOf(cause) ?? 'unknown'
  switch (code) {
    case 'ENOENT':
      return existsSync(dirname(resolve(path)))
        ? 'there is no such file in that folder (ENOENT). Put it there, or name where it is'
        : 'there is no such folder (ENOENT). A path that does not begin with / is taken from the folder in which this is started'
    case 'EACCES':
      return 'the user that this runs as may not read it, or a folder above it (EACCES). Give it to that user'
    case 'EISDIR':
      return 'it is a folder (EISDIR). Name the file in it'
    default:
      return `(${code})`
  }
}

/** The certificates in a file, and nothing else that is in it. @throws RelayError `config_invalid` */
export function certificates(path: string, what: string): string {
  const found = readText(path, what).match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g)
  try {
    return (found ?? ['']).map((pem) => new X509Certificate(pem).toString()).join('')
  } catch {
    throw new RelayError(
      'config_invalid',
      `${what}: ${path} does not hold certificates in PEM form: -----BEGIN CERTIFICATE----- and what follows. From another form: openssl x509 -inform der -in ca.der -out ca.pem`,
    )
  }
}
