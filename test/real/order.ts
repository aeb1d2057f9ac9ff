import { basename } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** What takes longest begins first, so that no worker is left alone with it at the end. */
const LONGEST = [
  'nodes',
  'postgres',
  'relay',
  'own-database',
  'tutorial',
  'federated-demo',
  'attack',
  'own-keycloak',
  'setup',
  'operator',
  'console',
  'audit',
  'mend',
  'own-change',
  'containment',
  'triggers',
  'logins',
  'guard',
]

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const n = LONGEST.indexOf(basename(moduleId, '.test.ts'))
      return n < 0 ? LONGEST.length : n
    }
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b))
  }
}
