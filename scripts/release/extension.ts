import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'

// Plugins that nothing else needs are named here and not in the POM, so that no other build has to fetch them.
const SOURCES = 'org.apache.maven.plugins:maven-source-plugin:3.3.1:jar-no-fork'
const BILL_OF_MATERIALS = 'org.cyclonedx:cyclonedx-maven-plugin:2.9.1:makeBom'

/**
 * The jar, its sources and its POM, and what the jar is made of. The jar's name has no version, in a release as elsewhere: one
 * that is copied into `providers/` replaces the one before it, where two would both be loaded.
 *
 * @param root where the sources are; `target` below `extension-config` is made anew
 * @param instant when the commit was made, which the files in the jar bear: the same commit makes the same jar
 */
export function makeExtension(root: string, into: string, instant: string): void {
  const folder = join(root, 'extension-config')
  const properties = [
    '-DskipTests',
    `-Dproject.build.outputTimestamp=${instant}`,
    // Keycloak has what the extension is compiled against, in versions of its own; the jar brings nothing.
    '-DincludeProvidedScope=false',
    '-DoutputFormat=json',
    '-DoutputName=logout-relay-keycloak.cdx',
  ]
  const goals = ['clean', 'package', SOURCES, BILL_OF_MATERIALS]
  execFileSync('mvn', ['-q', '-B', '-Dstyle.color=never', ...properties, ...goals], { cwd: folder, stdio: 'inherit' })
  for (const file of [
    'logout-relay-keycloak.jar',
    'logout-relay-keycloak-sources.jar',
    'logout-relay-keycloak.cdx.json',
  ]) {
    copyFileSync(join(folder, 'target', file), join(into, file))
  }
  copyFileSync(join(folder, 'pom.xml'), join(into, 'logout-relay-keycloak.pom'))
}
