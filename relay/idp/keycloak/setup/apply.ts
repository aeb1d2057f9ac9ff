import { z } from 'zod'
import { RelayError } from '../../../errors.ts'
import type { RealmApi } from './api.ts'
import type { Change } from './parts.ts'
import { idOf } from './read.ts'

const PLACEHOLDER = /\{(client|account|role|mapper) ([\w-]+)\}/g
const Members = z.record(z.string(), z.unknown())

/** Makes a change, and nothing if the realm already is as it would be. Throws as `RealmApi` does. */
export async function apply(api: RealmApi, change: Change): Promise<void> {
  const { needs, method, over } = change
  const path = below(api, await resolved(api, change.path))
  if (over) {
    // As Keycloak's console does it: of what a PUT lacks, some is taken away and some gets its default.
    const now = Members.parse((await api.send(path, { right: needs })).json)
    await api.send(path, { method: 'PUT', right: needs, json: laidOver(now, over) })
    return
  }
  const body: unknown =
    change.body === undefined ? undefined : JSON.parse(await resolved(api, JSON.stringify(change.body)))
  await api.send(path, { method, right: needs, json: body })
}

/** A change for whoever has to approve it, or makes it by other means. */
export function shown(api: RealmApi, { method, path, body, over }: Change): string {
  const sent = over ?? body
  return [
    `${method} ${below(api, path)}${over ? ' (what is there, with this laid over it)' : ''}`,
    ...(sent === undefined ? [] : [JSON.stringify(sent)]),
  ].join('\n')
}

function below(api: RealmApi, path: string): string {
  return path === '' ? api.base : `${api.base}/${path}`
}

async function resolved(api: RealmApi, text: string): Promise<string> {
  const found = new Map<string, string>()
  for (const [whole, what = '', name = ''] of text.matchAll(PLACEHOLDER)) {
    const id = await idOf(api, what, name)
    if (id === undefined) {
      throw new RelayError(
        'invalid_request',
        `The ${what} ${name} is gone, which was there a moment ago: run this again`,
      )
    }
    found.set(whole, id)
  }
  return text.replace(PLACEHOLDER, (whole) => found.get(whole) ?? whole)
}

function laidOver(now: Readonly<Record<string, unknown>>, over: Readonly<Record<string, unknown>>): object {
  const merged = { ...now }
  for (const [name, value] of Object.entries(over)) {
    const [there, laid] = [Members.safeParse(now[name]).data, Members.safeParse(value).data]
    merged[name] = laid ? laidOver(there ?? {}, laid) : value
  }
  return Object.fromEntries(Object.entries(merged).filter(([name, value]) => !(value === null && name in over)))
}
