import { z } from 'zod'
import { isLoopback } from '../domain/uri.ts'
import { SIGNING_ALGORITHMS } from '../signing/key.ts'

export const Url = z.url({ protocol: /^https?$/, error: 'is not an http(s) URL' })
export const Text = z.string().min(1, 'is empty')

export const Networks = z.array(z.union([z.cidrv4(), z.cidrv6()], { error: 'is not a network in CIDR form' }))

/** The client of programs, as docs/own-keycloak.md makes it. The console calls no API and needs no entry. */
export const DEFAULT_CLIENTS = ['logout-relay-operator']

const Signing = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        alg: z
          .enum(SIGNING_ALGORITHMS)
          .describe('the relay signs logout tokens with this algorithm by itself: [signing.md](signing.md)'),
        key_file: Text.describe(
          'PEM, not readable by others. **Whoever steals it can forge the tokens of the realm**; `logout-relay keys create` makes it',
        ),
      }),
    )
    .min(1, 'is empty: name a key, or leave signing out')
    .refine((keys) => new Set(keys.map(({ alg }) => alg)).size === keys.length, 'names an algorithm twice')
    .refine((keys) => new Set(keys.map(({ key_file }) => key_file)).size === keys.length, 'names a file twice'),
  published_for_s: z
    .number()
    .min(1)
    .max(86_400)
    .default(300)
    .describe('how long the realm must have published a key before the relay signs with it'),
})

/** A realm, as relay.yaml names it. */
export const Issuer = z
  .strictObject({
    issuer: Url.refine((url) => !url.endsWith('/'), 'ends with a slash, which Keycloak’s issuers do not').describe(
      'exactly as `iss` in the realm’s tokens',
    ),
    client_id: Text.default('logout-relay').describe('the relay’s client in this realm'),
    client_secret: Text.optional().describe('its secret, best as `${NAME}`'),
    client_secret_file: Text.optional().describe('or a file that holds it; one of the two is required'),
    ca_file: Text.optional().describe('PEM; CAs that are trusted for this realm in addition to those that Node trusts'),
    poll_interval_s: z
      .number()
      .min(0.1)
      .max(3600)
      .default(5)
      .describe('how often the outbox is asked for what a push missed'),
    allow_http: z.boolean().default(false).describe('for an issuer on http that is not on this machine'),
    clients: z
      .array(Text.refine((id) => id !== '*', 'is no client id, and there is no word for all of them: name each'))
      .default(DEFAULT_CLIENTS)
      .describe(
        'the clients whose tokens may act at the relay, people’s and programs’ alike; a guard needs no entry. The realm has a list of its own: [security.md](security.md#which-applications-may-act)',
      ),
    signing: Signing.optional(),
    former_issuers: z
      .array(Url)
      .default([])
      .describe(
        'names that the realm had before its host name changed: what is owed from then is still delivered, under the old name and with the keys of today',
      ),
  })
  .refine((issuer) => issuer.issuer.startsWith('https:') || isLoopback(issuer.issuer) || issuer.allow_http, {
    path: ['issuer'],
    error: 'is plain http to another machine; use https, or say allow_http: true if something else encrypts the way',
  })
  .refine((issuer) => (issuer.client_secret === undefined) !== (issuer.client_secret_file === undefined), {
    path: ['client_secret'],
    error: 'or client_secret_file must be given, and not both; there is no default',
  })
