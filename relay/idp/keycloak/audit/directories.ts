import type { Finding } from './danger.ts'
import type { Federation, RealmDescription, Source } from './realm.ts'

/** Of these what a login is given may change where Keycloak does not see it; one that is always the same does not. */
const GIVES_ROLES = /^(?!.*hardcoded).*(role|group)/

interface Seen {
  /** Whether the extension ends anything in this realm. */
  readonly contained: boolean
  /** Whether it looks at LDAP directories. */
  readonly looks: boolean
  /** What a change that nobody hears leaves alive. */
  readonly unheard: Pick<Finding, 'worst' | 'level'>
}

/** What is not heard of the places outside of the realm in which its users, their passwords and their roles lie. */
export function ofElsewhere(realm: RealmDescription, seen: Seen): Finding[] {
  return [
    ...realm.federations.flatMap((federation) => ofFederation(realm, federation, seen)),
    ...realm.identityProviders.flatMap((provider) => [
      place('identity-provider', 'identity provider', provider, { ...seen.unheard, detail: untold(provider) }),
      ...ofRoles('identity provider', provider, seen),
    ]),
  ]
}

function ofFederation({ policy }: RealmDescription, federation: Federation, seen: Seen): Finding[] {
  const { provider, editMode, imports, vendor } = federation
  const found: Finding[] = []
  const add = (id: Finding['id'], rest: Rest) => found.push(place(id, 'user federation', federation, rest))
  const isLookedAt = seen.looks && provider === 'ldap'
  if (!isLookedAt) {
    add('user-federation', { ...seen.unheard, detail: unheard(federation) })
  } else if (vendor !== 'ad' && !policy['logout-relay.directories.clock']?.trim()) {
    const isReadOnly = editMode === 'READ_ONLY'
    add('directory-clock', {
      worst: undefined,
      level: isReadOnly ? 'medium' : 'low',
      detail: `OpenLDAP tells it with the overlay ppolicy, 389 Directory Server with passwordTrackUpdateTime; \`logout-relay check\` says of how many users it is not told.${isReadOnly ? ' The provider is read-only, so nobody resets such a password through Keycloak either.' : ''}`,
    })
  }
  if (editMode === 'UNSYNCED') {
    const detail = 'Whoever has set a password at Keycloak logs in with it, also after a reset in the directory.'
    add('directory-unsynced', { worst: undefined, level: 'medium', detail })
  }
  if (isLookedAt && !imports) {
    const detail =
      'The extension hears the directory, and events of Keycloak, but no workflow that disables a user there.'
    add('directory-not-imported', { worst: undefined, level: 'low', detail })
  }
  return [...found, ...ofRoles('user federation', federation, seen)]
}

function ofRoles(kind: Finding['kind'], source: Source, { contained }: Seen): Finding[] {
  const mappers = source.mappers.filter((mapper) => GIVES_ROLES.test(mapper))
  const detail = `By: ${mappers.join(', ')}.`
  return contained && mappers.length > 0
    ? [place('roles-from-elsewhere', kind, source, { worst: undefined, level: 'low', detail })]
    : []
}

type Rest = Pick<Finding, 'worst' | 'level' | 'detail'>

function place(id: Finding['id'], kind: Finding['kind'], { name }: Source, rest: Rest): Finding {
  return { id, kind, name, ...rest }
}

/** The relay may be told, which the realm does not know. */
function untold({ provider }: Source): string {
  return `Unless it tells the relay so, a password changed there ends nothing here (${provider}).`
}

function unheard({ provider }: Source): string {
  return `A password changed there ends nothing here (${provider}).`
}
