import { laneOf } from '../domain/model.ts'
import type { AttemptLine } from '../flow/ports.ts'

const KEPT = 100

export interface LastAnswer {
  readonly outcome: AttemptLine['outcome']
  readonly reason: string
  readonly durationMs: number
  readonly atMs: number
}

/** The last answers of each relying party since this process started, newest last: what health looks like. */
export class LastAnswers {
  readonly #byLane = new Map<string, LastAnswer[]>()

  add({ issuer, clientId, outcome, reason, durationMs }: AttemptLine, atMs: number): void {
    const lane = laneOf(issuer, clientId)
    let answers = this.#byLane.get(lane)
    if (!answers) {
      this.#byLane.set(lane, (answers = []))
    }
    answers.push({ outcome, reason, durationMs, atMs })
    if (answers.length > KEPT) {
      answers.shift()
    }
  }

  of(issuer: string, clientId: string): readonly LastAnswer[] {
    return this.#byLane.get(laneOf(issuer, clientId)) ?? []
  }
}

/** The time within which this share of them came, from 0 to 1; undefined of none. */
export function quantile(answers: readonly LastAnswer[], share: number): number | undefined {
  const times = answers.map(({ durationMs }) => durationMs).sort((a, b) => a - b)
  return times[Math.max(0, Math.ceil(times.length * share) - 1)]
}
