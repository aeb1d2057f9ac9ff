import { z } from 'zod'
import { type Application, CLIENT_ATTRIBUTES } from './realm.ts'

export const flag = z.boolean().nullish().transform(Boolean)

/** A client as Keycloak's Admin API has it, as far as it says what its application keeps. */
export const ApplicationItem = z.object({
  clientId: z.string(),
  enabled: flag,
  protocol: z.string().nullish(),
  publicClient: flag,
  bearerOnly: flag,
  standardFlowEnabled: flag,
  implicitFlowEnabled: flag,
  directAccessGrantsEnabled: flag,
  rootUrl: z.string().nullish(),
  // Only those that are named: a client's secret and a SAML client's private key come along, and end here.
  attributes: z.object(Object.fromEntries(CLIENT_ATTRIBUTES.map((name) => [name, z.string().nullish()]))).default({}),
})

export function applicationOf(item: z.infer<typeof ApplicationItem>): Application {
  return {
    clientId: item.clientId,
    enabled: item.enabled,
    protocol: item.protocol ?? 'openid-connect',
    publicClient: item.publicClient,
    bearerOnly: item.bearerOnly,
    standardFlow: item.standardFlowEnabled,
    implicitFlow: item.implicitFlowEnabled,
    directGrants: item.directAccessGrantsEnabled,
    rootUrl: item.rootUrl ?? '',
    attributes: Object.fromEntries(Object.entries(item.attributes).filter(([, value]) => value)),
  }
}
