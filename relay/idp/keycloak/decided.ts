import { z } from 'zod'
import type { Decided } from '../../domain/decision.ts'

/** What the extension tells of a person's word, beside what it is about (docs/protocol.md). */
export const DECIDED = {
  decision: z.string().optional(),
  decided_ms: z.number().optional(),
  decided_by: z.string().default(''),
  decided_reason: z.string().default(''),
}

interface Said {
  readonly decision?: string | undefined
  readonly decided_ms?: number | undefined
  readonly decided_by: string
  readonly decided_reason: string
}

export function decidedIn({ decision, decided_ms, decided_by, decided_reason }: Said): { readonly decided?: Decided } {
  return decision === undefined || decided_ms === undefined
    ? {}
    : { decided: { decision, atMs: decided_ms, by: decided_by, reason: decided_reason } }
}
