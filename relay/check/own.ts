import { createPrivateKey, X509Certificate } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, resolve } from 'node:path'
import type { Config } from '../config/config.ts'
import { whyNotListening } from '../config/listen.ts'
import { networkCodeOf, RelayError } from '../errors.ts'
import { readStreamKey } from '../watermarks/key.ts'
import { exchange } from '../http.ts'
import { publishCommand } from '../idp/keycloak/publish.ts'
import { keyStatus } from '../signing/acts.ts'
import { type Finding, findingsOn } from '../domain/finding.ts'

const TIMEOUT_MS = 5000
const DAY_MS = 86_400_000
/** Time enough to have a certificate renewed by hand. */
const RENEW_DAYS = 14

/** The certificate with which the relay serves TLS: whether it is there, of this key, and good for some days yet. */
export function checkCertificate(
  { cert_file, key_file }: { cert_file: string; key_file: string },
  nowMs: number,
): Finding {
  const { ok, todo } = findingsOn(cert_file)
  const check = 'certificate'
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(readFileSync(cert_file))
    if (!certificate.checkPrivateKey(createPrivateKey(readFileSync(key_file)))) {
      return todo(check, `is not of the key in ${key_file}: put the pair in place that belongs together (listen.tls)`)
    }
  } catch (cause) {
    const why = cause instanceof Error && 'path' in cause ? `${String(cause.path)}: ${networkCodeOf(cause)}` : 'not PEM'
    return todo(check, `or its key cannot be read by this user (${why}): see listen.tls`)
  }
  const days = Math.floor((certificate.validToDate.getTime() - nowMs) / DAY_MS)
  if (nowMs < certificate.validFromDate.getTime()) {
    return todo(check, `counts only from ${certificate.validFromDate.toISOString()} on: is the clock right?`)
  }
  return days < RENEW_DAYS
    ? todo(check, `${days < 0 ? 'has expired' : `expires in ${days} days`}: renew it and start the relay again`)
    : ok(check, `counts for ${days} more days`)
}

/** Whether a relay could listen where it is to; nobody may be listening there. */
export async function checkListen({ host, port }: Config['listen']): Promise<Finding> {
  const { ok, todo } = findingsOn(`${host}:${port}`)
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, exclusive: true }, resolve)
    })
    return ok('listen', 'is free')
  } catch (cause) {
    return todo('listen', whyNotListening({ host, port }, cause) ?? `cannot be listened at (${networkCodeOf(cause)})`)
  } finally {
    server.close()
  }
}

/** The key that signs the watermark stream. */
export async function checkGuardKey(file: string): Promise<Finding> {
  const { ok, todo } = findingsOn(file)
  try {
    await readStreamKey(file)
    return ok('guard key', 'can be read, and by nobody else')
  } catch (cause) {
    return todo('guard key', wordsOf(cause))
  }
}

/** Where the evidence goes: nothing is sent there, so of an endpoint it is only known that somebody answers. */
export async function checkSecurityFeed(
  feed: NonNullable<Config['security_feed']>,
  access = accessSync,
): Promise<Finding> {
  const check = 'security feed'
  if ('file' in feed) {
    const { ok, todo } = findingsOn(feed.file)
    const file = resolve(feed.file)
    try {
      access(existsSync(file) ? file : dirname(file), constants.W_OK)
      return ok(check, 'can be written')
    } catch (cause) {
      return todo(
        check,
        `cannot be written by this user (${networkCodeOf(cause)}): make its folder, and give it to the user that the relay runs as`,
      )
    }
  }
  const { origin } = new URL(feed.url)
  const { ok, todo } = findingsOn(origin)
  try {
    const { status } = await exchange(feed.url, {
      ca: feed.ca,
      method: 'OPTIONS',
      headers: feed.authorization === undefined ? {} : { authorization: feed.authorization },
      timeoutMs: TIMEOUT_MS,
    })
    return status === 404
      ? todo(check, 'answers 404: is the path in security_feed.url right?')
      : ok(check, 'is at its address')
  } catch (cause) {
    return todo(
      check,
      `does not answer (${networkCodeOf(cause)}): is it up, and are security_feed.url and ca_file right?`,
    )
  }
}

/** The keys with which the relay signs logout tokens by itself, against those that the realm publishes. */
export function checkSigning(
  { issuer, signing }: Pick<Config['issuers'][number], 'issuer' | 'signing'>,
  published: Parameters<typeof keyStatus>[1],
  nowMs: number,
): Finding[] {
  return (signing?.keys ?? []).flatMap(({ alg, key_file }) => {
    const { ok, todo } = findingsOn(key_file)
    const check = 'signing key'
    try {
      return keyStatus({ alg, file: key_file }, published, (signing?.published_for_s ?? 0) * 1000, nowMs).map((key) => {
        const publish = publishCommand(issuer, alg, key.which === 'next' ? ' --next' : '')
        if (key.published === undefined) {
          return todo(check, `the ${key.which} one for ${alg}: it is not known whether the realm publishes it`)
        }
        if (!key.published) {
          return todo(
            check,
            `the ${key.which} one for ${alg} is not published by the realm, which signs in its place: ${publish}`,
          )
        }
        return ok(check, `the ${key.which} one for ${alg} is published${key.used ? ' and signs' : ''}`)
      })
    } catch (cause) {
      return [todo(check, wordsOf(cause))]
    }
  })
}

/** Ours name the file and what to do, and hold nothing of what is in it. */
function wordsOf(cause: unknown): string {
  return cause instanceof RelayError ? cause.message : networkCodeOf(cause)
}
