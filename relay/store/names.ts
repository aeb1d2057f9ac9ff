import { laneOf } from '../domain/model.ts'
import { addedUp } from '../domain/month.ts'
import type { Selection, Store } from './port.ts'

/**
 * A realm whose host name has changed is one realm: who reads or selects under its name of today gets what is kept under
 * its former names as well. What is kept stays under the name that the event had, which its logout tokens need.
 *
 * @param formerNames by the name of today
 */
export function underAllNames(store: Store, formerNames: ReadonlyMap<string, readonly string[]>): Store {
  const namesOf = (issuer: string) => [issuer, ...(formerNames.get(issuer) ?? [])]
  const today = new Map([...formerNames].flatMap(([issuer, names]) => names.map((name) => [name, issuer])))
  const each = async <T>(issuer: string, read: (name: string) => Promise<T[]>): Promise<T[]> =>
    (await Promise.all(namesOf(issuer).map(read))).flat()
  const change = async (
    selection: Selection,
    limit: number,
    act: (selection: Selection, limit: number) => Promise<number>,
  ): Promise<number> => {
    let count = 0
    for (const issuer of namesOf(selection.issuer)) {
      count += count < limit ? await act({ ...selection, issuer }, limit - count) : 0
    }
    return count
  }
  /** Together what is of one client, under its realm's name of today. */
  const byLane = <T extends { readonly issuer: string; readonly clientId: string }>(all: readonly T[]): T[][] => {
    const named = all.map((one) => ({ ...one, issuer: today.get(one.issuer) ?? one.issuer }))
    return [...Map.groupBy(named, ({ issuer, clientId }) => laneOf(issuer, clientId)).values()]
  }
  return {
    ...store,
    unknown: async (issuer, jtis) => {
      let unknown: readonly string[] = jtis
      for (const name of namesOf(issuer)) {
        unknown = await store.unknown(name, unknown)
      }
      return [...unknown]
    },
    hasten: (selection, by, limit) => change(selection, limit, (one, left) => store.hasten(one, by, left)),
    dismiss: (selection, by, limit) => change(selection, limit, (one, left) => store.dismiss(one, by, left)),
    containments: async (filter) =>
      (await each(filter.issuer, (issuer) => store.containments({ ...filter, issuer })))
        .sort((a, b) => b.createdMs - a.createdMs)
        .slice(0, filter.limit),
    months: async (issuer) => addedUp(await each(issuer, (name) => store.months(name))),
    changes: async (issuer, limit, before) =>
      (await each(issuer, (name) => store.changes(name, limit, before))).sort((a, b) => b.seq - a.seq).slice(0, limit),
    containment: async (issuer, id, lines) => {
      const found = await Promise.all(namesOf(issuer).map((name) => store.containment(name, id, lines)))
      return found.find((one) => one !== undefined)
    },
    deliveries: async (filter) =>
      (await each(filter.issuer, (issuer) => store.deliveries({ ...filter, issuer })))
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .slice(0, filter.limit),
    open: async () =>
      byLane(await store.open()).map((those) => {
        const oldest = those.reduce((a, b) => (b.oldestMs < a.oldestMs ? b : a))
        return { ...oldest, count: sum(those) }
      }),
    unreachable: async (nowMs) =>
      byLane(await store.unreachable(nowMs)).map((those) => {
        const last = those.reduce((a, b) => (b.untilMs > a.untilMs ? b : a))
        return { ...last, count: sum(those) }
      }),
  }
}

function sum(those: readonly { readonly count: number }[]): number {
  return those.reduce((all, { count }) => all + count, 0)
}
