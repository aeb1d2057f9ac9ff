import type { z } from 'zod'
import type { Contained } from '../api/answers.ts'
import { many } from '../text.ts'

/** What has ended of a user, or would end, and what would not: a session that nobody can be told about lives on. */
export function containedWords(one: z.infer<typeof Contained>): string {
  const { sessions, unreachable, relying_parties, shadow, dry_run, confirmation_required, client_id } = one
  const would = dry_run || shadow
  const at = many(relying_parties, 'relying party', 'relying parties')
  const ends = `${would ? 'would end' : 'ended'} ${many(sessions - unreachable, 'session')} at ${at}`
  const verb = unreachable === 1 ? 'lives' : 'live'
  const lives = would ? 'would live' : verb
  const untold = unreachable > 0 ? `; ${many(unreachable, 'session')} ${lives} on at clients without a logout URL` : ''
  // Who has stolen it gets new tokens by it.
  const secret = client_id === undefined ? '' : '; its secret is the same as before: make a new one'
  return `${ends}${untold}${dry_run && confirmation_required ? '; takes --confirm' : ''}${secret}`
}
