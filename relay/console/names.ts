import { html } from 'hono/html'
import { RelayError } from '../errors.ts'
import type { Html } from './layout.ts'
import type { ConsolePorts } from './ports.ts'
import { rightsOf } from './rights.ts'
import type { Session } from './sessions.ts'

/** After a failure a person's pages do without names for this long, rather than wait for them each time. */
const REST_MS = 30_000
const MAX_NAMES = 5000
/** What {@link who} writes. A subject of other characters stays as it is. */
const MARK = /<bdi data-sub="([\w:.@+-]{1,255})">[^<]*<\/bdi>/g

/** Somebody as a page shows them, by what is stored of them. */
export type NameOf = (subject: string) => Html

/** Somebody, by what is stored of them. Whoever may see the name gets it in that place. */
export function who(subject: string, shown = subject): Html {
  return html`<bdi data-sub="${subject}">${shown}</bdi>`
}

/**
 * Puts names in the place of subjects, for each person as the realm lets that person see them: they are asked for with the
 * person's own token, kept in the memory of their session alone, and go with it.
 */
export class Names {
  readonly #ports: Pick<ConsolePorts, 'users' | 'login' | 'nowMs'>

  constructor(ports: Pick<ConsolePorts, 'users' | 'login' | 'nowMs'>) {
    this.#ports = ports
  }

  /** A page as this person may see it. What cannot be had stays as it is stored. */
  async shown(session: Session, page: string): Promise<string> {
    const { names } = session
    const unknown = new Set(
      [...page.matchAll(MARK)].map(([, subject = '']) => subject).filter((one) => !names.has(one)),
    )
    if (unknown.size > 0) {
      await this.#learn(session, [...unknown])
    }
    return page.replaceAll(MARK, (mark, subject: string) => {
      const name = names.get(subject)
      return name === undefined || name === '' ? mark : `<bdi title="${subject}">${escaped(name)}</bdi>`
    })
  }

  /** @throws RelayError `access_denied` for a person who may not look up users, `idp_unavailable` where nobody can be asked */
  async find(session: Session, name: string): Promise<string | undefined> {
    const token = await this.#token(session)
    if (token === undefined) {
      throw new RelayError('access_denied', 'You may not look up users at the realm')
    }
    return this.#ports.users.find(token, name)
  }

  async #learn(session: Session, subjects: readonly string[]): Promise<void> {
    const { users, nowMs } = this.#ports
    if (session.namesRefused || nowMs() < session.namesRestMs) {
      return
    }
    try {
      const token = await this.#token(session)
      if (token === undefined) {
        return
      }
      const found = await users.names(token, subjects)
      for (const subject of subjects) {
        const [oldest] = session.names.keys()
        if (session.names.size >= MAX_NAMES && oldest !== undefined) {
          session.names.delete(oldest)
        }
        // Whoever is not there any more is not asked for again.
        session.names.set(subject, found.get(subject) ?? '')
      }
    } catch (cause) {
      session.namesRestMs = nowMs() + REST_MS
      if (cause instanceof RelayError && cause.code === 'access_denied') {
        session.namesRefused = true
      }
    }
  }

  /** Undefined for who may not look up users. */
  async #token(session: Session): Promise<string | undefined> {
    const rights = await rightsOf(session, this.#ports)
    return rights?.readsUsers === true ? rights.accessToken : undefined
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
