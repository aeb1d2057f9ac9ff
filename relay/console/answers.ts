import { laneOf } from '../domain/model.ts'
import type { AttemptLine } from '../flow/ports.ts'

const KEPT = 24

export interface LastAnswer {
  readonly outcome: AttemptLine['outcome']
  readonly reason: string
  readonly durationMs: number
  readonly atMs: number
}

/** The last answers of each relying party since this process started, newest last: what health looks like. */
export class LastAnswers {
  readonly #byLane = new Map<string, LastAnswer[]>()

  note({ issuer, clientId, outcome, reason, durationMs }: AttemptLine, atMs: number): void {
    const lane = laneOf(issuer, clientId)
    const before = this.#byLane.get(lane) ?? []
    this.#byLane.set(lane, [...before.slice(1 - KEPT), { outcome, reason, durationMs, atMs }])
  }

  of(issuer: string, clientId: string): readonly LastAnswer[] {
    return this.#byLane.get(laneOf(issuer, clientId)) ?? []
  }
}

/** Half of them were quicker than this. */
export function median(answers: readonly LastAnswer[]): number | undefined {
  return answers.map(({ durationMs }) => durationMs).sort((a, b) => a - b)[Math.floor(answers.length / 2)]
}
