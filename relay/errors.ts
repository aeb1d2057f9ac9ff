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
  | 'feed_refused'

/** Wrong data or a failed part. The message is for people and never holds a token, a secret or what a caller sent. */
export class RelayError extends Error {
  readonly code: RelayErrorCode

  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RelayError'
    this.code = code
  }
}
