import { type Page, titleOf } from '../stage/browser.ts'
import type { Attack } from './attack.ts'
import type { Target } from './target.ts'
import { profileOf, Thief, THIEFS_PASSWORD, THIEFS_PASSWORDS } from './thief.ts'
import { PASSWORD, Victim } from './victim.ts'

interface Brokered {
  readonly victim: Victim
  readonly thief: Thief
  /** The page of the action, in a login by the account upstream. */
  readonly page: Page
}

/** Somebody with the victim's account upstream, half way through a login by it, before the account is unlinked and reset. */
async function underWay(target: Target, name: string, kc_action: string): Promise<Brokered> {
  const victim = await Victim.create(target, name)
  const userId = await target.upstream.createUser(name, PASSWORD)
  await target.admin.must('POST', victim.path('/federated-identity/upstream'), { userId, userName: name })
  const thief = new Thief()
  const page = await victim.logIn(thief.browser, target.authorization({ kc_idp_hint: 'upstream', kc_action }))
  if (!page.url.includes('/required-action')) {
    throw new Error(`The login is not at ${kc_action}, but ${page.status} at ${page.url}: ${titleOf(page.text)}`)
  }
  await target.admin.must('DELETE', victim.path('/federated-identity/upstream'))
  await victim.reset()
  return { victim, thief, page }
}

const UNDER_WAY =
  'has logged in by an account elsewhere up to a required action; the account is unlinked and the password reset;'

export const BROKER: readonly Attack[] = [
  {
    id: 'broker-submit',
    family: 'broker',
    title: 'A login by an identity provider under way gets no tokens',
    tries: `${UNDER_WAY} submits the page`,
    loot: ['tokens'],
    run: async (target, name) => {
      const { thief, page } = await underWay(target, name, 'UPDATE_PROFILE')
      return tokensOf(target, await thief.submit(page, profileOf(name)))
    },
  },
  {
    id: 'broker-reload',
    family: 'broker',
    title: 'A login by an identity provider under way does not become young by a reload',
    tries: `${UNDER_WAY} loads the page again and submits it`,
    loot: ['tokens'],
    quick: 1,
    run: async (target, name) => {
      const { thief, page } = await underWay(target, name, 'UPDATE_PROFILE')
      return tokensOf(target, await thief.submit(await thief.reload(page), profileOf(name)))
    },
  },
  {
    id: 'broker-password',
    family: 'broker',
    title: 'A login by an identity provider under way sets no password',
    tries: `${UNDER_WAY} loads the page again and sets a password`,
    loot: ['password'],
    run: async (target, name) => {
      const { thief, page } = await underWay(target, name, 'UPDATE_PASSWORD')
      await thief.submit(await thief.reload(page), THIEFS_PASSWORDS)
      return (await target.takesPassword(name, THIEFS_PASSWORD)) ? ['password'] : []
    },
  },
  {
    id: 'broker-second-link',
    family: 'broker',
    title: 'A login by an identity provider under way links no other one',
    tries: `${UNDER_WAY} loads the page again and links an account of their own at a second identity provider`,
    loot: ['link'],
    run: async (target, name) => {
      const { victim, thief, page } = await underWay(target, name, 'idp_link:upstream2')
      await target.upstream.createUser(`${name}-other`, PASSWORD)
      const login = await thief.submit(await thief.reload(page), {})
      await thief.submit(login, { username: `${name}-other`, password: PASSWORD })
      return (await victim.links()).length > 0 ? ['link'] : []
    },
  },
]

export async function tokensOf(target: Target, back: Page): Promise<string[]> {
  const tokens = await target.redeem(back)
  return tokens && (await target.livesOf(tokens)).length > 0 ? ['tokens'] : []
}
