import { after, type Breaker, HEALTHY, type LaneState, placesOf, stateOf } from '../domain/breaker.ts'
import { type Answer, type Delivery, laneOf, type Room } from '../domain/model.ts'
import type { Clock, LaneHealth, Registry } from './ports.ts'

interface Lane {
  readonly issuer: string
  readonly clientId: string
  breaker: Breaker
  underWay: number
  /** Places ever given to subjects that are not privileged: every other one goes to what is due since last. */
  given: number
}

/** A lane that is paused is not even probed. */
export const NO_ROOM: Room = { privileged: 0, others: 0, latest: 0 }

/** The lanes of this process: who is under way in each, and how healthy it is. */
export class Lanes {
  readonly #registry: Registry
  readonly #clock: Clock
  readonly #lanes = new Map<string, Lane>()

  constructor(registry: Registry, clock: Clock) {
    this.#registry = registry
    this.#clock = clock
  }

  /** One place more than the cap is kept for privileged subjects, so that they wait for nobody's hung attempt. */
  room(issuer: string, clientId: string): Room {
    const { concurrency } = this.#registry.lane(issuer, clientId)
    if (concurrency === 0) {
      return NO_ROOM
    }
    const { breaker, underWay, given } = this.#of(issuer, clientId)
    const free = placesOf(breaker, this.#clock.nowMs(), concurrency, underWay)
    const others = Math.max(0, free)
    const privileged = stateOf(breaker) === 'probed' ? others : Math.max(0, free + 1)
    return { privileged, others, latest: Math.floor((given + others) / 2) - Math.floor(given / 2) }
  }

  enter({ issuer, clientId, privileged }: Delivery): void {
    const lane = this.#of(issuer, clientId)
    lane.underWay += 1
    lane.given += privileged ? 0 : 1
  }

  leave({ issuer, clientId }: Delivery): void {
    this.#of(issuer, clientId).underWay -= 1
  }

  /** Takes note of an answer. Says what the lane was before. */
  answered({ issuer, clientId }: Delivery, answer: Answer): { was: LaneState; now: LaneHealth } {
    const lane = this.#of(issuer, clientId)
    const was = stateOf(lane.breaker)
    lane.breaker = after(lane.breaker, answer, this.#clock.nowMs(), this.#registry.lane(issuer, clientId).concurrency)
    return { was, now: healthOf(lane) }
  }

  /** Those that are not healthy. */
  unhealthy(): LaneHealth[] {
    return [...this.#lanes.values()].map(healthOf).filter(({ state }) => state !== 'healthy')
  }

  #of(issuer: string, clientId: string): Lane {
    const key = laneOf(issuer, clientId)
    let lane = this.#lanes.get(key)
    if (!lane) {
      this.#lanes.set(key, (lane = { issuer, clientId, breaker: HEALTHY, underWay: 0, given: 0 }))
    }
    return lane
  }
}

function healthOf({ issuer, clientId, breaker }: Lane): LaneHealth {
  const { failures, probeMs } = breaker
  return { issuer, clientId, state: stateOf(breaker), failures, ...(probeMs === undefined ? {} : { probeMs }) }
}
