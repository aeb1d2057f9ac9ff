import { beginLink } from '../attack/account-link.ts'
import { UPSTREAM } from '../attack/clients.ts'
import { registering } from '../attack/first-login.ts'
import { profileOf, Thief } from '../attack/thief.ts'
import { PASSWORD, Victim } from '../attack/victim.ts'
import { type Page, titleOf } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import { type Access, type Kind, must, twins } from './kind.ts'
import type { Person } from './person.ts'

/** A login whose proof has been accepted, waiting at the page for a profile. */
export interface UnderWay {
  readonly thief: Thief
  readonly page: Page
  /** Of its user. */
  readonly name: string
}

/** Sends the page, and where that is refused, loads it again and sends it once more. */
async function withReload({ thief, page }: Pick<UnderWay, 'thief' | 'page'>, send: (page: Page) => Promise<boolean>) {
  return (await send(page)) || (await send(await thief.reload(page)))
}

/** Whether the login comes to its end, with tokens. The profile is sent as it is, which changes nothing. */
function finishes(person: Person, { thief, page, name }: UnderWay): Promise<boolean> {
  const { target } = person
  return withReload(
    { thief, page },
    async (shown) => (await target.redeem(await thief.submit(shown, profileOf(name)))) !== undefined,
  )
}

function atRequiredAction(person: Person, request: () => Promise<string>): Promise<Access> {
  return twins(
    async () => {
      const thief = new Thief()
      const page = await person.logIn(thief.browser, await request())
      return { thief, page: atAction(page), name: person.name }
    },
    (login) => finishes(person, login),
  )
}

function atAction(page: Page): Page {
  if (!page.url.includes('/required-action')) {
    throw new Error(`The login is not at a required action: ${page.status} at ${page.url}: ${titleOf(page.text)}`)
  }
  return page
}

export const UNDER_WAY: readonly Kind[] = [
  {
    id: 'required-action',
    title: 'login under way, at a required action',
    endsWith: 'session',
    make: (person) =>
      atRequiredAction(person, () => Promise.resolve(person.target.authorization({ kc_action: 'UPDATE_PROFILE' }))),
  },
  {
    id: 'pushed-request',
    title: 'login under way, from a pushed request',
    endsWith: 'session',
    make: (person) =>
      atRequiredAction(person, async () => {
        const { target } = person
        const form = Object.fromEntries(new URL(target.authorization({ kc_action: 'UPDATE_PROFILE' })).searchParams)
        const answer = await call<{ request_uri: string }>('POST', target.endpoint('ext/par/request'), { form })
        const { request_uri } = must(answer, 'pushed request')
        return target.endpoint(`auth?${new URLSearchParams({ client_id: 'flows-app', request_uri }).toString()}`)
      }),
  },
  {
    id: 'broker',
    title: 'login under way, by an identity provider',
    endsWith: 'session',
    make: async (person) => {
      await person.linkUpstream()
      return atRequiredAction(person, () =>
        Promise.resolve(person.target.authorization({ kc_idp_hint: UPSTREAM, kc_action: 'UPDATE_PROFILE' })),
      )
    },
  },
  {
    id: 'registration',
    title: 'login under way, at registration',
    endsWith: 'session',
    make: (person) =>
      twins(
        async (which) => {
          const name = `${person.name}-${which}`
          // Nobody registers twice: the twin is somebody else.
          return which === 'kept' ? person.registration : { ...(await registering(person.target, name)), name }
        },
        (login) => finishes(person, login),
      ),
  },
  {
    id: 'update-email',
    title: 'login under way, at "Update Email"',
    endsWith: 'session',
    askedLast: true,
    make: (person) =>
      twins(
        async (which) => {
          const { target, name } = person
          // Keycloak mails nobody twice within 30 s, and asks at every login until the link is opened.
          const whose = which === 'kept' ? person : await Victim.create(target, `${name}-mailed`)
          const thief = new Thief()
          const page = atAction(await whose.logIn(thief.browser, target.authorization({ kc_action: 'UPDATE_EMAIL' })))
          return { thief, page, address: `thief-of-${whose.name}@evil.example` }
        },
        // A confirmation that was mailed is as good as the address: its holder has only to open it.
        ({ thief, page, address }) =>
          withReload({ thief, page }, async (shown) => {
            await thief.submit(shown, { email: address })
            return person.world.mail.linkFor(address) !== undefined
          }),
      ),
  },
  {
    id: 'account-link',
    title: 'link to an account elsewhere, begun',
    endsWith: 'session',
    make: async (person) => {
      const account = { username: `${person.name}-elsewhere`, password: PASSWORD }
      await person.target.upstream.createUser(account.username, account.password)
      return twins(
        async (which) => {
          const alias = which === 'twin' ? 'upstream2' : 'upstream3'
          return { alias, ...(await beginLink(person, alias)) }
        },
        async ({ alias, thief, login }) => {
          await thief.submit(login, account)
          return (await person.links()).includes(alias)
        },
      )
    },
  },
]
