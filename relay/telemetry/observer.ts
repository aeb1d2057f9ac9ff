import { type Logger, pino } from 'pino'
import type { Metrics } from './metrics.ts'
import type { LastAnswers } from './answers.ts'
import { weakens } from '../domain/change.ts'
import { isProvider } from '../domain/provider.ts'
import type { Observer } from '../flow/ports.ts'

export function makeLog(level: string): Logger {
  // Its level as a word, as everybody has it but pino.
  const formatters = { level: (label: string) => ({ level: label }) }
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters })
}

/** One wide line for each attempt, and the same facts as metrics. */
export function makeObserver(log: Logger, metrics: Metrics, answers: LastAnswers, nowMs: () => number): Observer {
  return {
    received: (source, outcome) => metrics.events.inc({ source, outcome }),
    attempted: (line) => {
      answers.add(line, nowMs())
      metrics.attempts.inc({ client_id: line.clientId, outcome: line.outcome, reason: line.reason })
      metrics.attemptSeconds.observe(line.durationMs / 1000)
      if (line.outcome === 'delivered') {
        metrics.deliveredSeconds.observe(line.owedForMs / 1000)
      }
      log[line.outcome === 'delivered' ? 'info' : 'warn'](
        { ...line, durationMs: Math.round(line.durationMs) },
        'attempt',
      )
    },
    watched: (issuer, { logins, failedLogins, refusedRefreshes }) => {
      metrics.watched.inc({ issuer, sight: 'login' }, logins)
      metrics.watched.inc({ issuer, sight: 'failed_login' }, failedLogins)
      metrics.watched.inc({ issuer, sight: 'refused_refresh' }, refusedRefreshes)
      log.warn({ issuer, logins, failedLogins, refusedRefreshes }, 'A privileged subject was seen soon after an event')
    },
    refusedAfter: (issuer, refused) => {
      for (const { use, clientId, count } of refused) {
        metrics.refusedAfter.inc({ issuer, use }, count)
        log.warn({ issuer, use, clientId, count }, 'Something from before an event was used, and refused')
      }
    },
    dismissed: (issuer, count) => {
      metrics.dismissed.inc({ issuer }, count)
      log.warn({ issuer, count }, 'Deliveries were dismissed; the evidence of their containments says by whom and why')
    },
    lane: ({ issuer, clientId, state, failures }) => {
      const who = isProvider(clientId) ? 'An identity provider' : 'A relying party'
      metrics.laneProbed.set({ issuer, client_id: clientId }, state === 'probed' ? 1 : 0)
      if (state === 'probed') {
        log.warn({ issuer, clientId, failures }, `${who} fails; it is only probed, and what it is owed waits`)
      } else {
        log.info({ issuer, clientId }, `${who} that failed is ${state}`)
      }
    },
    changed: ({ issuer, kind, clientId }) => {
      const weakening = weakens(kind)
      if (weakening) {
        metrics.weakenings.inc({ issuer, kind })
      }
      log[weakening ? 'warn' : 'info'](
        { issuer, kind, clientId },
        'A change; the console and the API say by whom and why',
      )
    },
    trouble: (what, cause) => {
      metrics.troubles.inc()
      // The message only: a cause may carry a request with its headers.
      log.error({ why: cause instanceof Error ? cause.message : undefined }, what)
    },
  }
}
