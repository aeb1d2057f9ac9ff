import type { Page } from '../stage/browser.ts'
import type { Attack } from './attack.ts'
import { linkIn, Thief, THIEFS_PASSWORD, THIEFS_PASSWORDS } from './thief.ts'
import { Victim } from './victim.ts'

/** A kind of link that Keycloak mails, which the attacker can read, and what following it does. */
interface Link {
  readonly id: string
  readonly title: string
  readonly mailed: string
  readonly loot: string
  /** Has the mail sent, and answers its link. */
  readonly mail: (victim: Victim) => Promise<string>
  /** On from the page that the link leads to. */
  readonly act?: (thief: Thief, page: Page) => Promise<unknown>
  readonly isDone: (victim: Victim) => Promise<boolean>
}

const addressOf = ({ name }: Victim) => `thief-of-${name}@evil.example`
const setPassword = (thief: Thief, page: Page) => thief.submit(page, THIEFS_PASSWORDS)
const takesThiefs = ({ target, name }: Victim) => target.takesPassword(name, THIEFS_PASSWORD)

const LINKS: readonly Link[] = [
  {
    id: 'forgotten-password',
    title: 'sets no password',
    mailed: 'of a forgotten password',
    loot: 'password',
    mail: async (victim) => {
      const anybody = new Thief()
      const login = await anybody.open(victim.target.authorization())
      const forgot = await anybody.open(linkIn(login, 'reset-credentials') ?? '')
      return victim.mailed(() => anybody.submit(forgot, { username: victim.name }))
    },
    act: setPassword,
    isDone: takesThiefs,
  },
  {
    id: 'actions',
    title: 'sets no password',
    mailed: 'by which an administrator asks for actions',
    loot: 'password',
    mail: (victim) =>
      victim.mailed(() => victim.target.admin.must('PUT', victim.path('/execute-actions-email'), ['UPDATE_PASSWORD'])),
    act: setPassword,
    isDone: takesThiefs,
  },
  {
    id: 'address',
    title: 'confirms no address',
    mailed: 'that confirms an address',
    loot: 'address verified',
    mail: async (victim) => {
      const { admin } = victim.target
      await admin.must('PUT', victim.path(), { emailVerified: false })
      return victim.mailed(() => admin.must('PUT', victim.path('/send-verify-email')))
    },
    isDone: async (victim) => (await victim.stored())?.emailVerified === true,
  },
  {
    id: 'new-address',
    title: 'changes no address',
    mailed: 'that confirms a new address',
    loot: 'new address',
    mail: async (victim) => {
      const thief = new Thief()
      const request = victim.target.authorization({ kc_action: 'UPDATE_EMAIL' })
      const page = await victim.logIn(thief.browser, request)
      const address = addressOf(victim)
      return victim.mailed(() => thief.submit(page, { email: address }), address)
    },
    isDone: async (victim) => (await victim.stored())?.email === addressOf(victim),
  },
]

export const MAILED_LINKS: readonly Attack[] = LINKS.map(({ id, title, mailed, loot, mail, act, isDone }): Attack => ({
  id: `link-${id}`,
  family: 'mailed-links',
  title: `A link ${mailed}, mailed before, ${title}`,
  tries: `reads the mail with a link ${mailed}, and follows it after the reset`,
  loot: [loot],
  run: async (target, name) => {
    const victim = await Victim.create(target, name)
    const link = await mail(victim)
    await victim.reset()
    const thief = new Thief()
    const page = await thief.openMailed(link)
    await act?.(thief, page)
    return (await isDone(victim)) ? [loot] : []
  },
}))
