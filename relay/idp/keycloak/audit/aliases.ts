import type { RealmDescription } from './realm.ts'

/** Realm attributes that name identity providers by their aliases, with commas between them. */
const LISTS = ['logout-relay.upstreams.email', 'logout-relay.upstreams.told']

export interface OfNobody {
  readonly attribute: string
  readonly alias: string
}

/**
 * The settings for identity providers that the realm does not have, as `logout-relay check` has them of the extension. None
 * where the realm's identity providers could not be read.
 */
export function ofNobody({ policy, aliases }: Pick<RealmDescription, 'policy' | 'aliases'>): OfNobody[] {
  const named = Object.entries(policy).flatMap(([attribute, value]): OfNobody[] => {
    if (value.trim() === '') {
      return []
    }
    const alias = /^logout-relay\.policy\.upstream-[a-z-]+\.(.+)$/.exec(attribute)?.[1]
    const listed = LISTS.includes(attribute) ? value.split(',').map((one) => one.trim()) : []
    return [alias ?? [], listed].flat().flatMap((one) => (one === '' ? [] : [{ attribute, alias: one }]))
  })
  return aliases ? named.filter(({ alias }) => !aliases.includes(alias)) : []
}
