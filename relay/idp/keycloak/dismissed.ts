import { type Dismissals, dismissalsOf } from '../../domain/decision.ts'
import type { Directory } from '../../domain/directory.ts'
import type { UpstreamHeld } from '../../domain/model.ts'
import type { RealmLogout } from './realm-logouts.ts'

/** What somebody has let go in the realm; nothing where the extension does not tell. */
export function dismissedIn(realm: {
  readonly directories?: readonly Directory[] | undefined
  readonly upstreams?: readonly UpstreamHeld[] | undefined
  readonly realm_logouts?: readonly RealmLogout[] | undefined
}): { readonly dismissed?: Dismissals } {
  const { directories, upstreams, realm_logouts } = realm
  return (directories ?? upstreams ?? realm_logouts)
    ? {
        dismissed: {
          ...dismissalsOf('directory_dismissed', directories ?? [], ({ name }) => ({ directory: name })),
          ...dismissalsOf('upstream_dismissed', upstreams ?? [], ({ issuer }) => ({ upstream: issuer })),
          ...dismissalsOf('realm_logout_dismissed', realm_logouts ?? [], ({ atMs }) => ({
            signed_out_at: new Date(atMs).toISOString(),
          })),
        },
      }
    : {}
}
