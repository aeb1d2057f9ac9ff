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
