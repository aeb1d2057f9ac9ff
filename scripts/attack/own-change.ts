import { setTimeout as delay } from 'node:timers/promises'
import { Browser, type Page, titleOf } from '../stage/browser.ts'
import type { Tokens } from '../stage/tokens.ts'
import type { Attack } from './attack.ts'
import { REDIRECT_URI } from './clients.ts'
import { livesOf, Loop, refreshing } from './loop.ts'
import { nextSecond, SIGHTS, type Target } from './target.ts'
import { linkIn, Thief } from './thief.ts'
import { NEW_PASSWORD, PASSWORD, Victim } from './victim.ts'

const NEW = { 'password-new': NEW_PASSWORD, 'password-confirm': NEW_PASSWORD }
/** Within ten seconds Keycloak takes a session that is made again under its id for a login in two tabs at once. */
const AGES_MS = [1000, 11_000]
/** The thief goes on for so long after the change, into the next whole second. */
const AFTER_MS = 1200
const LOOPS = 2
const COOKIES = 'copied cookies'

/** Where the person sets the new password: a page, and the browser that shows it. */
interface Place {
  readonly browser: Browser
  readonly page: Page
}

/** The person changes their password while somebody uses all that the old one gave, and copied cookies. */
async function amongThieves(
  target: Target,
  name: string,
  ageMs: number,
  place: (victim: Victim, loggedIn: Browser) => Promise<Place>,
): Promise<string[]> {
  const victim = await Victim.create(target, name)
  const loggedIn = new Browser()
  const tokens = await victim.tokens(loggedIn)
  const offline = await target.tokens.directGrant('flows-app', name, PASSWORD, 'openid offline_access')
  await delay(ageMs)
  const { browser, page } = await place(victim, loggedIn)
  const jars = [new Thief(loggedIn.copy()), new Thief(browser.copy())]
  await nextSecond()
  const loop = (held: Tokens) => new Loop({ tokens: held, clientId: 'flows-app' }, refreshing(target))
  const online = Array.from({ length: LOOPS }, () => loop(tokens))
  const later = [loop(offline)]
  const stolen: Page[] = []
  const steal = async () => {
    stolen.push(...(await Promise.all(jars.map((jar) => jar.open(target.authorization())))))
  }
  let own: Tokens | undefined
  try {
    const back = await browser.submit(page, NEW, REDIRECT_URI)
    own = await target.redeem(back)
    await steal()
    if (!own) {
      throw new Error(`The person cannot go on: ${back.status} at ${back.url}: ${titleOf(back.text)}`)
    }
    await delay(AFTER_MS)
  } finally {
    await Promise.all([...online, ...later].map((one) => one.end()))
  }
  await steal()
  await mustGoOn(target, browser, own)
  const codes = await Promise.all(stolen.map((one) => target.redeem(one)))
  return [
    ...(await livesOf(target, online)),
    ...(await livesOf(target, later)).map((sight) => `offline ${sight}`),
    ...(codes.some((one) => one !== undefined) ? [COOKIES] : []),
  ]
}

/** The tokens that the person got in the tab of their own change count, and the browser is signed on. */
async function mustGoOn(target: Target, browser: Browser, tokens: Tokens): Promise<void> {
  const lives = await target.livesOf(tokens)
  const again = await target.redeem(await browser.open(target.authorization(), REDIRECT_URI))
  if (lives.length < SIGHTS.length || !again) {
    throw new Error(`Of the person’s new login lives: ${lives.join(', ')}${again ? ', single sign-on' : ''}`)
  }
}

const LOOT = [...SIGHTS, ...SIGHTS.map((sight) => `offline ${sight}`), COOKIES]

export const OWN_CHANGE: readonly Attack[] = [
  {
    id: 'own-change',
    family: 'own-change',
    title: 'Who changes the password in the account console goes on alone',
    tries:
      'refreshes in two loops, and an offline token in a third, and copies the cookies, while the person changes the password',
    loot: LOOT,
    times: 4,
    quick: 1,
    atOnce: 2,
    run: (target, name, n) =>
      amongThieves(target, name, AGES_MS[n % AGES_MS.length] ?? 0, async (_, browser) => ({
        browser,
        page: await browser.open(target.authorization({ kc_action: 'UPDATE_PASSWORD' }), REDIRECT_URI),
      })),
  },
  {
    id: 'own-change-by-mail',
    family: 'own-change',
    title: 'Who sets a forgotten password by a mailed link goes on alone',
    tries:
      'does the same while the person sets a password by "forgotten password" in another browser, and copies its cookies too',
    loot: LOOT,
    times: 4,
    atOnce: 2,
    run: (target, name, n) =>
      amongThieves(target, name, AGES_MS[n % AGES_MS.length] ?? 0, async (victim) => {
        const browser = new Browser()
        const login = await browser.open(target.authorization(), REDIRECT_URI)
        const forgot = await browser.open(linkIn(login, 'reset-credentials') ?? '')
        const link = await victim.mailed(() => browser.submit(forgot, { username: name }))
        return { browser, page: await browser.open(link, REDIRECT_URI) }
      }),
  },
]
