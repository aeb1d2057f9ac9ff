import { z } from 'zod'
import { flag } from '../audit/application.ts'
import type { RealmApi } from './api.ts'
import { type ClientState, CONSOLE, LISTENER, MADE, MODE, OPERATOR, type RealmState, RELAY, type Was } from './state.ts'

/** An account without view-realm gets the realm's name and a few fields more, with 200. */
const Realm = z.object({
  eventsListeners: z.array(z.string()).optional(),
  attributes: z.record(z.string(), z.string()).default({}),
})
const Setting = z.union([z.string(), z.boolean(), z.array(z.string()), z.null()])
const MadeBefore = z.record(z.string(), Setting)
const Named = z.array(z.object({ id: z.string(), name: z.string() }))
const ClientItem = z.looseObject({
  id: z.string(),
  clientId: z.string(),
  serviceAccountsEnabled: flag,
  fullScopeAllowed: flag,
  attributes: z.record(z.string(), z.string()).default({}),
  defaultClientScopes: z.array(z.string()).default([]),
  protocolMappers: z
    .array(
      z.object({ id: z.string(), protocolMapper: z.string(), config: z.record(z.string(), z.string()).default({}) }),
    )
    .default([]),
})
type ClientItem = z.infer<typeof ClientItem>
const Account = z.object({ id: z.string() })
const ServerInfo = z.object({
  providers: z.object({ eventsListener: z.object({ providers: z.record(z.string(), z.unknown()) }) }),
})

/** Reads of a realm what setup looks at; the roles view-realm, view-clients and view-users suffice. */
export async function readState(api: RealmApi): Promise<RealmState> {
  const { eventsListeners, attributes } = await api.get(api.base, Realm, 'view-realm')
  if (eventsListeners === undefined) {
    throw api.lacking(['view-realm'])
  }
  // Only view-clients gets it; for query-clients the list of clients would be empty, with 200.
  await api.get(`${api.base}/default-default-client-scopes`, Named, 'view-clients')
  const relay = await clientOf(api, RELAY)
  const clients = new Map<string, ClientState>()
  for (const name of [RELAY, OPERATOR, CONSOLE]) {
    const item = name === RELAY ? relay : await clientOf(api, name)
    if (item) {
      clients.set(name, await stateOf(api, item, relay))
    }
  }
  return {
    installed: await isInstalled(api),
    listeners: eventsListeners,
    mode: attributes[MODE],
    made: madeBefore(attributes[MADE]),
    roles: relay
      ? (await api.get(`${api.base}/clients/${relay.id}/roles`, Named, 'view-clients')).map(({ name }) => name)
      : [],
    clients,
  }
}

/** The client's secret, which nothing prints. */
export async function secretOf(api: RealmApi, clientId: string): Promise<string | undefined> {
  const item = await clientOf(api, clientId)
  const Secret = z.object({ value: z.string().optional() })
  return item && (await api.get(`${api.base}/clients/${item.id}/client-secret`, Secret, 'view-clients')).value
}

/** The id of what has the name: of a client, of the service account or the audience mapper of a client, of a role of the relay's. */
export async function idOf(api: RealmApi, what: string, name: string): Promise<string | undefined> {
  const item = await clientOf(api, what === 'role' ? RELAY : name)
  switch (what) {
    case 'role':
      return item && (await api.get(`${api.base}/clients/${item.id}/roles/${name}`, Account, 'view-clients')).id
    case 'account':
      return item && (await api.get(`${api.base}/clients/${item.id}/service-account-user`, Account, 'view-clients')).id
    case 'mapper':
      return item && audienceMapper(item)?.id
    default:
      return item?.id
  }
}

async function clientOf(api: RealmApi, clientId: string): Promise<ClientItem | undefined> {
  return (await api.get(`${api.base}/clients?clientId=${clientId}`, z.array(ClientItem), 'view-clients'))[0]
}

async function stateOf(api: RealmApi, item: ClientItem, relay: ClientItem | undefined): Promise<ClientState> {
  const names = async (path: string, right: string) =>
    (await api.get(`${api.base}${path}`, Named, right)).map(({ name }) => name)
  const { id, attributes, defaultClientScopes, serviceAccountsEnabled, fullScopeAllowed, clientId } = item
  const account =
    relay && serviceAccountsEnabled
      ? await api.get(`${api.base}/clients/${id}/service-account-user`, Account, 'view-clients')
      : undefined
  return {
    id,
    settings: settingsOf(item, attributes),
    audience: audienceMapper(item) ? 'own' : defaultClientScopes.includes('roles') ? 'by scope' : undefined,
    granted:
      relay && account ? await names(`/users/${account.id}/role-mappings/clients/${relay.id}`, 'view-users') : [],
    scope:
      fullScopeAllowed || clientId !== CONSOLE
        ? undefined
        : relay
          ? await names(`/clients/${id}/scope-mappings/clients/${relay.id}`, 'view-clients')
          : [],
  }
}

function settingsOf(item: ClientItem, attributes: Readonly<Record<string, string>>): Record<string, Was> {
  const fields = Object.entries(item).flatMap(([name, value]) => {
    const { data } = Setting.safeParse(value)
    return data === undefined ? [] : [[name, data] as const]
  })
  const named = Object.entries(attributes).map(([name, value]) => [`attributes.${name}`, value] as const)
  return Object.fromEntries([...fields, ...named])
}

function audienceMapper({ protocolMappers }: ClientItem) {
  return protocolMappers.find(
    ({ protocolMapper, config }) =>
      protocolMapper === 'oidc-audience-mapper' && config['included.client.audience'] === RELAY,
  )
}

async function isInstalled(api: RealmApi): Promise<boolean> {
  const { json } = await api.send('/admin/serverinfo', { right: 'view-realm' })
  return ServerInfo.safeParse(json).data?.providers.eventsListener.providers[LISTENER] !== undefined
}

function madeBefore(text = '{}'): Record<string, Was> {
  try {
    return MadeBefore.parse(JSON.parse(text))
  } catch {
    return {}
  }
}
