import type { Attack } from './attack.ts'
import { Thief } from './thief.ts'
import { Victim } from './victim.ts'

export const CONSENT: readonly Attack[] = [
  {
    id: 'consent',
    family: 'consent',
    title: 'A login under way at the consent page gives a client neither consent nor tokens',
    tries: 'has logged in by the old password up to the consent page, and consents after the reset',
    loot: ['consent', 'tokens'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const thief = new Thief()
      const page = await victim.logIn(thief.browser, target.authorization({ client_id: 'consent-app' }))
      if (!page.text.includes('name="accept"')) {
        throw new Error(`The login is not at the consent page, but ${page.status} at ${page.url}`)
      }
      await victim.reset()
      const back = await thief.submit(page, { accept: 'Yes' })
      const consents = await target.admin.must<object[]>('GET', victim.path('/consents'))
      const tokens = await target.redeem(back, 'consent-app')
      const lives = tokens ? await target.livesOf(tokens, 'consent-app') : []
      return [...(consents.json().length > 0 ? ['consent'] : []), ...(lives.length > 0 ? ['tokens'] : [])]
    },
  },
]
