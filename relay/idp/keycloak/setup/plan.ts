import { type Change, LISTENER_PART, onRealm, type Part, partsOf, type Wish } from './parts.ts'
import { MADE, type Made, type RealmState, type Was } from './state.ts'

/** A line of a plan, and all that it changes. */
export interface Line {
  readonly says: string
  readonly changes: readonly Change[]
}

/**
 * What the realm lacks, in the order in which it is made. What is right is left alone. What will be made is noted first, so
 * that a half-made realm can be undone as well.
 *
 * @param newId makes an id for a client of Keycloak's
 */
export function planOf(realm: RealmState, wish: Wish, newId: () => string): Line[] {
  const parts = partsOf(wish)
  const missing = parts
    .filter((part) => !part.isThere(realm))
    .map((part) => ({ part, id: idNoted(realm, part) ?? newId() }))
  const now = missing.map(({ part, id }) => [part.id, part.was?.(realm, id) ?? null] as const)
  // What was noted before is older, and so what was there before all of it.
  const all: Made = { ...Object.fromEntries(now), ...realm.made }
  const made = Object.fromEntries(parts.flatMap((part) => (goesWithMade(part, all) ? [] : noted(part, all))))
  const record: Line = {
    says: `${'note'.padEnd(VERB)} realm attribute ${MADE}: what setup makes here, for --undo`,
    changes: [onRealm({ attributes: { [MADE]: JSON.stringify({ ...realm.made, ...made }) } })],
  }
  return [
    ...(Object.keys(made).every((id) => id in realm.made) ? [] : [record]),
    ...linesOf(missing.map(({ part, id }) => [part, 'make', part.make(realm, id)])),
  ]
}

/** The way back: what the realm's record says that setup has made, in the other order, and at last the record itself. */
export function undoOf(realm: RealmState): { readonly lines: readonly Line[]; readonly left: readonly Line[] } {
  const parts = partsOf({ console: '', enforce: true })
  const isMade = (part: Part) => {
    const was = realm.made[part.id]
    return was !== undefined && (part.isToUndo?.(realm, was) ?? part.isThere(realm))
  }
  const undone = parts.filter((part) => isMade(part) && !goesWithMade(part, realm.made))
  const left = parts.filter(({ client, id }) => client !== undefined || id === LISTENER_PART)
  const record: Line = {
    says: `${'remove'.padEnd(VERB)} realm attribute ${MADE}`,
    changes: [onRealm({ attributes: { [MADE]: null } })],
  }
  return {
    lines: [
      ...linesOf(undone.toReversed().map((part) => [part, 'unmake', part.unmake(realm, realm.made[part.id] ?? null)])),
      ...(Object.keys(realm.made).length > 0 ? [record] : []),
    ],
    left: linesOf(left.filter((part) => part.isThere(realm) && !isMade(part)).map((part) => [part, 'leave'])),
  }
}

/** As wide as the longest verb of a line. */
const VERB = 10

/** Neighbours with the same words make one line. */
function linesOf(all: readonly (readonly [Part, 'make' | 'unmake' | 'leave', Change?])[]): Line[] {
  const lines: { head: string; items: string[]; changes: Change[] }[] = []
  for (const [{ verbs, words, how, item, to }, what, change] of all) {
    const verb = what === 'leave' ? 'leave' : verbs[what === 'make' ? 0 : 1]
    const head = `${verb.padEnd(VERB)} ${words}${what === 'make' && how !== undefined ? `, ${how}` : ''}`
    let line = lines.at(-1)
    if (line?.head !== head) {
      lines.push((line = { head, items: [], changes: [] }))
    }
    const set = what === 'make' && to !== undefined ? ` ${to}` : ''
    line.items.push(...(item === undefined ? [] : [`${item}${set}`]))
    line.changes.push(...(change ? [change] : []))
  }
  return lines.map(({ head, items, changes }) => ({
    says: items.length === 0 ? head : `${head}: ${items.join(', ')}`,
    changes,
  }))
}

function noted({ id }: Part, made: Made): [string, Was][] {
  const was = made[id]
  return was === undefined ? [] : [[id, was]]
}

/** Whether it is a client's that setup has made: it goes with that, and is another's if somebody has put another in its place. */
function goesWithMade({ goesWith }: Part, made: Made): boolean {
  return goesWith.some((client) => `client ${client}` in made)
}

/** Of a client that was to be made before, and was not, or has gone since. */
function idNoted({ made }: RealmState, { client, id }: Part): string | undefined {
  const noted = client === undefined ? undefined : made[id]
  return typeof noted === 'string' ? noted : undefined
}
