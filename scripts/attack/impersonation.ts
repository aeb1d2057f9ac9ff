import { Browser } from '../stage/browser.ts'
import { linking } from './account-link.ts'
import type { Attack } from './attack.ts'
import { tokensOf } from './broker.ts'
import { REDIRECT_URI } from './clients.ts'
import { approvedDevice } from './grants.ts'
import { nextSecond, type Target } from './target.ts'
import { Thief } from './thief.ts'
import { PASSWORD, Victim } from './victim.ts'

/** Somebody who may, and their browser, in which they are somebody else. */
async function impersonated(target: Target, name: string) {
  const [impersonator, other] = [
    await Victim.create(target, `${name}-impersonator`),
    await Victim.create(target, `${name}-other`),
  ]
  await impersonator.giveRole('realm-management', 'impersonation')
  // Such a role is an event by itself.
  await nextSecond()
  return { impersonator, other, browser: await openAs(other.id, impersonator) }
}

/** A browser in which somebody who may has opened a session as somebody else. */
export async function openAs(userId: string, { target, name }: Victim): Promise<Browser> {
  const { access_token } = await target.tokens.directGrant('flows-app', name, PASSWORD)
  const browser = new Browser()
  await browser.post(`${target.parts.keycloak.url}/admin/realms/${target.realm}/users/${userId}/impersonation`, {
    authorization: `Bearer ${access_token}`,
  })
  return browser
}

/** What of the session counts after the reset of one of the two. */
async function afterResetOf(target: Target, name: string, who: 'impersonator' | 'other'): Promise<string[]> {
  const { browser, ...people } = await impersonated(target, name)
  const open = () => browser.open(target.authorization(), REDIRECT_URI)
  const tokens = await target.redeem(await open())
  const code = await open()
  if (!tokens) {
    throw new Error(`The session as somebody else gives no tokens: ${code.status} at ${code.url}`)
  }
  await people[who].reset()
  const lives = await target.livesOf(tokens)
  return [
    ...lives,
    ...((await tokensOf(target, code)).length > 0 ? ['code'] : []),
    ...((await tokensOf(target, await open())).length > 0 ? ['browser session'] : []),
  ]
}

const LOOT = ['refresh', 'userinfo', 'introspection', 'code', 'browser session']

export const IMPERSONATION: readonly Attack[] = [
  {
    id: 'impersonator-reset',
    family: 'impersonation',
    title: 'A session as somebody else ends with the reset of who opened it',
    tries: 'opens a session as somebody else, is reset, and uses tokens, code and cookies of that session',
    loot: LOOT,
    run: (target, name) => afterResetOf(target, name, 'impersonator'),
  },
  {
    id: 'impersonated-reset',
    family: 'impersonation',
    title: 'A session that was opened as somebody ends with the reset of that somebody',
    tries: 'opens a session as the victim, who is reset, and uses tokens, code and cookies of that session',
    loot: LOOT,
    run: (target, name) => afterResetOf(target, name, 'other'),
  },
  {
    id: 'impersonator-unredeemed-code',
    family: 'impersonation',
    title: 'A session as somebody else that no client knows yet ends with the reset of who opened it',
    tries: 'opens a session as somebody else and has only a code of it, not redeemed; is reset; redeems the code',
    loot: ['tokens'],
    quick: 1,
    run: async (target, name) => {
      const { impersonator, browser } = await impersonated(target, name)
      const code = await browser.open(target.authorization(), REDIRECT_URI)
      await impersonator.reset()
      return tokensOf(target, code)
    },
  },
  {
    id: 'impersonator-cookies',
    family: 'impersonation',
    title: 'A session as somebody else whose code nobody has redeemed does nothing after the reset of who opened it',
    tries:
      'opens a session as somebody else and has its cookies and a code, not redeemed; is reset; links an account elsewhere, approves a device, and asks for another code',
    loot: ['link', 'device', 'tokens'],
    quick: 1,
    run: async (target, name) => {
      const { impersonator, other, browser } = await impersonated(target, name)
      await target.upstream.createUser(name, PASSWORD)
      const thief = new Thief(browser)
      const back = new URL((await thief.open(target.authorization())).url)
      await impersonator.reset()
      const sid = back.searchParams.get('session_state') ?? ''
      const login = await thief.open(linking(target, 'upstream', sid))
      await thief.submit(login, { username: name, password: PASSWORD })
      const device = await (await approvedDevice(target, thief))()
      const tokens = await tokensOf(target, await thief.open(target.authorization()))
      return [...(await other.links()).map(() => 'link'), ...device.map(() => 'device'), ...tokens]
    },
  },
]
