import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ROOT } from '../../scripts/stage/process.ts'

const VERSIONS = ['26.5.0', '26.7.3']
const DOCUMENT = join('docs', 'handed-out.md')
const GATES = new Set([
  'session gate',
  'tab gate',
  'grant gate',
  'link gate',
  'not-before',
  'as its caller',
  "not bound to a user's login",
  'none: named limit',
])

/** Where Keycloak can be extended by something that hands out access, or that a login passes on its way to it. */
const EXTENSION_POINTS = [
  'org.keycloak.authentication.AuthenticatorFactory',
  'org.keycloak.authentication.FormActionFactory',
  'org.keycloak.authentication.FormAuthenticatorFactory',
  'org.keycloak.authentication.RequiredActionFactory',
  'org.keycloak.authentication.actiontoken.ActionTokenHandlerFactory',
  'org.keycloak.models.SingleUseObjectProviderFactory',
  'org.keycloak.models.UserSessionProviderFactory',
  'org.keycloak.protocol.LoginProtocolFactory',
  'org.keycloak.protocol.oid4vc.issuance.credentialoffer.preauth.PreAuthCodeHandlerFactory',
  'org.keycloak.protocol.oidc.TokenExchangeProviderFactory',
  'org.keycloak.protocol.oidc.TokenIntrospectionProviderFactory',
  'org.keycloak.protocol.oidc.ext.OIDCExtProviderFactory',
  'org.keycloak.protocol.oidc.grants.OAuth2GrantTypeFactory',
  'org.keycloak.protocol.oidc.grants.ciba.channel.AuthenticationChannelProviderFactory',
  'org.keycloak.protocol.oidc.grants.ciba.resolvers.CIBALoginUserResolverFactory',
  'org.keycloak.protocol.oidc.refresh.RefreshTokenProviderFactory',
  'org.keycloak.protocol.saml.ArtifactResolverFactory',
  'org.keycloak.services.clientregistration.ClientRegistrationProviderFactory',
  'org.keycloak.services.resource.AccountResourceProviderFactory',
  'org.keycloak.services.resource.RealmResourceProviderFactory',
  'org.keycloak.services.resources.admin.ext.AdminRealmResourceProviderFactory',
  'org.keycloak.sessions.AuthenticationSessionProviderFactory',
  'org.keycloak.storage.DatastoreProviderFactory',
]

/** What makes something that gives access, as OWNER.METHOD. */
const MAKERS = [
  String.raw`(UserSessionProvider|UserSessionManager)\.(createUserSession|createOfflineUserSession|createOrUpdateOfflineSession)`,
  String.raw`UserSessionModel\.restartSession`,
  String.raw`AuthenticationSessionModel\.setAuthenticatedUser`,
  String.raw`AuthenticationManager\.createLoginCookie`,
  String.raw`CookieProvider\.set`,
  String.raw`TokenManager\.(createClientAccessToken|encode|encodeAndEncrypt)`,
  String.raw`JWSBuilder\.jsonContent`,
  String.raw`SAML2LoginResponseBuilder\.buildModel`,
  String.raw`CredentialSigner\.signCredential`,
  String.raw`\w+\.(retrieveToken|exchangeFromToken)`,
  String.raw`\w+ActionToken\.serialize`,
  String.raw`EmailTemplateProvider\.send\w*`,
  String.raw`SingleUseObjectProvider\.put`,
  String.raw`KeycloakSession\.getProvider\((UserSession|AuthenticationSession|SingleUseObject|UserSessionPersister)Provider\)`,
]

/** They are the store that the gates stand before. */
const STORES = ['org.keycloak.models.sessions.infinispan.', 'org.keycloak.storage.datastore.DefaultDatastoreProvider']

/** What a distribution has: `EXTENSION POINT ID`, or `CLASS METHOD`. */
async function surfaceOf(version: string): Promise<Set<string>> {
  const lib = join(ROOT, '.cache', `keycloak-${version}`, 'lib', 'lib')
  if (!existsSync(lib)) {
    throw new Error(`Keycloak ${version} is not there; run: sh scripts/setup test`)
  }
  const { stdout } = await promisify(execFile)(
    'java',
    [
      '-cp',
      ['boot', 'main'].map((part) => join(lib, part, '*')).join(delimiter),
      join(ROOT, 'test', 'keycloak-surface', 'Surface.java'),
      join(lib, 'main'),
      EXTENSION_POINTS.join(','),
      MAKERS.join('|'),
    ],
    { maxBuffer: 10_000_000 },
  )
  const lines = stdout.trim().split('\n')
  expect(lines.length).toBeGreaterThan(150)
  return new Set(
    lines
      .map((line) => line.split(' '))
      .filter(([, owner = '']) => !STORES.some((store) => owner.startsWith(store)))
      .map(([kind, owner = '', what = '']) =>
        kind === 'factory' ? `${owner} ${what}` : `${owner.replace(/.*\./, '')} ${what.replace(/^\w+\./, '')}`,
      ),
  )
}

interface Row {
  readonly entries: readonly string[]
  readonly versions: readonly string[]
  readonly gates: readonly string[]
  readonly line: string
}

/** The rows that judge something: those of a table with a column `gate` that says which versions it is about. */
function judged(document: string): Row[] {
  let point = ''
  let columns: string[] = []
  return document.split('\n').flatMap((line) => {
    if (line.startsWith('#')) {
      point = codeIn(line)[0] ?? ''
    }
    const cells = line.split('|').slice(1, -1)
    if (cells.length === 0 || cells.every((cell) => /^ -+ $/.test(cell))) {
      return []
    }
    const words = cells.map((cell) => cell.trim())
    if (words.includes('gate')) {
      columns = words
      return []
    }
    const cell = (name: string) => words[columns.indexOf(name)] ?? ''
    if (cell('versions') === '') {
      return []
    }
    const owners = columns.includes('class') ? codeIn(cell('class')) : [codeIn(cell('extension point'))[0] ?? point]
    const entries = owners.flatMap((owner) =>
      codeIn(cell(columns.includes('class') ? 'methods' : 'id')).map((what) => `${owner} ${what}`),
    )
    const versions = cell('versions') === 'both' ? VERSIONS : [cell('versions')]
    return [{ entries, versions, gates: cell('gate').split(', '), line }]
  })
}
const codeIn = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)

const rows = judged(readFileSync(join(ROOT, DOCUMENT), 'utf8'))

describe.each(VERSIONS)('Keycloak %s', (version) => {
  const known = rows.filter(({ versions }) => versions.includes(version)).flatMap(({ entries }) => entries)

  test('hands out nothing that docs/handed-out.md does not judge, and that page judges nothing that it has not', async () => {
    const surface = await surfaceOf(version)
    const unjudged = [...surface].filter((entry) => !known.includes(entry))
    expect(
      unjudged,
      `Keycloak ${version} has what nobody has judged. Find out when its oldest proof was given and which gate asks for ` +
        `that; then give it a row in ${DOCUMENT}, and a gate if it has none.`,
    ).toEqual([])
    const gone = known.filter((entry) => !surface.has(entry))
    expect(
      gone,
      `Keycloak ${version} has none of these: mend the column "versions" in ${DOCUMENT}, or remove the row.`,
    ).toEqual([])
  })
})

test('every row names a version that is tested and only gates that the page explains, and none is there twice', () => {
  const unknown = rows.filter(
    ({ versions, gates }) =>
      versions.some((version) => !VERSIONS.includes(version)) || gates.some((gate) => !GATES.has(gate)),
  )
  expect(unknown.map(({ line }) => line)).toEqual([])
  const all = rows.flatMap(({ entries, versions }) => entries.flatMap((entry) => versions.map((v) => `${v} ${entry}`)))
  expect(all.filter((entry, i) => all.indexOf(entry) !== i)).toEqual([])
})
