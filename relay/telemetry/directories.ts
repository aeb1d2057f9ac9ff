import { Gauge, type Registry } from 'prom-client'
import { type Directory, directoryState } from '../domain/directory.ts'

interface Shown {
  readonly value: number
  readonly labels?: Readonly<Record<string, string>>
}

/**
 * The directories behind the realms, by issuer, as they were last told. One that is gone, or is asked nothing, has no series
 * to be alarmed about.
 */
export function showDirectories(registry: Registry): Map<string, readonly Directory[]> {
  const told = new Map<string, readonly Directory[]>()
  const gauge = (name: string, help: string, of: (directory: Directory) => Shown | undefined, more: string[] = []) =>
    new Gauge<string>({
      ...{ name, help, labelNames: ['issuer', 'directory', 'directory_id', ...more], registers: [registry] },
      collect() {
        this.reset()
        for (const [issuer, directories] of told) {
          for (const directory of directories) {
            const shown = of(directory)
            if (shown) {
              const { name: directoryName, id } = directory
              this.set({ issuer, directory: directoryName, directory_id: id, ...shown.labels }, shown.value)
            }
          }
        }
      },
    })
  const isAsked = (directory: Directory) => !['off', 'unwatched'].includes(directoryState(directory))
  gauge(
    'logout_relay_directory_state',
    '1 for the state that a directory or another user storage provider is in: watched, failing, held, new, off, unwatched',
    (directory) => ({ value: 1, labels: { state: directoryState(directory) } }),
    ['state'],
  )
  gauge(
    'logout_relay_directory_looked_timestamp_seconds',
    'When all users of a directory with something to end had last been looked at; 0 before the first time',
    (directory) => (isAsked(directory) ? { value: (directory.lookedMs ?? 0) / 1000 } : undefined),
  )
  gauge(
    'logout_relay_directory_failing_timestamp_seconds',
    'Since when a directory cannot be looked at; absent if it can',
    (directory) => (directory.failing && isAsked(directory) ? { value: directory.failing.sinceMs / 1000 } : undefined),
  )
  gauge(
    'logout_relay_directory_held',
    'Users of a directory who have changed at once, and of whom nothing is ended until a person says so',
    (directory) => (isAsked(directory) ? { value: directory.held } : undefined),
  )
  gauge('logout_relay_directory_users', 'Users of the last look at a directory', (directory) =>
    isAsked(directory) ? { value: directory.users } : undefined,
  )
  gauge(
    'logout_relay_directory_users_without_clock',
    'Those of them of whose password the directory tells no time, so that a change of it may not be heard',
    (directory) => (isAsked(directory) ? { value: directory.withoutClock } : undefined),
  )
  return told
}
