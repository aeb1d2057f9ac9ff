import { isLoopback } from '../../../domain/uri.ts'
import { duration, many } from '../../../text.ts'
import { ofNobody } from './aliases.ts'
import type { FindingId } from './catalogue.ts'
import { atLeast, type Finding, LEVELS, levelOf } from './danger.ts'
import { ofElsewhere } from './directories.ts'
import { knownHoles } from './known-holes.ts'
import type { RealmDescription } from './realm.ts'
import { ofWorkloads } from './of-workloads.ts'
import * as judge from './survive.ts'

const MINUTE = 60
/** Keycloak's default; nobody is alarmed by that. */
const USUAL_ACCESS_TOKEN = 5 * MINUTE

/** What people do when an account is stolen, by the names of docs/policy.md. */
const OF_A_STOLEN_ACCOUNT = ['admin-reset-password', 'admin-set-password', 'user-update-password', 'account-disabled']

/** Off by default, or a word that is refused aloud: who has these off lets nothing live unsaid. */
const OFF_OF_ITSELF = [
  'username-changed',
  'user-logout',
  'brute-force-lockout',
  'operator',
  'client-contained',
  'upstream-claims-changed',
  'upstream-identifier-changed',
]

/** All findings, in order of danger; of one level, the longest-lived first. */
export function findings(realm: RealmDescription): Finding[] {
  const survivals = judge.survivals(realm)
  const found = [
    ...ofServer(realm),
    ...ofRealm(realm, survivals),
    ...survivals.flatMap((one) => ofClient(realm, one)),
    ...ofWorkloads(realm, USUAL_ACCESS_TOKEN),
  ]
  return found.sort(
    (a, b) =>
      LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level) ||
      difference(b.worst ?? 0, a.worst ?? 0) ||
      a.id.localeCompare(b.id) ||
      a.name.localeCompare(b.name),
  )
}

/** Infinity less Infinity is no number. */
function difference(a: number, b: number): number {
  return a === b ? 0 : a - b
}

/** What is wrong with Keycloak itself, however the realm is set up. */
function ofServer({ realm, keycloak }: RealmDescription): Finding[] {
  const place = { kind: 'realm', name: realm, worst: undefined } as const
  const verdict = knownHoles(keycloak)
  if (!verdict) {
    const detail =
      keycloak === undefined
        ? 'This account is not told the version: an administrator of the realm master is, and whoever has manage-realm.'
        : `Keycloak ${keycloak} is no release.`
    return [{ ...place, id: 'version-unknown', level: 'low', detail }]
  }
  return verdict.open.map(({ id, level, lives, goneIn, issue }) => ({
    ...{ ...place, id: 'keycloak-hole' as const, level },
    detail: `${id}: ${lives}. Mended in ${goneIn}, and all of them in ${verdict.upgradeTo ?? goneIn} (https://github.com/keycloak/keycloak/issues/${issue}).`,
  }))
}

/** The further triggers that policy has off, in the order of their names. */
function doorsOff({ policy, federations }: RealmDescription): string[] {
  const known = [...OF_A_STOLEN_ACCOUNT, ...OFF_OF_ITSELF]
  const hasDirectory = federations.some(({ provider }) => provider === 'ldap')
  return (
    Object.entries(policy)
      .flatMap(([name, value]) =>
        value.trim() === 'off' ? (/^logout-relay\.policy\.(.+)$/.exec(name)?.[1] ?? []) : [],
      )
      // Of one identity provider alone it has that one's alias behind it.
      .filter(
        (trigger) =>
          !known.includes(trigger.replace(/\..*/, '')) && (hasDirectory || !trigger.startsWith('directory-')),
      )
      .sort()
  )
}

function ofRealm(realm: RealmDescription, survivals: readonly judge.Survival[]): Finding[] {
  const { lifespans, extension } = realm
  const contained = judge.isContained(realm)
  const listens = realm.eventsListeners.includes('logout-relay')
  const sso = judge.ssoSession(realm)
  const offline = survivals.map(({ client }) => judge.tokensOf(realm, client).offlineToken ?? 0)
  const nothingEnded = Math.max(sso, ...offline)
  const found: Finding[] = []
  const add = (id: FindingId, worst: number | undefined, detail: string, level = levelOf(worst ?? 0)) =>
    found.push({ id, level, kind: 'realm', name: realm.realm, worst, detail })

  if (extension?.installed === false) {
    const looksOn = 'The realm lists the listener logout-relay, but the server has none: it looks protected and is not.'
    add(
      'extension-missing',
      nothingEnded,
      listens ? looksOn : 'All sessions, refresh tokens and offline tokens live on, and no application is told.',
      atLeast(levelOf(nothingEnded), 'high'),
    )
  }
  if (!listens) {
    const detail = `Its event listeners are: ${realm.eventsListeners.join(', ') || 'none'}.`
    add('listener-off', nothingEnded, detail, atLeast(levelOf(nothingEnded), 'high'))
  }
  if (listens && extension?.installed === true && judge.isShadow(realm)) {
    const detail = 'The realm attribute logout-relay.mode is shadow: everything is reported, and nothing is ended.'
    add('shadow-mode', nothingEnded, detail, atLeast(levelOf(nothingEnded), 'high'))
  }
  const off = OF_A_STOLEN_ACCOUNT.filter((trigger) => realm.policy[`logout-relay.policy.${trigger}`]?.trim() === 'off')
  if (contained && off.length > 0) {
    add('trigger-off', nothingEnded, `Nothing is ended on: ${off.join(', ')}.`)
  }
  const doors = contained ? doorsOff(realm) : []
  if (doors.length > 0) {
    add('door-off', nothingEnded, `Nothing is ended on: ${doors.join(', ')}.`)
  }
  const misspelt = contained ? ofNobody(realm) : []
  if (misspelt.length > 0) {
    const named = misspelt.map(({ attribute, alias }) => `${attribute} (${alias})`).sort()
    add('policy-of-nobody', undefined, `In force for nobody: ${named.join(', ')}.`, 'medium')
  }
  for (const { what, why } of realm.unread) {
    add('unread', undefined, `${what}: ${why}`, 'high')
  }
  if (contained && extension?.info['triggers']?.split(',').includes('user-update-password') !== true) {
    const triggers = extension?.info['triggers'] ?? 'admin-reset-password'
    add(
      'own-change',
      nothingEnded,
      `The extension answers: ${triggers}. A change by the user, and the forgot-password link, end nothing.`,
    )
  }
  if (!contained || extension?.info['logins-under-way'] !== 'ended') {
    const devices = survivals.some(
      ({ client }) => client.attributes['oauth2.device.authorization.grant.enabled'] === 'true',
    )
    const window = Math.max(lifespans.login, devices ? lifespans.deviceCode : 0)
    add(
      'login-under-way',
      window + sso,
      `For ${lasts(window)} after the reset, and then with a fresh session that can live ${lasts(sso)}.`,
    )
  }
  const { mailedLink } = realm
  if (mailedLink?.logsIn || mailedLink?.resetsOtp) {
    const gives = [
      ...(mailedLink.logsIn ? ['a session, past the login flow, in the browser that asked for it'] : []),
      ...(mailedLink.resetsOtp ? ['a new one-time password in place of the old one'] : []),
    ]
    add('mailed-link', undefined, `Whoever reads the mail gets ${gives.join(', and ')}.`, 'medium')
  }
  const looks = contained && extension?.info['triggers']?.split(',').includes('directory-password-changed') === true
  const unheard = { worst: nothingEnded, level: levelOf(nothingEnded) }
  found.push(...ofElsewhere(realm, { contained, looks, unheard }))
  if (!contained) {
    add('sso-session', lifespans.ssoSession, 'Whoever has the session’s cookie is logged in at every application.')
    if (lifespans.ssoSessionRememberMe !== undefined) {
      add('remember-me', sso, 'For those who ticked the box at login; a thief does.')
    }
    if (lifespans.offlineSession === undefined && offline.some((seconds) => seconds > 0)) {
      const idle = `Whoever uses an offline token once in ${lasts(lifespans.offlineIdle)} keeps it for ever.`
      add('offline-unlimited', Infinity, idle)
    }
  }
  if (lifespans.accessToken > USUAL_ACCESS_TOKEN || lifespans.accessToken < 0) {
    const worst = lifespans.accessToken < 0 ? sso : lifespans.accessToken
    add('access-token-lifespan', worst, 'Of all clients that have no lifespan of their own.')
  }
  if (contained && extension?.info['push'] === 'off') {
    add('push-off', 5, 'That is every 5 seconds while the relay is up.')
  }
  return found
}

function ofClient(realm: RealmDescription, survival: judge.Survival): Finding[] {
  const { client, application } = survival
  const { attributes } = client
  const contained = judge.isContained(realm)
  const tokens = judge.tokensOf(realm, client)
  const said = judge.maxLife(client)
  const life = said ?? judge.MAX_LIFE_DEFAULT
  const untold =
    said === undefined
      ? `Nobody has said how long its sessions live; ${lasts(life)} is assumed.`
      : `Its sessions live ${lasts(life)}, as its client says.`
  const found: Finding[] = []
  const add = (id: FindingId, worst: number | undefined, detail: string, level = levelOf(worst ?? 0)) =>
    found.push({ id, level, kind: 'client', name: client.clientId, worst, detail })

  if (judge.isSaml(client)) {
    add('saml-client', life, untold)
    return found
  }
  const url = judge.logoutUrl(client)
  if (url === undefined && !judge.isOfKeycloak(client)) {
    const id = client.frontchannelLogout ? 'front-channel-only' : 'no-logout-url'
    if (application === undefined) {
      const worst = Math.max(survival.refreshToken ?? 0, survival.accessToken ?? 0)
      add(id, worst, 'A public client: its tokens count; if it also keeps a session, nobody ends that.')
    } else {
      add(id, life, untold)
    }
  }
  if (url !== undefined) {
    if (!judge.isReachable(url)) {
      const words = URL.canParse(url) ? 'The relay sends no token in the clear.' : 'It is no URL.'
      add('logout-url-not-https', life, `${words} ${untold}`)
    } else if (isLoopback(url) && !url.toLowerCase().startsWith('https:')) {
      add('logout-url-not-https', undefined, 'On the relay’s own machine; relay.yaml must allow it.', 'low')
    }
    if (judge.isHmac(judge.signedBy(realm, client))) {
      add('hmac-id-tokens', life, untold)
    }
    if (attributes['backchannel.logout.session.required'] !== 'true') {
      const detail = contained
        ? 'The relay’s have one; Keycloak’s own, at a user’s logout, do not.'
        : 'Some applications answer 200 to such a token and end nothing.'
      add('session-not-required', undefined, detail, contained ? 'low' : 'medium')
    }
  }
  const sso = judge.ssoSession(realm)
  if (said !== undefined && said > sso && (application ?? 0) > 0) {
    const forgotten = 'When Keycloak has forgotten the session, not even an administrator’s logout reaches it.'
    add('session-outlives-keycloak', said, `${lasts(said)} against ${lasts(sso)}. ${forgotten}`)
  }
  if (!contained && tokens.offlineToken !== undefined) {
    const who = realm.offlineRole === 'everybody' ? 'Every user' : 'Users with the role offline_access'
    const alive = client.alive?.offline ? ` Alive now: ${many(client.alive.offline, 'offline session')}.` : ''
    const how = client.publicClient && client.directGrants ? ', with the password alone' : ''
    add('offline-access', tokens.offlineToken, `${who} can get one here${how}.${alive}`)
  }
  const own = Number(attributes['access.token.lifespan'] ?? '')
  if ((own > USUAL_ACCESS_TOKEN || own < 0) && tokens.accessToken !== undefined) {
    add('access-token-lifespan', tokens.accessToken, 'The client has a lifespan of its own.')
  }
  if (client.implicitFlow) {
    const worst = Math.min(realm.lifespans.accessTokenImplicit, sso)
    add(
      'implicit-flow',
      worst,
      'They stay in histories and logs, and cannot be taken back.',
      atLeast(levelOf(worst), 'medium'),
    )
  }
  if (client.directGrants) {
    add('direct-grants', undefined, 'It may keep it, and no login page or second factor need stand in between.', 'low')
  }
  if (client.consentRequired) {
    add('consent', undefined, 'What a thief has consented to stays consented.', 'low')
  }
  return found
}

/** Lifespans are seconds here, as Keycloak has them. */
export function lasts(seconds: number): string {
  return duration(seconds * 1000)
}
