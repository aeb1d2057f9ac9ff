import type { Config } from '../config/config.ts'
import type { Ask } from '../delivery/port.ts'
import { type Finding, findingsOn } from '../domain/finding.ts'
import { RelayError } from '../errors.ts'
import { openKeys, openTransmitter } from '../upstream/open.ts'
import { whatToDo } from '../upstream/whole.ts'

/** Whether what an upstream says could be verified, and its stream comes. Changes nothing there. */
export async function checkUpstream(upstream: Config['upstreams'][number], ask: Ask): Promise<Finding[]> {
  const { name, stream, global_token_revocation, tell } = upstream
  const { ok, todo } = findingsOn(name)
  if (tell && !stream && !global_token_revocation) {
    return []
  }
  const findings = [
    await said('upstream keys', async () => {
      const keys = await openKeys(upstream, ask)()
      await keys.reload?.()
      return []
    }),
  ]
  if (!stream) {
    return global_token_revocation
      ? findings
      : [
          ...findings,
          todo('upstream', 'may say nothing, and is told nothing: give it global_token_revocation, a stream or tell'),
        ]
  }
  const transmitter = openTransmitter(upstream, ask)
  return [
    ...findings,
    transmitter
      ? await said('upstream stream', () => whatToDo(upstream, stream, transmitter))
      : ok(
          'upstream stream',
          'is not looked at, since the relay has no client there: nothing notices when it is silent',
        ),
  ]

  async function said(check: string, look: () => Promise<readonly string[]>): Promise<Finding> {
    try {
      const todos = await look()
      return todos.length === 0 ? ok(check, 'can be had') : todo(check, todos.join('; '))
    } catch (cause) {
      return todo(check, cause instanceof RelayError ? cause.message : 'cannot be read')
    }
  }
}
