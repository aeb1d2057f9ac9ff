import { z } from 'zod'
import type { UpstreamSubject } from '../domain/model.ts'

/** What names a user or an event: text that every store can keep. */
export const Name = z
  .string()
  .max(255)
  .refine((text) => text.trim() !== '' && !text.includes('\0') && text.isWellFormed(), 'is empty, or no text')

/** Names of one user in a SET; more than this is none of anybody's. */
const MOST = 100

/** RFC 9493, and the two spellings from before it; SSF 1.0 §3.2 for what has no `format` but members. */
const Subject = z.looseObject({
  format: z.string().optional(),
  subject_type: z.string().optional(),
  iss: z.string().optional(),
  sub: z.unknown().optional(),
  email: z.unknown().optional(),
  user: z.unknown().optional(),
  identifiers: z.unknown().optional(),
})

/**
 * Whom a subject identifier names, of the users of these issuers. None for a format that names no user of an identity
 * provider: a telephone, a device, a tenant, something opaque.
 *
 * @param deep how deep it may still hold others
 */
export function subjectsIn(identifier: unknown, issuers: readonly string[], deep = 2): UpstreamSubject[] {
  const parsed = Subject.safeParse(identifier)
  if (!parsed.success || deep < 0) {
    return []
  }
  const { format, subject_type, iss = '', sub, email, user, identifiers } = parsed.data
  switch ((format ?? subject_type ?? 'complex').replace('-', '_')) {
    case 'iss_sub':
    case 'id_token_claims':
      return issuers.includes(iss) ? named(sub, (name) => ({ sub: name })) : []
    case 'email':
      return named(email, (name) => ({ email: name }))
    case 'aliases':
      return Array.isArray(identifiers)
        ? identifiers.slice(0, MOST).flatMap((one) => subjectsIn(one, issuers, deep - 1))
        : []
    case 'complex':
      return user === undefined ? [] : subjectsIn(user, issuers, deep - 1)
    default:
      return []
  }
}

function named(text: unknown, as: (name: string) => UpstreamSubject): UpstreamSubject[] {
  const name = Name.safeParse(text)
  return name.success ? [as(name.data)] : []
}
