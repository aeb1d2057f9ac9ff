import { REDIRECT_URI, UPSTREAM } from '../attack/clients.ts'
import { linkIn } from '../attack/thief.ts'
import { NEW_PASSWORD } from '../attack/victim.ts'
import { Browser, type Page } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import { oneTimePassword } from '../stage/one-time-password.ts'
import { until } from '../stage/process.ts'
import type { EndsWith } from './kind.ts'
import type { Person } from './person.ts'
import { UNIT } from './world.ts'

const SESSIONS: readonly EndsWith[] = ['own session', 'session']
const ONE_SESSION: readonly EndsWith[] = ['own session']
const ALL_ACCESS: readonly EndsWith[] = [...SESSIONS, 'consents', 'broker-tokens']
const EVERYTHING: readonly EndsWith[] = [...ALL_ACCESS, 'factors', 'recovery-codes']

/** For ten seconds Keycloak takes a session that is made again under its id for a login in two tabs at once. */
const OLD_SESSION_MS = 11_000

/** One way in which a trigger fires. */
export interface Act {
  /** The trigger, as docs/policy.md has it. */
  readonly trigger: string
  /** How it fires, where there is more than one way. */
  readonly how?: string
  /** The policy, where it is not the default. */
  readonly policy?: Readonly<Record<string, string>>
  /** What it must end. */
  readonly ends: readonly EndsWith[]
  /** Logout Relay does not listen while it is played: the control. */
  readonly withoutListener?: true
  /** The person is one of a directory. */
  readonly inDirectory?: true
  /** It fires no sooner than so long after what comes before it. */
  readonly afterMs?: number
  /** What comes before the factors are there, such as a login; then the act itself. Throws if it does not succeed. */
  readonly prepare: (person: Person) => Promise<() => Promise<unknown>>
}

/** An act of an administrator, which needs nothing before it. */
function byAdmin(
  trigger: string,
  ends: readonly EndsWith[],
  act: (person: Person) => Promise<unknown>,
  more: { how?: string; policy?: Record<string, string>; inDirectory?: true } = {},
): Act {
  return { trigger, ends, ...more, prepare: (person) => Promise.resolve(() => act(person)) }
}

/** An act of the person in a browser that is logged in, in the way of the account console; they go on in that tab. */
function byPerson(
  trigger: string,
  ends: readonly EndsWith[],
  action: (person: Person) => Promise<string>,
  fields: (form: string) => Record<string, string>,
  more: { how?: string } = {},
): Act {
  return {
    trigger,
    ends,
    ...more,
    afterMs: OLD_SESSION_MS,
    prepare: async (person) => {
      const browser = await person.loggedIn()
      return async () => {
        const page = await browser.open(person.target.authorization({ kc_action: await action(person) }), REDIRECT_URI)
        await goesOn(person, await browser.submit(page, fields(page.text), REDIRECT_URI))
      }
    },
  }
}

const NEW = { 'password-new': NEW_PASSWORD, 'password-confirm': NEW_PASSWORD }
const policy = (trigger: string, steps: string) => ({ [`logout-relay.policy.${trigger}`]: steps })
const admin = (person: Person) => person.target.admin
const put = (person: Person, change: object) => admin(person).must('PUT', person.path(), change)
const reset = (person: Person) => person.resetNow()
/** The id of the session that the person's own browser has at Keycloak. */
async function ownSession(person: Person): Promise<string> {
  const back = await person.browser.open(person.target.authorization(), REDIRECT_URI)
  return new URL(back.url).searchParams.get('session_state') ?? ''
}

export const ACTS: readonly Act[] = [
  byAdmin('admin-reset-password', ALL_ACCESS, reset),
  byAdmin('admin-reset-password', EVERYTHING, reset, {
    how: 'with every step',
    policy: policy('admin-reset-password', 'sessions, consents, broker-tokens, factors, recovery-codes'),
  }),
  {
    trigger: 'admin-reset-password',
    how: 'of a privileged user',
    ends: EVERYTHING,
    prepare: async (person) => {
      await person.world.setPolicy(policy('privileged-role-added', 'off'))
      await person.giveRole('realm-management', 'manage-users')
      return () => reset(person)
    },
  },
  byAdmin('admin-set-password', ALL_ACCESS, (person) =>
    put(person, { credentials: [{ type: 'password', value: NEW_PASSWORD }] }),
  ),
  byPerson(
    'user-update-password',
    ALL_ACCESS,
    () => Promise.resolve('UPDATE_PASSWORD'),
    () => NEW,
  ),
  byPerson(
    'user-update-password',
    ALL_ACCESS,
    () => Promise.resolve('UPDATE_PASSWORD'),
    () => ({ ...NEW, 'logout-sessions': 'on' }),
    { how: 'signing out other devices' },
  ),
  {
    trigger: 'user-update-password',
    how: 'by the link of a forgotten password',
    ends: ALL_ACCESS,
    prepare: async (person) => {
      const browser = new Browser()
      const login = await browser.open(person.target.authorization(), REDIRECT_URI)
      const ask = await browser.open(linkIn(login, 'reset-credentials') ?? '')
      const link = await person.mailed(() => browser.submit(ask, { username: person.name }))
      return async () => {
        const updated = await browser.submit(await browser.open(link, REDIRECT_URI), NEW, REDIRECT_URI)
        if (!updated.text.includes('Your account has been updated')) {
          throw new Error(`The mailed link did not end with a new password: ${updated.status} at ${updated.url}`)
        }
      }
    },
  },
  byAdmin('account-disabled', ALL_ACCESS, (person) => put(person, { enabled: false })),
  byAdmin('account-deleted', EVERYTHING, (person) => admin(person).must('DELETE', person.path())),
  byAdmin('operator', ALL_ACCESS, async (person) => {
    const { relay, tokens, secret } = person.world
    const authorization = `Bearer ${await tokens.serviceAccount('logout-relay-operator', secret)}`
    const answer = await call('POST', `${relay.url}/api/v1/containments`, {
      json: { subject: person.name, reason: 'the matrix' },
      headers: { authorization },
    })
    if (answer.status !== 200) {
      throw new Error(`The operator's word: ${answer.status} ${answer.text}`)
    }
  }),
  byAdmin('admin-credential-removed', [...SESSIONS, 'recovery-codes'], async (person) => {
    for (const id of await person.credentials('recovery-authn-codes')) {
      await admin(person).must('DELETE', person.path(`/credentials/${id}`))
    }
  }),
  byAdmin(
    'admin-credential-changed',
    SESSIONS,
    (person) =>
      put(person, {
        credentials: [{ type: 'otp', secretData: '{"value":"other"}', credentialData: '{"subType":"totp"}' }],
      }),
    { policy: policy('admin-credential-changed', '') },
  ),
  byPerson(
    'user-credential-removed',
    [...SESSIONS, 'recovery-codes'],
    async (person) => `delete_credential:${(await person.credentials('recovery-authn-codes'))[0] ?? ''}`,
    () => ({ accept: 'Yes' }),
  ),
  byPerson('user-credential-changed', SESSIONS, () => Promise.resolve('CONFIGURE_TOTP'), newOneTimePassword),
  byAdmin('email-changed', SESSIONS, (person) => put(person, { email: `new-${person.email}` })),
  byAdmin('username-changed', SESSIONS, (person) => put(person, { username: `new-${person.name}` }), {
    policy: policy('username-changed', 'sessions'),
  }),
  byAdmin('privileged-role-added', SESSIONS, (person) => person.giveRole('realm-management', 'manage-users')),
  byAdmin('admin-identity-provider-removed', [...SESSIONS, 'broker-tokens'], (person) =>
    admin(person).must('DELETE', person.path('/federated-identity/upstream')),
  ),
  {
    trigger: 'user-identity-provider-removed',
    ends: [...SESSIONS, 'broker-tokens'],
    prepare: async (person) => {
      const { access_token } = await person.world.tokens.directGrant('flows-app', person.name, 'password')
      const headers = { authorization: `Bearer ${access_token}`, accept: 'application/json' }
      const url = `${person.target.issuer}/account/linked-accounts/upstream`
      return async () => {
        const answer = await call('DELETE', url, { headers })
        if (answer.status !== 204) {
          throw new Error(`The link could not be removed: ${answer.status} ${answer.text}`)
        }
      }
    },
  },
  byAdmin(
    'directory-password-changed',
    ALL_ACCESS,
    (person) => {
      person.world.directory.setPassword(UNIT, person.name, NEW_PASSWORD)
      return seenInDirectory(person)
    },
    { inDirectory: true },
  ),
  byAdmin(
    'directory-account-disabled',
    ALL_ACCESS,
    (person) =>
      inDirectory(person, 'changetype: modify\nreplace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z'),
    { inDirectory: true },
  ),
  byAdmin('directory-account-deleted', EVERYTHING, (person) => inDirectory(person, 'changetype: delete'), {
    inDirectory: true,
  }),
  upstreamSays('upstream-password-changed', ALL_ACCESS, 'caep/event-type/credential-change', {
    credential_type: 'password',
  }),
  upstreamSays('upstream-credential-changed', SESSIONS, 'caep/event-type/credential-change', {
    credential_type: 'fido2-roaming',
  }),
  upstreamSays('upstream-account-disabled', ALL_ACCESS, 'risc/event-type/account-disabled'),
  upstreamSays('upstream-sessions-revoked', SESSIONS, 'caep/event-type/session-revoked'),
  upstreamSays('upstream-assurance-decreased', SESSIONS, 'caep/event-type/assurance-level-change', {
    change_direction: 'decrease',
  }),
  upstreamSays('upstream-device-not-compliant', SESSIONS, 'caep/event-type/device-compliance-change', {
    current_status: 'not-compliant',
  }),
  // Off by default, and on here for the one identity provider alone.
  upstreamSays(
    'upstream-claims-changed',
    SESSIONS,
    'caep/event-type/token-claims-change',
    {},
    policy(`upstream-claims-changed.${UPSTREAM}`, 'sessions'),
  ),
  upstreamSays(
    'upstream-identifier-changed',
    SESSIONS,
    'risc/event-type/identifier-changed',
    {},
    policy(`upstream-identifier-changed.${UPSTREAM}`, 'sessions'),
  ),
  {
    // Of a session that began there; none of the person's others is concerned.
    trigger: 'upstream-logout',
    ends: [],
    prepare: async (person) => {
      await person.linkUpstream()
      const { target, world } = person
      const page = await person.logIn(new Browser(), target.authorization({ kc_idp_hint: UPSTREAM }))
      const tokens = await target.redeem(page)
      return async () => {
        if (!tokens || !(await world.tokens.lives('flows-app', tokens))) {
          throw new Error(`The login by the identity provider gave no tokens: ${page.status} at ${page.url}`)
        }
        const { upstream } = target
        await upstream.must('POST', `/users/${await upstream.userId(person.name)}/logout`)
        const events = `select count(*) from logout_relay_outbox where user_id = '${person.id}' and trigger_id = 'upstream-logout'`
        // One for each session that began there.
        await until('it has been heard', () => world.postgres.psql(events) !== '0')
        await until('what began there is dead', async () => !(await world.tokens.lives('flows-app', tokens)))
      }
    },
  },
  {
    // That of the matrix stands for the client by which a realm behind takes its logins.
    trigger: 'downstream-sessions-revoked',
    ends: SESSIONS,
    policy: { 'logout-relay.downstreams.clients': 'flows-app' },
    prepare: (person) =>
      Promise.resolve(() =>
        relaySays(person, 'downstream-sessions-revoked', {
          ...{ issuer: 'https://behind.example.org', client_id: 'flows-app', subjects: [{ sub: person.id }] },
          type: 'global-token-revocation',
        }),
      ),
  },
  byAdmin('admin-logout', SESSIONS, (person) => admin(person).must('POST', person.path('/logout'))),
  byAdmin('realm-logout', SESSIONS, (person) => admin(person).must('POST', '/logout-all'), {
    policy: policy('realm-logout', 'sessions'),
  }),
  byAdmin('session-removed', ONE_SESSION, async (person) =>
    admin(person).must('DELETE', `/sessions/${await ownSession(person)}`),
  ),
  byAdmin(
    'user-logout',
    ONE_SESSION,
    async (person) => {
      const page = await person.browser.open(person.target.endpoint('logout?client_id=flows-app'))
      await person.browser.submit(page, { confirmLogout: 'Logout' })
    },
    { policy: policy('user-logout', 'sessions') },
  ),
  {
    trigger: 'brute-force-lockout',
    policy: policy('brute-force-lockout', 'sessions'),
    ends: SESSIONS,
    prepare: (person) =>
      Promise.resolve(async () => {
        const { tokens } = person.world
        const wrong = { grant_type: 'password', client_id: 'flows-app', username: person.name, password: 'wrong' }
        await admin(person).must('PUT', '', { bruteForceProtected: true, failureFactor: 1 })
        try {
          await tokens.ask(wrong)
          await tokens.ask(wrong)
        } finally {
          await admin(person).must('PUT', '', { bruteForceProtected: false })
        }
      }),
  },
  { ...byAdmin('admin-reset-password', [], reset, { how: 'without Logout Relay' }), withoutListener: true },
]

/** What an identity provider says that the user is linked to. */
function upstreamSays(
  trigger: string,
  ends: readonly EndsWith[],
  event: string,
  members: Readonly<Record<string, string>> = {},
  settings?: Readonly<Record<string, string>>,
): Act {
  return {
    trigger,
    ends,
    ...(settings ? { policy: settings } : {}),
    prepare: async (person) => {
      await person.linkUpstream()
      return async () => {
        const { world, target } = person
        const links = await admin(person).must<{ identityProvider: string; userId: string }[]>(
          'GET',
          person.path('/federated-identity'),
        )
        const link = links.json().find(({ identityProvider }) => identityProvider === UPSTREAM)
        await relaySays(person, trigger, {
          issuer: world.keycloak.issuer(target.upstream.realm),
          subjects: [{ sub: link?.userId }],
          type: `https://schemas.openid.net/secevent/${event}`,
          ...members,
        })
      }
    },
  }
}

/** The relay's word to the extension, as it gives it once it has verified whose it is. */
async function relaySays({ name, world, target }: Person, trigger: string, said: object): Promise<void> {
  const answer = await call<{ contained: number }>('POST', `${target.issuer}/logout-relay/upstream-events`, {
    json: { ...said, id: `${name} ${trigger}`, txn: trigger },
    headers: { authorization: `Bearer ${await world.tokens.serviceAccount('logout-relay', world.secret)}` },
  })
  if (answer.status !== 200 || answer.json().contained !== 1) {
    throw new Error(`The word that the relay has verified contained nobody: ${answer.status} ${answer.text}`)
  }
}

function inDirectory(person: Person, change: string): Promise<void> {
  const { directory } = person.world
  directory.modify(`dn: ${directory.dn(UNIT, person.name)}\n${change}`)
  return seenInDirectory(person)
}

/** Until the extension has looked, nothing has happened here; what can be tried only once is tried after that. */
function seenInDirectory({ world, id }: Person): Promise<void> {
  const events = `select count(*) from logout_relay_outbox where user_id = '${id}' and trigger_id like 'directory-%'`
  return until('the directory has been looked at', () => world.postgres.psql(events) !== '0')
}

async function goesOn({ target }: Person, back: Page): Promise<void> {
  if (!(await target.redeem(back))) {
    throw new Error(`The person cannot go on in the tab of their own change: ${back.status} at ${back.url}`)
  }
}

/** The fields of Keycloak's page on which a one-time password is enrolled. */
function newOneTimePassword(form: string): Record<string, string> {
  const secret = /name="totpSecret"[^>]*value="([^"]+)"/.exec(form)?.[1] ?? ''
  return { totp: oneTimePassword(secret), userLabel: 'of the matrix' }
}
