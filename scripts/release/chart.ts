import { execFileSync } from 'node:child_process'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { temporary } from '../stage/temporary.ts'

/** Under a name of its own: helm's would be that of the npm package. */
export function packChart(root: string, into: string, version: string): void {
  const folder = temporary('chart')
  const helm = join(root, '.cache', 'helm')
  execFileSync(helm, ['package', join(root, 'deploy', 'helm'), '--destination', folder], { stdio: 'pipe' })
  renameSync(join(folder, `logout-relay-${version}.tgz`), join(into, `logout-relay-chart-${version}.tgz`))
}
