import { afterAll, beforeAll, test } from 'vitest'
import { endMany } from '../real/many-sessions.ts'
import { type People, startPeople } from '../real/people.ts'

let people: People

beforeAll(async () => {
  people = await startPeople('many-sessions')
})

afterAll(() => people.stop())

// In small: test/real/triggers.test.ts.
test('5,003 live sessions of one user end in the reset, and are told in parts of 500, each once', async () => {
  await endMany(people, 5000)
}, 400_000)
