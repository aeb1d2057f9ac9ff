import { Browser, type Page, titleOf } from '../stage/browser.ts'
import type { Attack } from './attack.ts'
import { tokensOf } from './broker.ts'
import { REDIRECT_URI } from './clients.ts'
import type { Target } from './target.ts'
import { profileOf, Thief } from './thief.ts'
import { PASSWORD, Victim } from './victim.ts'

/** The page that says that the user exists already, in a first login by an account upstream with the same address. */
async function atExistingUser(target: Target, victim: Victim, browser: Browser, alias: string): Promise<Page> {
  await target.upstream.createUser(victim.name, PASSWORD)
  const page = await victim.logIn(browser, target.authorization({ kc_idp_hint: alias }))
  if (!page.text.includes('value="linkAccount"')) {
    throw new Error(`Nothing is to be linked at ${page.url}: ${page.status} ${titleOf(page.text)}`)
  }
  return browser.submit(page, { submitAction: 'linkAccount' })
}

/** Somebody who registers, up to a required action. */
export async function registering(target: Target, name: string): Promise<{ thief: Thief; page: Page }> {
  const thief = new Thief()
  const login = await thief.open(target.authorization({ kc_action: 'UPDATE_PROFILE' }))
  const form = await thief.follow(login, '/registration')
  const page = await thief.submit(form, { ...profileOf(name), password: PASSWORD, 'password-confirm': PASSWORD })
  if (!page.url.includes('/required-action')) {
    throw new Error(`The registration is not at its action: ${page.status} at ${page.url}: ${titleOf(page.text)}`)
  }
  return { thief, page }
}

async function lootOf(victim: Victim, back: Page): Promise<string[]> {
  const linked = (await victim.links()).length > 0
  return [...(linked ? ['link'] : []), ...(await tokensOf(victim.target, back))]
}

export const FIRST_LOGIN: readonly Attack[] = [
  {
    id: 'first-login-by-password',
    family: 'first-login',
    title: 'A first login by an identity provider, proven by the old password, links nothing',
    tries:
      'logs in by an account elsewhere with the victim’s address, proves the user by the old password, and goes the last step after the reset',
    loot: ['link', 'tokens'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const browser = new Browser()
      const proof = await atExistingUser(target, victim, browser, 'upstream2')
      const end = `${target.issuer}/broker/after-first-broker-login`
      const stopped = await browser.submit(proof, { username: name, password: PASSWORD }, end)
      if (!stopped.url.startsWith(end)) {
        throw new Error(`The user is not proven: ${stopped.status} at ${stopped.url}: ${titleOf(stopped.text)}`)
      }
      await victim.reset()
      return lootOf(victim, await browser.open(stopped.url, REDIRECT_URI))
    },
  },
  {
    id: 'first-login-by-mail',
    family: 'first-login',
    title: 'A first login by an identity provider, proven by a mail from before, links nothing',
    tries:
      'the same, and proves the user by the link in a mail from before, opened after the reset in the same browser',
    loot: ['link', 'tokens'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const thief = new Thief()
      const link = await victim.mailed(() => atExistingUser(target, victim, thief.browser, 'upstream'))
      await victim.reset()
      return lootOf(victim, await thief.openMailed(link))
    },
  },
  {
    id: 'first-login-by-mail-elsewhere',
    family: 'first-login',
    title: 'A link from before that proves a first login does so in no other browser either',
    tries: 'the same, and opens the mailed link in another browser, then goes on in the first',
    loot: ['link', 'tokens'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const thief = new Thief()
      let waiting: Page | undefined
      const link = await victim.mailed(async () => {
        waiting = await atExistingUser(target, victim, thief.browser, 'upstream')
      })
      await victim.reset()
      await new Thief().openMailed(link)
      return lootOf(victim, waiting ? await thief.follow(waiting, 'first-broker-login') : never())
    },
  },
  {
    id: 'registration',
    family: 'first-login',
    title: 'A registration under way gets no tokens after a reset of its user',
    tries: 'registers up to a required action; after the reset of that user loads the page again and submits it',
    loot: ['tokens'],
    run: async (target, name) => {
      const { thief, page } = await registering(target, name)
      const victim = new Victim(target, name, await target.admin.userId(name))
      await victim.reset()
      return tokensOf(target, await thief.submit(await thief.reload(page), profileOf(name)))
    },
  },
]

function never(): never {
  throw new Error('The mail was sent before the page was there')
}
