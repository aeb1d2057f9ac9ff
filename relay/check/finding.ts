/** One line of the check: what is well, or what to do. `about` is an issuer, a client id or a file. */
export interface Finding {
  readonly check: string
  readonly about: string
  readonly ok: boolean
  readonly says: string
}

/** Makes the findings about one thing. */
export function findingsOn(about: string) {
  const finding = (ok: boolean) => (check: string, says: string) => ({ check, about, ok, says })
  return { ok: finding(true), todo: finding(false) }
}

/** The network's own word for a failure: no address, no token, no text of the other side. */
export function codeOf(cause: unknown): string {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  return inner instanceof Error && 'code' in inner && typeof inner.code === 'string' ? inner.code : 'no answer in time'
}
