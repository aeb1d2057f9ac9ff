/** Where a workload reads its secret. Only what is wrong with the place is ever in an error, and nothing that it holds. */
export interface Place {
  /** For people. */
  readonly name: string
  /**
   * Puts the secret there, whole or not at all. What is there already is left as it is.
   *
   * @returns whether anything was written
   * @throws RelayError `access_denied`, `not_found`, `place_unavailable`, each with what to do
   */
  put(secret: string): Promise<boolean>
}
