import type { KeysOf } from '../ingest/set.ts'
import type { RelyingParties } from '../registry/registry.ts'
import type { Selection, Store } from '../store/port.ts'
import type { LastAnswers } from './answers.ts'
import type { ConsoleClient } from './login.ts'

export interface ConsolePorts {
  readonly client: ConsoleClient
  readonly store: Pick<Store, 'containments' | 'containment' | 'deliveries' | 'open'>
  readonly relyingParties: Pick<RelyingParties, 'list'>
  readonly answers: LastAnswers
  readonly keysOf: KeysOf
  readonly flow: {
    retryNow(selection: Selection, by: string): Promise<number>
    dismiss(selection: Selection, by: string, reason: string): Promise<number>
  }
  /** What is configured, by name, without anything secret. */
  readonly settings: readonly (readonly [name: string, value: string])[]
  readonly nowMs: () => number
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}
