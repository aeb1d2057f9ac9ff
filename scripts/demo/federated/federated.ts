import type { Run } from '../run.ts'
import { applications } from '../world.ts'
import { held, play } from './story.ts'
import { table } from './table.ts'
import { type FederatedWorld, startFederated } from './world.ts'

/** Two realms, the second of which takes its logins from the first, and a directory behind the first. */
export async function federated(run: Run, version: string | undefined): Promise<void> {
  const world = await startFederated(run, version)
  if (run.json) {
    run.print(JSON.stringify(ready(world)))
  }
  const story = await play(world, run.progress)
  run.tell(
    story,
    story.every(held),
    'What a password that is changed at the beginning of a chain leaves alive',
    table(story),
  )
  await run.end()
}

function ready({ keycloak, staff, main, relay, directory }: FederatedWorld) {
  return {
    ready: true,
    keycloak: { url: keycloak.url },
    relay: { url: relay.url },
    directory: directory && { kind: directory.kind, url: directory.federation.config['connectionUrl']?.[0] },
    relyingParties: [staff, main].flatMap((realm) =>
      applications(realm).map(({ clientId, url }) => ({ realm: realm.admin.realm, clientId, url })),
    ),
  }
}
