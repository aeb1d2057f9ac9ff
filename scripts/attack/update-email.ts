import type { Attack } from './attack.ts'
import { nextSecond } from './target.ts'
import { linkIn, Thief, THIEFS_PASSWORD, THIEFS_PASSWORDS } from './thief.ts'
import { Victim } from './victim.ts'

export const UPDATE_EMAIL: readonly Attack[] = [
  {
    id: 'update-email',
    family: 'update-email',
    title: 'A login under way at "Update Email" does not take the account over',
    tries:
      'has logged in by the old password up to the page "Update Email"; after the reset has a confirmation mailed to an address of their own, confirms it, and sets a password by "forgotten password"',
    loot: ['confirmation mailed', 'new address', 'password by mail'],
    quick: 1,
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const { mail } = target.parts
      const address = `thief-of-${name}@evil.example`
      const thief = new Thief()
      const page = await victim.logIn(thief.browser, target.authorization({ kc_action: 'UPDATE_EMAIL' }))
      await victim.reset()
      await thief.submit(page, { email: address })
      const link = mail.linkFor(address)
      if (link === undefined) {
        return []
      }
      await new Thief().openMailed(link)
      if ((await victim.stored())?.email !== address) {
        return ['confirmation mailed']
      }
      // The change of the address is an event too: what comes after it begins in a later second.
      await nextSecond()
      const elsewhere = new Thief()
      const login = await elsewhere.open(target.authorization())
      const forgot = await elsewhere.open(linkIn(login, 'reset-credentials') ?? '')
      const forgotten = await victim.mailed(() => elsewhere.submit(forgot, { username: address }), address)
      await elsewhere.submit(await elsewhere.openMailed(forgotten), THIEFS_PASSWORDS)
      const taken = await target.takesPassword(name, THIEFS_PASSWORD)
      return ['confirmation mailed', 'new address', ...(taken ? ['password by mail'] : [])]
    },
  },
]
