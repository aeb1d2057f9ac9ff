import { type Page, titleOf } from '../stage/browser.ts'
import { oneTimePassword } from '../stage/one-time-password.ts'
import { newSecurityKey } from '../stage/security-key.ts'
import type { Attack } from './attack.ts'
import { nextSecond } from './target.ts'
import { profileOf, Thief, THIEFS_PASSWORD, THIEFS_PASSWORDS } from './thief.ts'
import { PASSWORD, Victim } from './victim.ts'

/** One of Keycloak's required actions, and what it does to the account. */
interface Action {
  readonly id: string
  readonly title: string
  readonly does: string
  readonly loot: string
  /** Before the login; answers the action as an authorization request names it. */
  readonly prepare: (victim: Victim) => Promise<string>
  readonly act: (thief: Thief, page: Page, victim: Victim) => Promise<unknown>
  readonly isDone: (victim: Victim) => Promise<boolean>
}

const plain = (action: string) => () => Promise.resolve(action)

const ACTIONS: readonly Action[] = [
  {
    id: 'profile',
    title: 'writes no profile',
    does: 'writes the profile',
    loot: 'profile',
    prepare: plain('UPDATE_PROFILE'),
    act: (thief, page, { name }) => thief.submit(page, profileOf(name, { firstName: 'Thief' })),
    isDone: async (victim) => (await victim.stored())?.firstName === 'Thief',
  },
  {
    id: 'password',
    title: 'sets no password',
    does: 'sets a password',
    loot: 'password',
    prepare: plain('UPDATE_PASSWORD'),
    act: (thief, page) => thief.submit(page, THIEFS_PASSWORDS),
    isDone: ({ target, name }) => target.takesPassword(name, THIEFS_PASSWORD),
  },
  {
    id: 'one-time-password',
    title: 'sets no second factor up',
    does: 'sets a one-time password up',
    loot: 'second factor',
    prepare: plain('CONFIGURE_TOTP'),
    act: (thief, page) => {
      const secret = /name="totpSecret"[^>]*value="([^"]+)"/.exec(page.text)?.[1] ?? ''
      return thief.submit(page, { totp: oneTimePassword(secret), userLabel: 'of the thief' })
    },
    isDone: async (victim) => (await victim.credentials('otp')).length > 0,
  },
  {
    id: 'recovery-codes',
    title: 'gets no recovery codes',
    does: 'has recovery codes made',
    loot: 'recovery codes',
    prepare: plain('CONFIGURE_RECOVERY_AUTHN_CODES'),
    act: (thief, page) => thief.submit(page, {}),
    isDone: async (victim) => (await victim.credentials('recovery-authn-codes')).length > 0,
  },
  {
    id: 'delete-credential',
    title: 'deletes no credential',
    does: 'deletes recovery codes',
    loot: 'credential deleted',
    prepare: async (victim) => {
      await victim.target.admin.must('PUT', victim.path(), { credentials: [RECOVERY_CODES] })
      return `delete_credential:${(await victim.credentials(RECOVERY_CODES.type))[0] ?? ''}`
    },
    act: (thief, page) => thief.submit(page, { accept: 'Yes' }),
    isDone: async (victim) => (await victim.credentials(RECOVERY_CODES.type)).length === 0,
  },
  {
    id: 'delete-account',
    title: 'does not delete the account',
    does: 'deletes the account',
    loot: 'account deleted',
    prepare: async (victim) => {
      await victim.giveRole('account', 'delete-account')
      return 'delete_account'
    },
    act: (thief, page) => thief.submit(page, {}),
    isDone: async (victim) => (await victim.stored()) === undefined,
  },
  ...(
    [
      ['security-key', 'webauthn-register', 'webauthn'],
      ['passkey', 'webauthn-register-passwordless', 'webauthn-passwordless'],
    ] as const
  ).map(([id, alias, type]): Action => ({
    id,
    title: `registers no ${id.replace('-', ' ')}`,
    does: `registers a ${id.replace('-', ' ')}`,
    loot: id.replace('-', ' '),
    prepare: plain(alias),
    act: (thief, page) => thief.submit(page, newSecurityKey(page)),
    isDone: async (victim) => (await victim.credentials(type)).length > 0,
  })),
  {
    id: 'identity-provider',
    title: 'links no identity provider',
    does: 'links an account elsewhere that is their own',
    loot: 'link',
    prepare: async ({ target, name }) => {
      await target.upstream.createUser(name, PASSWORD)
      return 'idp_link:upstream'
    },
    act: async (thief, page, { name }) =>
      thief.submit(await thief.submit(page, {}), { username: name, password: PASSWORD }),
    isDone: async (victim) => (await victim.links()).length > 0,
  },
]

const RECOVERY_CODES = {
  type: 'recovery-authn-codes',
  createdDate: 1,
  secretData: '{"codes":[{"number":1,"encodedHashedValue":"x"}]}',
  credentialData: '{"hashIterations":1,"algorithm":"SHA-512","totalCodes":1,"remainingCodes":1}',
}

export const REQUIRED_ACTIONS: readonly Attack[] = ACTIONS.map(
  ({ id, title, does, loot, prepare, act, isDone }): Attack => ({
    id: `action-${id}`,
    family: 'required-actions',
    title: `A login under way ${title}`,
    tries: `has logged in by the old password up to a page at which one ${does}; submits it after the reset, and once more after a reload`,
    loot: [loot],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const thief = new Thief()
      const kc_action = await prepare(victim)
      // What was prepared may be an event by itself.
      await nextSecond()
      const page = await victim.logIn(thief.browser, target.authorization({ kc_action }))
      if (!page.url.includes('/required-action')) {
        throw new Error(`The login is not at ${kc_action}, but ${page.status} at ${page.url}: ${titleOf(page.text)}`)
      }
      await victim.reset()
      await act(thief, page, victim)
      if (await isDone(victim)) {
        return [loot]
      }
      await act(thief, await thief.reload(page), victim)
      return (await isDone(victim)) ? [loot] : []
    },
  }),
)
