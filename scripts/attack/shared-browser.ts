import { Browser, type Page, titleOf } from '../stage/browser.ts'
import type { Attack } from './attack.ts'
import { REDIRECT_URI } from './clients.ts'
import { SIGHTS, type Target } from './target.ts'
import { Thief, THIEFS_PASSWORD, THIEFS_PASSWORDS } from './thief.ts'
import { NEW_PASSWORD, PASSWORD, Victim } from './victim.ts'

/** The person comes back in a tab, or in a new one where that is gone, and what they get must count. */
async function comesBack(victim: Victim, browser: Browser, tab: Page): Promise<void> {
  const { target, name } = victim
  const fields = { username: name, password: NEW_PASSWORD }
  const back = await browser.submit(tab, fields, REDIRECT_URI)
  const tokens = (await target.redeem(back)) ?? (await inNewTab(target, browser, fields))
  const lives = tokens ? await target.livesOf(tokens) : []
  if (lives.length < SIGHTS.length) {
    throw new Error(`The person’s new login: ${back.status} ${titleOf(back.text)}; of it lives: ${lives.join(', ')}`)
  }
}

async function inNewTab(target: Target, browser: Browser, fields: Record<string, string>) {
  const login = await browser.open(target.authorization(), REDIRECT_URI)
  return target.redeem(await browser.submit(login, fields, REDIRECT_URI))
}

export const SHARED_BROWSER: readonly Attack[] = [
  {
    id: 'shared-browser',
    family: 'shared-browser',
    title:
      'A login under way with the cookies of the victim’s login page does not become a part of the victim’s next login',
    tries:
      'copies the cookies of a browser that is at the login page, logs in with them by the old password up to a page for a new password; after the reset the victim logs in there; submits the page',
    loot: ['password'],
    noControl: 'Keycloak by itself ends the other tabs of a browser when one of them has logged in',
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const browser = new Browser()
      const tab = await browser.open(target.authorization(), REDIRECT_URI)
      const thief = new Thief(browser.copy())
      const page = await victim.logIn(thief.browser, target.authorization({ kc_action: 'UPDATE_PASSWORD' }))
      await victim.reset()
      await comesBack(victim, browser, tab)
      await thief.submit(page, THIEFS_PASSWORDS)
      return (await target.takesPassword(name, THIEFS_PASSWORD)) ? ['password'] : []
    },
  },
  {
    id: 'open-login-tab',
    family: 'shared-browser',
    title: 'What was had before stays dead when its browser comes back by a tab that was open at the reset',
    tries:
      'has tokens and cookies of a browser in which a tab stands at the login page (`prompt=login`); after the reset the victim logs in by that tab',
    loot: [...SIGHTS, 'copied cookies'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const browser = new Browser()
      const old = await victim.tokens(browser)
      const offline = await target.tokens.directGrant('flows-app', name, PASSWORD, 'openid offline_access')
      const tab = await browser.open(target.authorization({ prompt: 'login' }), REDIRECT_URI)
      const thief = browser.copy()
      await victim.reset()
      await comesBack(victim, browser, tab)
      const lives = [...(await target.livesOf(old)), ...(await target.livesOf(offline))]
      const stolen = await target.redeem(await thief.open(target.authorization(), REDIRECT_URI))
      return [...new Set(lives), ...(stolen ? ['copied cookies'] : [])]
    },
  },
]
