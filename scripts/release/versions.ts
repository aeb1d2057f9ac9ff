import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where the version stands: all of it but what is around it. The relay reads its own from package.json as it runs. */
const PLACES: readonly (readonly [file: string, place: RegExp])[] = [
  ['package.json', /(?<="version": ")[^"]+/],
  ['package-lock.json', /(?<="name": "logout-relay",\s+"version": ")[^"]+/g],
  ['guard/package.json', /(?<="version": ")[^"]+/],
  ['extension-config/pom.xml', /(?<=<artifactId>logout-relay-keycloak<\/artifactId>\s*<version>)[^<]+/],
  ['deploy/helm/Chart.yaml', /(?<=^(?:version|appVersion): ).+/gm],
  ['deploy/kubernetes/logout-relay.yaml', /(?<=image: \S+\/logout-relay:).+/],
]

export const FILES = PLACES.map(([file]) => file)

/** The files of the repository that name another version than this one. */
export function namingAnother(root: string, version: string): string[] {
  return PLACES.filter(([file, place]) => {
    const named = readFileSync(join(root, file), 'utf8').match(place) ?? ['none']
    return named.some((each) => each !== version)
  }).map(([file]) => file)
}

export function writeVersion(root: string, version: string): void {
  for (const [file, place] of PLACES) {
    const path = join(root, file)
    writeFileSync(path, readFileSync(path, 'utf8').replace(place, version))
  }
}
