import { z } from 'zod'
import { isLoopback } from '../domain/uri.ts'
import { RelayError } from '../errors.ts'
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

/** As the extension takes an audience: one that it refuses would hold up every token of the realm. */
const AudienceUrl = Url.regex(
  /^https?:\/\/\S{1,2000}$/,
  'must begin with https:// in small letters and have no blank and at most 2000 characters',
)

const Tell = z.strictObject({
  url: AudienceUrl.describe(
    'where it takes requests of Global Token Revocation; told are those that the realm’s policy names: [upstream.md](upstream.md#telling-an-identity-provider)',
  ),
  audience: AudienceUrl.optional().describe(
    '`aud` of the JWT by which the realm proves such a request; without it `url`',
  ),
  authorization_file: Text.optional().describe(
    'a file with the value of `Authorization` that it wants in place of the JWT',
  ),
  subject: z
    .enum(['iss_sub', 'opaque'])
    .default('iss_sub')
    .describe('how a user is named: by its issuer and the `sub` there, or by that `sub` alone (Okta)'),
})

/** An identity provider that users of a realm are linked to, and that tells what happens to them or is told; or a realm behind. */
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
    audience: Text.optional().describe(
      '`aud` of what it signs for the relay, required where it may say something; of Okta’s Universal Logout the URL of the endpoint',
    ),
    jwks_uri: Url.optional().describe('its keys; without it, where its OpenID metadata says'),
    global_token_revocation: z
      .boolean()
      .default(false)
      .describe('it may ask at `/global-token-revocation` for everything of a user to be ended'),
    behind_client: Text.optional().describe(
      'it is no identity provider but a realm behind this one, which takes its logins by this client: what it asks to be ended is of the realm’s own users who have been there',
    ),
    stream: Stream.optional(),
    tell: Tell.optional(),
    allow_http: z.boolean().default(false).describe('for URLs on http that are not on this machine'),
    allow_addresses: Networks.default([]).describe('networks where it may be although they are not public'),
  })
  .refine(({ issuer, allow_http }) => isEncrypted(issuer, allow_http), Encrypted('issuer'))
  .refine(({ stream, allow_http }) => isEncrypted(stream?.token_url, allow_http), Encrypted('stream', 'token_url'))
  .refine(({ jwks_uri, allow_http }) => isEncrypted(jwks_uri, allow_http), Encrypted('jwks_uri'))
  .refine(({ tell, allow_http }) => isEncrypted(tell?.url, allow_http), Encrypted('tell', 'url'))
  .refine(
    ({ audience, global_token_revocation, stream }) => audience !== undefined || !(global_token_revocation || stream),
    {
      path: ['audience'],
      error: 'is missing: without it nothing that it signs is taken',
    },
  )
  .refine(({ behind_client, stream, tell }) => behind_client === undefined || !(stream ?? tell), {
    path: ['behind_client'],
    error: 'goes with global_token_revocation alone: a realm behind has no stream here, and is told by its logout URL',
  })

type Given = z.infer<typeof Upstream>

/** With every secret read. */
export type UpstreamConfig = Omit<Given, 'stream' | 'tell'> & {
  readonly tell?: Omit<z.infer<typeof Tell>, 'authorization_file'> & { readonly authorization?: string }
  readonly stream?: Omit<z.infer<typeof Stream>, 'client_secret_file' | 'push_authorization_file'> & {
    readonly push_authorization?: string
  }
}

/** @param read a file's text, by its path and the field that names it */
export function upstreamOf(
  { stream, tell, ...rest }: Given,
  read: (path: string, what: string) => string,
): UpstreamConfig {
  const upstream = { ...rest, ...(tell ? { tell: toldOf(tell, read) } : {}) }
  return stream ? { ...upstream, stream: streamOf(stream, read) } : upstream
}

function toldOf(
  { authorization_file: file, ...tell }: z.infer<typeof Tell>,
  read: (path: string, what: string) => string,
): NonNullable<UpstreamConfig['tell']> {
  if (file === undefined) {
    return tell
  }
  const field = 'upstreams.tell.authorization_file'
  const authorization = read(file, field).trim()
  if (!/^[\x21-\x7e][\x20-\x7e]*$/.test(authorization)) {
    throw new RelayError(
      'config_invalid',
      `${field} must hold one line, the value of the header. Example: Bearer 8f2c…`,
    )
  }
  return { ...tell, authorization }
}

function streamOf(
  stream: z.infer<typeof Stream>,
  read: (path: string, what: string) => string,
): NonNullable<UpstreamConfig['stream']> {
  const { client_secret_file, push_authorization_file, ...rest } = stream
  const secretIn = (file: string | undefined, field: string) =>
    file === undefined ? undefined : read(file, `upstreams.stream.${field}`).trim()
  const secret = rest.client_secret ?? secretIn(client_secret_file, 'client_secret_file')
  const authorization = secretIn(push_authorization_file, 'push_authorization_file')
  return {
    ...rest,
    ...(secret === undefined ? {} : { client_secret: secret }),
    ...(authorization === undefined ? {} : { push_authorization: authorization }),
  }
}

function isEncrypted(url: string | undefined, allowHttp: boolean): boolean {
  return url === undefined || url.startsWith('https:') || isLoopback(url) || allowHttp
}

/** What is wrong with all of them together. */
export function upstreamComplaints(
  upstreams: readonly Pick<Given, 'name' | 'realm' | 'issuer' | 'link_issuer' | 'tell'>[],
  realms: readonly string[],
): string[] {
  const names = upstreams.map(({ name }) => name)
  const told = upstreams.map(({ realm, issuer, link_issuer = issuer, tell }) => (tell ? `${realm} ${link_issuer}` : ''))
  return upstreams.flatMap(({ name, realm }, n) => [
    ...(names.indexOf(name) < n ? [`upstreams[${n}].name is there twice; give each its own`] : []),
    ...(told[n] !== '' && told.indexOf(told[n] ?? '') < n
      ? [`upstreams[${n}].tell is there twice for that identity provider; keep one`]
      : []),
    ...(realms.includes(realm) ? [] : [`upstreams[${n}].realm is not one of issuers; write it as it is there`]),
  ])
}
