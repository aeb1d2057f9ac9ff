import { z } from 'zod'
import { RelayError } from '../../../errors.ts'
import type { AdminApi } from './admin-api.ts'
import { Forbidden } from '../rest.ts'
import { isOn } from './survive.ts'
import type { RealmDescription, Use, Workloads } from './realm.ts'

const Row = z.object({
  client_id: z.string().optional(),
  kind: z.string(),
  account: z.string(),
  service_account: z.boolean(),
  address: z.string(),
  uses: z.number(),
  first_ms: z.number(),
  last_ms: z.number(),
  hours: z.number().int(),
  days: z.number(),
  refresh_token_ms: z.number().optional(),
  offline_token_ms: z.number().optional(),
})
const Page = z.object({ workloads: z.array(Row), since_ms: z.number().optional(), next: z.string().optional() })

/** The realm with what the extension has counted of its workloads, where there is one that can be asked. */
export async function withWorkloads(api: AdminApi, realm: RealmDescription, nowMs: number): Promise<RealmDescription> {
  return { ...realm, workloads: { readAtMs: nowMs, ...(await readWorkloads(api, realm)) } }
}

async function readWorkloads(api: AdminApi, realm: RealmDescription): Promise<Omit<Workloads, 'readAtMs'>> {
  if (!isOn(realm)) {
    return { uses: [], unread: 'the extension is not on, which counts it' }
  }
  try {
    const uses: Use[] = []
    for (let after = ''; ;) {
      const path = `/realms/${encodeURIComponent(realm.realm)}/logout-relay/workloads${after}`
      const { workloads, since_ms, next } = await api.get(path, Page)
      uses.push(...workloads.map(useOf))
      if (next === undefined) {
        return { uses, ...(since_ms === undefined ? {} : { sinceMs: since_ms }) }
      }
      after = `?after=${encodeURIComponent(next)}`
    }
  } catch (cause) {
    if (!(cause instanceof RelayError) || !['access_denied', 'invalid_request'].includes(cause.code)) {
      throw cause
    }
    return { uses: [], unread: why(cause) }
  }
}

function why(cause: RelayError): string {
  return cause instanceof Forbidden
    ? 'the account lacks the role view-clients of the client realm-management'
    : cause.code === 'access_denied'
      ? 'the extension tells it to an account of this realm alone'
      : 'the extension is older than that'
}

function useOf(row: z.infer<typeof Row>): Use {
  return {
    ...{ clientId: row.client_id, kind: row.kind, account: row.account, isService: row.service_account },
    ...{ address: row.address, count: row.uses, firstMs: row.first_ms, lastMs: row.last_ms, days: row.days },
    hours: [...Array(24).keys()].filter((hour) => (row.hours >> hour) & 1),
    refresh: row.offline_token_ms !== undefined ? 'offline' : row.refresh_token_ms !== undefined ? 'refresh' : 'none',
  }
}
