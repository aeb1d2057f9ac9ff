import { z } from 'zod'
import { isLoopback } from '../domain/uri.ts'
import { Networks, Text, Url } from './issuer.ts'

const Encrypted = (...path: string[]) => ({
  path,
  error: 'is plain http to another machine; use https, or say allow_http: true if something else encrypts the way',
})

const Stream = z
  .strictObject({
    delivery: z.enum(['push', 'poll']).describe('how its Security Event Tokens come (RFC 8935, RFC 8936)'),
    audience: Text.optional().describe('`aud` of its tokens, where that is another than the upstream’s `audience`'),
    client_id: Text.optional().describe(
      'the relay’s client at it, for what is asked of it: `poll`, verification, `logout-relay streams`',
    ),
    client_secret: Text.optional().describe('its secret, best as `${NAME}`'),
    client_secret_file: Text.optional().describe('or a file that holds it'),
    token_url: Url.optional().describe('where its access tokens are; without it, where the OpenID metadata say'),
    scope: Text.default('ssf.read ssf.manage').describe('of those tokens'),
    push_url: Url.optional().describe(
      'where it reaches this relay, for `logout-relay streams add`: ends in `/upstreams/<name>/events`',
    ),
    push_authorization_file: Text.optional().describe(
      'a file with the value of `Authorization` that must come with each push, beside the signature',
    ),
    poll_interval_s: z.number().min(0.1).max(3600).default(5).describe('how often it is polled'),
    verify_s: z
      .number()
      .min(0)
      .max(86_400)
      .default(600)
      .describe('how often it has to show that it still sends; 0 for never, and never without a client'),
  })
  .refine(({ delivery, client_id }) => delivery === 'push' || client_id !== undefined, {
    path: ['client_id'],
    error: 'is missing: a stream is polled with an access token',
  })
  .refine(
    ({ client_id, client_secret, client_secret_file }) =>
      client_id === undefined || (client_secret === undefined) !== (client_secret_file === undefined),
    { path: ['client_secret'], error: 'or client_secret_file must be given, and not both; there is no default' },
  )

/** An identity provider that users of a realm are linked to, and that tells what happens to them. */
export const Upstream = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'is not 1 to 32 small letters, digits and hyphens')
      .describe('in metrics, the log and URLs: [upstream.md](upstream.md)'),
    issuer: Url.describe('exactly as `iss` in what it signs for the relay'),
    realm: Url.describe('one of `issuers`: the realm whose users are linked to it'),
    link_issuer: Url.optional().describe(
      'the issuer (of SAML: the entity’s id) that the realm has for it, where that is another than `issuer`',
    ),
    audience: Text.describe('`aud` of what it signs for the relay; of Okta’s Universal Logout the URL of the endpoint'),
    jwks_uri: Url.optional().describe('its keys; without it, where its OpenID metadata says'),
    global_token_revocation: z
      .boolean()
      .default(false)
      .describe('it may ask at `/global-token-revocation` for everything of a user to be ended'),
    stream: Stream.optional(),
    allow_http: z.boolean().default(false).describe('for URLs on http that are not on this machine'),
    allow_addresses: Networks.default([]).describe('networks where it may be although they are not public'),
  })
  .refine(({ issuer, allow_http }) => isEncrypted(issuer, allow_http), Encrypted('issuer'))
  .refine(({ stream, allow_http }) => isEncrypted(stream?.token_url, allow_http), Encrypted('stream', 'token_url'))
  .refine(({ jwks_uri, allow_http }) => isEncrypted(jwks_uri, allow_http), Encrypted('jwks_uri'))

type Given = z.infer<typeof Upstream>

/** With every secret read. */
export type UpstreamConfig = Omit<Given, 'stream'> & {
  readonly stream?: Omit<z.infer<typeof Stream>, 'client_secret_file' | 'push_authorization_file'> & {
    readonly push_authorization?: string
  }
}

/** @param read a file's text, by its path and the field that names it */
export function upstreamOf(
  { stream, ...upstream }: Given,
  read: (path: string, what: string) => string,
): UpstreamConfig {
  if (!stream) {
    return upstream
  }
  const { client_secret_file, push_authorization_file, ...rest } = stream
  const secretIn = (file: string | undefined, field: string) =>
    file === undefined ? undefined : read(file, `upstreams.stream.${field}`).trim()
  const secret = rest.client_secret ?? secretIn(client_secret_file, 'client_secret_file')
  const authorization = secretIn(push_authorization_file, 'push_authorization_file')
  return {
    ...upstream,
    stream: {
      ...rest,
      ...(secret === undefined ? {} : { client_secret: secret }),
      ...(authorization === undefined ? {} : { push_authorization: authorization }),
    },
  }
}

function isEncrypted(url: string | undefined, allowHttp: boolean): boolean {
  return url === undefined || url.startsWith('https:') || isLoopback(url) || allowHttp
}

/** What is wrong with all of them together. */
export function upstreamComplaints(
  upstreams: readonly Pick<Given, 'name' | 'realm'>[],
  realms: readonly string[],
): string[] {
  const names = upstreams.map(({ name }) => name)
  return upstreams.flatMap(({ name, realm }, n) => [
    ...(names.indexOf(name) < n ? [`upstreams[${n}].name is there twice; give each its own`] : []),
    ...(realms.includes(realm) ? [] : [`upstreams[${n}].realm is not one of issuers; write it as it is there`]),
  ])
}
