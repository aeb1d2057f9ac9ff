import type { UpstreamOutcome, UpstreamWord } from '../domain/model.ts'
import { RelayError } from '../errors.ts'

/** Enough for all that an administrator revokes at once: who sends such a word may never send it again. */
const MOST_WAITING = 1000

type Hear = (word: UpstreamWord) => Promise<UpstreamOutcome>

/**
 * One word of an upstream after the other. The realm judges them so in any case; what waited there would hold a connection to
 * its database each, and a few hundred at once would leave none for anybody's login.
 */
export function inTurn(hear: Hear, most = MOST_WAITING): Hear {
  let waiting = 0
  let last: Promise<unknown> = Promise.resolve()
  return (word) => {
    if (waiting === most) {
      return Promise.reject(new RelayError('idp_unavailable', 'More words of the upstream wait than can'))
    }
    waiting++
    const done = last.then(() => hear(word)).finally(() => waiting--)
    last = done.catch(() => undefined)
    return done
  }
}
