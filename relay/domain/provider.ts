import { many } from '../text.ts'

/** The kind of delivery by which an identity provider is told; a folder in relay/delivery. */
export const REVOCATION = 'global-token-revocation'

/** In place of a client id: whatever shows who is told says what it is. The extension has the same words. */
const OF_PROVIDER = 'identity provider '

/** What an identity provider that is told is called where a relying party has its client id. */
export function providerName(issuer: string): string {
  return OF_PROVIDER + issuer
}

/** Whether it is an identity provider's, and no client's: a client that calls itself so is not told. */
export function isProvider(clientId: string): boolean {
  return clientId.startsWith(OF_PROVIDER)
}

/** How many relying parties and identity providers these are, in words. */
export function partiesIn(clientIds: readonly string[]): string {
  const providers = clientIds.filter(isProvider).length
  const others = clientIds.length - providers
  return [
    ...(others > 0 || providers === 0 ? [many(others, 'relying party', 'relying parties')] : []),
    ...(providers > 0 ? [many(providers, 'identity provider')] : []),
  ].join(' and ')
}
