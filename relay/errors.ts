/** Every way the relay can refuse or fail, for callers to switch on. The first seven are those of RFC 8935 §2.4. */
export type RelayErrorCode =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'access_denied'
  | 'too_large'
  | 'not_found'
  | 'config_invalid'
  | 'store_unavailable'
  | 'store_in_use'
  | 'idp_unavailable'
  | 'key_unknown'
  | 'security_feed_refused'
  | 'place_unavailable'

/** Wrong data or a failed part. The message is for people and never holds a token, a secret or what a caller sent. */
export class RelayError extends Error {
  readonly code: RelayErrorCode

  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RelayError'
    this.code = code
  }
}

/** The system's own word for a failure, such as ECONNREFUSED: no address, no token, nothing that the other side has said. */
export function codeOf(cause: unknown): string | undefined {
  const inner = cause instanceof Error ? cause.cause : undefined
  for (const error of [inner, cause]) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
      return error.code
    }
  }
  return undefined
}

/** The same of an exchange over the network, in which a deadline has no code. */
export function networkCodeOf(cause: unknown): string {
  return codeOf(cause) ?? 'no answer in time'
}

const UNTRUSTED = [
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]

/** What to say of a server whose CA is not trusted here, after its name; undefined of any other failure. @param setting where a CA is named */
export function whyUntrusted(code: string | undefined, setting: string): string | undefined {
  return UNTRUSTED.includes(code ?? '')
    ? `has a certificate of a CA that is not trusted here (${code}): name a file with that CA’s certificate (PEM) in ${setting}`
    : undefined
}

/** Where whoever runs a command names a CA. */
const OF_COMMANDS = '--ca-file or LOGOUT_RELAY_CA_FILE'

/** A server as it is said that it gave no answer. */
interface Unanswered {
  readonly code: RelayErrorCode
  /** As a sentence about it begins. */
  readonly server: string
  /** Where it is not there, in front of the network's word for why, and behind that what to look at. */
  readonly absent: string
  readonly hint?: string
  /** Where its CA would be named, if not at a command. */
  readonly setting?: string
}

/** Nobody answers, or its CA is not trusted: one sentence for each, whoever was asked. */
export function noAnswer(
  cause: unknown,
  { code, server, absent, hint = '', setting = OF_COMMANDS }: Unanswered,
): RelayError {
  const word = networkCodeOf(cause)
  const why = whyUntrusted(word, setting)
  return new RelayError(code, why === undefined ? `${absent} (${word})${hint}` : `${server} ${why}`, { cause })
}
