import { CONSOLE, LISTENER, MODE, OPERATOR, type RealmState, RELAY, type Was } from './state.ts'

/** What the account needs for a request, a role of `realm-management`. */
export type Right = 'manage-realm' | 'manage-clients' | 'manage-users'

/**
 * A request to Keycloak's Admin REST API, below the realm. `{client NAME}`, `{account CLIENT}`, `{role NAME}` and
 * `{mapper CLIENT}` stand for the ids of what has these names once the request is sent.
 */
export interface Change {
  readonly needs: Right
  readonly method: 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  /** A PUT of what is there now, with this laid over it; a null takes a member away. */
  readonly over?: Readonly<Record<string, unknown>>
}

/** Something that is to be in the realm, with how it gets there and away again. */
export interface Part {
  /** As the realm's record of what was made has it. */
  readonly id: string
  /** The client that it is, if it is one. */
  readonly client?: string
  /** What is done to it, and to undo that. */
  readonly verbs: readonly [make: string, unmake: string]
  /** What it is. Neighbours with the same words make one line, with their items at its end. */
  readonly words: string
  readonly item?: string
  /** What the item is set to. */
  readonly to?: string
  /** What is said of it where it is made. */
  readonly how?: string
  /** The clients of ours with which it goes. */
  readonly goesWith: readonly string[]
  readonly isThere: (realm: RealmState) => boolean
  readonly make: (realm: RealmState, id: string) => Change
  /** What is noted before it is made, by default that nothing was there. @param id of what will be made */
  readonly was?: (realm: RealmState, id: string) => Was
  /** Whether there is something to undo, by default where it is there. */
  readonly isToUndo?: (realm: RealmState, was: Was) => boolean
  readonly unmake: (realm: RealmState, was: Was) => Change
}

export interface Wish {
  /** Where people will find the console; without it there is none. */
  readonly console?: string | undefined
  /** Whether sessions are to be ended from now on. */
  readonly enforce?: boolean | undefined
}

/** The roles of the relay's client; docs/security.md says what each can do. */
export const ROLES: readonly (readonly [name: string, description: string])[] = [
  ['outbox', 'Poll the outbox'],
  ['logout-tokens', 'Mint logout tokens for sessions in the outbox'],
  ['answers', 'Report what relying parties answered'],
  ['relying-parties', 'List clients and their logout URLs'],
  ['upstream-events', 'Tell what an identity provider has said of its users'],
  ['view', 'Read containments and deliveries at the relay'],
  ['operate', "Retry deliveries, and end everything of a user on one's own word"],
  ['confirm', "Confirm that many users are meant to be signed out on somebody's word"],
  ['dismiss', 'Give up a delivery at the relay, with a reason'],
  ['guard', "Read the feed of watermarks for the client's own guards, and introspect"],
]
/** All that the relay gets: with them it cannot log in, read a credential or change an account. */
export const OF_RELAY = ['outbox', 'logout-tokens', 'answers', 'relying-parties']
const OF_OPERATOR = ['view', 'operate']
/** What the tokens of people who log in to the console may carry. */
const IN_CONSOLE = ['view', 'operate', 'dismiss']

export const LISTENER_PART = 'listener'

const AUDIENCE_MAPPER = {
  name: 'logout-relay',
  protocol: 'openid-connect',
  protocolMapper: 'oidc-audience-mapper',
  config: { 'included.client.audience': RELAY, 'access.token.claim': 'true', 'introspection.token.claim': 'true' },
}
const CONFIDENTIAL = {
  enabled: true,
  publicClient: false,
  bearerOnly: false,
  clientAuthenticatorType: 'client-secret',
}
// Whoever logs in at a client with logins leaves tokens there that could act.
const SERVICE = { ...CONFIDENTIAL, serviceAccountsEnabled: true, standardFlowEnabled: false }

/** All that a realm needs, in the order in which it is made. */
export function partsOf({ console, enforce = false }: Wish): readonly Part[] {
  return [
    ...clientParts({
      clientId: RELAY,
      how: 'confidential, with a service account and without logins',
      made: { name: 'Logout Relay', standardFlowEnabled: false, serviceAccountsEnabled: true },
      needs: SERVICE,
    }),
    ...ROLES.map(rolePart),
    ...OF_RELAY.map((role) => grantPart(RELAY, role)),
    ...clientParts({
      clientId: OPERATOR,
      how: 'confidential, with a service account and without logins, whose tokens act at the relay',
      made: {
        ...{ name: 'Logout Relay, for operators', standardFlowEnabled: false, serviceAccountsEnabled: true },
        protocolMappers: [AUDIENCE_MAPPER],
      },
      needs: SERVICE,
    }),
    audiencePart(OPERATOR),
    ...OF_OPERATOR.map((role) => grantPart(OPERATOR, role)),
    ...(console === undefined ? [] : consoleParts(console)),
    listenerPart(enforce),
    ...(enforce ? [enforcePart] : []),
  ]
}

function consoleParts(url: string): Part[] {
  const attributes = {
    'backchannel.logout.url': `${url}/backchannel-logout`,
    'backchannel.logout.session.required': 'true',
    'post.logout.redirect.uris': `${url}/bye`,
    'pkce.code.challenge.method': 'S256',
  }
  const redirectUris = [`${url}/callback`]
  return [
    ...clientParts({
      clientId: CONSOLE,
      how: `confidential, for logins at ${url} alone`,
      made: {
        ...{ name: 'Logout Relay console', standardFlowEnabled: true, fullScopeAllowed: false },
        ...{ redirectUris, attributes },
      },
      needs: {
        ...{ ...CONFIDENTIAL, standardFlowEnabled: true, redirectUris },
        ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`attributes.${name}`, value])),
      },
    }),
    ...IN_CONSOLE.map(scopePart),
  ]
}

interface OurClient {
  readonly clientId: string
  readonly how: string
  /** Of Keycloak's ClientRepresentation, where it is made. */
  readonly made: Readonly<Record<string, unknown>>
  /** What one that is there already must have. */
  readonly needs: Readonly<Record<string, Was>>
}

function clientParts({ clientId, how, made, needs }: OurClient): Part[] {
  return [
    {
      ...{ id: `client ${clientId}`, verbs: ['make', 'remove'], words: `client ${clientId}`, how, goesWith: [] },
      client: clientId,
      isThere: ({ clients }) => clients.has(clientId),
      make: (_, id) => onClients('POST', 'clients', { id, clientId, publicClient: false, ...made }),
      was: (_, id) => id,
      isToUndo: ({ clients }, was) => clients.get(clientId)?.id === was,
      unmake: () => onClients('DELETE', `clients/{client ${clientId}}`),
    },
    ...Object.entries(needs).map(([name, value]) => settingPart(clientId, name, value)),
  ]
}

/** Of a client that is there already. */
function settingPart(clientId: string, name: string, value: Was): Part {
  const path = `clients/{client ${clientId}}`
  const set = (to: Was): Change => ({ needs: 'manage-clients', method: 'PUT', path, over: settingAs(name, to) })
  const now = ({ clients }: RealmState) => clients.get(clientId)?.settings[name] ?? null
  return {
    ...{ id: `setting ${clientId} ${name}`, verbs: ['set', 'put back'], words: `settings of client ${clientId}` },
    item: name.replace(/^attributes\./, ''),
    to: String(value),
    goesWith: [clientId],
    isThere: (realm) => !realm.clients.has(clientId) || holds(now(realm), value),
    make: (realm) => set(typeof value === 'object' ? [...listOf(now(realm)), ...listOf(value)] : value),
    was: now,
    isToUndo: (realm, was) => realm.clients.has(clientId) && JSON.stringify(now(realm)) !== JSON.stringify(was),
    unmake: (_, was) => set(was),
  }
}

function rolePart([name, description]: readonly [string, string]): Part {
  const path = `clients/{client ${RELAY}}/roles`
  return {
    ...{ id: `role ${name}`, verbs: ['make', 'remove'], words: `roles of client ${RELAY}`, item: name },
    goesWith: [RELAY],
    isThere: ({ roles }) => roles.includes(name),
    make: () => onClients('POST', path, { name, description }),
    unmake: () => onClients('DELETE', `${path}/${name}`),
  }
}

function grantPart(clientId: string, role: string): Part {
  const path = `users/{account ${clientId}}/role-mappings/clients/{client ${RELAY}}`
  const body = [{ id: `{role ${role}}`, name: role }]
  return {
    ...{ id: `grant ${clientId} ${role}`, verbs: ['give', 'take'], item: role, goesWith: [clientId, RELAY] },
    words: `to the service account of ${clientId} roles of client ${RELAY}`,
    isThere: ({ clients }) => clients.get(clientId)?.granted.includes(role) === true,
    make: () => ({ needs: 'manage-users', method: 'POST', path, body }),
    unmake: () => ({ needs: 'manage-users', method: 'DELETE', path, body }),
  }
}

function audiencePart(clientId: string): Part {
  const path = `clients/{client ${clientId}}/protocol-mappers/models`
  return {
    ...{ id: `audience ${clientId}`, verbs: ['make', 'remove'], goesWith: [clientId] },
    words: `audience mapper of client ${clientId}`,
    isThere: ({ clients }) => !clients.has(clientId) || clients.get(clientId)?.audience !== undefined,
    make: () => onClients('POST', path, AUDIENCE_MAPPER),
    isToUndo: ({ clients }) => clients.get(clientId)?.audience === 'own',
    unmake: () => onClients('DELETE', `${path}/{mapper ${clientId}}`),
  }
}

function scopePart(role: string): Part {
  const path = `clients/{client ${CONSOLE}}/scope-mappings/clients/{client ${RELAY}}`
  const body = [{ id: `{role ${role}}`, name: role }]
  return {
    ...{ id: `scope ${role}`, verbs: ['give', 'take'], item: role, goesWith: [CONSOLE, RELAY] },
    words: `to the scope of client ${CONSOLE} roles of client ${RELAY}`,
    isThere: ({ clients }) => {
      const there = clients.get(CONSOLE)
      return there !== undefined && (there.scope === undefined || there.scope.includes(role))
    },
    make: () => onClients('POST', path, body),
    isToUndo: ({ clients }) => clients.get(CONSOLE)?.scope?.includes(role) === true,
    unmake: () => onClients('DELETE', path, body),
  }
}

/** One request, so that the listener is never on in another mode than the one that was meant. */
function listenerPart(enforce: boolean): Part {
  const mode = enforce ? 'enforce' : 'shadow'
  const isOn = ({ listeners }: RealmState) => listeners.includes(LISTENER)
  return {
    ...{ id: LISTENER_PART, verbs: ['switch on', 'switch off'], words: `event listener ${LISTENER}`, goesWith: [] },
    how: enforce ? 'resets end sessions from here on' : 'in shadow mode: all is found and told, and nothing ended',
    isThere: isOn,
    make: ({ listeners }) => onRealm({ eventsListeners: [...listeners, LISTENER], attributes: { [MODE]: mode } }),
    was: ({ mode: was }) => was ?? null,
    isToUndo: (realm, was) => isOn(realm) || (realm.mode ?? null) !== was,
    unmake: ({ listeners }, was) =>
      onRealm({ eventsListeners: listeners.filter((one) => one !== LISTENER), attributes: { [MODE]: was } }),
  }
}

const enforcePart: Part = {
  ...{ id: 'mode', verbs: ['set', 'put back'], words: `realm attribute ${MODE}`, goesWith: [] },
  how: 'enforce: resets end sessions from here on',
  isThere: ({ mode, listeners }) => mode !== 'shadow' || !listeners.includes(LISTENER),
  make: () => onRealm({ attributes: { [MODE]: 'enforce' } }),
  was: ({ mode }) => mode ?? null,
  isToUndo: ({ mode }, was) => (mode ?? null) !== was,
  unmake: (_, was) => onRealm({ attributes: { [MODE]: was } }),
}

/** A change of the realm's own settings. */
export function onRealm(over: Readonly<Record<string, unknown>>): Change {
  return { needs: 'manage-realm', method: 'PUT', path: '', over }
}

function onClients(method: Change['method'], path: string, body?: unknown): Change {
  return { needs: 'manage-clients', method, path, ...(body === undefined ? {} : { body }) }
}

function settingAs(name: string, value: Was): Readonly<Record<string, unknown>> {
  const attribute = /^attributes\.(.*)$/.exec(name)?.[1]
  // Keycloak leaves an attribute of a client alone that is not named, and takes one away that is empty.
  return attribute === undefined ? { [name]: value } : { attributes: { [attribute]: value ?? '' } }
}

/** Lists may hold more. */
function holds(now: Was, value: Was): boolean {
  return typeof value === 'object' ? listOf(value).every((one) => listOf(now).includes(one)) : now === value
}

function listOf(value: Was): readonly string[] {
  return typeof value === 'object' ? (value ?? []) : []
}
