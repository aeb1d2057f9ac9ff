import { expect, test } from 'vitest'
import { openByParty, unknownWords } from '../../relay/cli/open-by-party.ts'

async function* listed(...rows: readonly (readonly [client_id: string, created_at: number, last_reason?: string])[]) {
  for (const [client_id, created_at, last_reason] of rows) {
    yield await Promise.resolve({ client_id, created_at, ...(last_reason === undefined ? {} : { last_reason }) })
  }
}

test('each relying party is one line, with its oldest and why, oldest first', async () => {
  const rows = listed(['wiki', 30, 'timeout'], ['shop', 20], ['wiki', 10, 'rejected'], ['wiki', 40, 'tls'])
  expect(await openByParty(rows)).toEqual([
    { client_id: 'wiki', open: 3, oldest_at: 10, last_reason: 'rejected' },
    { client_id: 'shop', open: 1, oldest_at: 20, last_reason: '' },
  ])
})

test.each([
  ['before', [5, 7]],
  ['after', [50, 70]],
])(
  'sessions that a relying party is shown not to know are counted apart, and are no oldest (owed %s)',
  async (_, [a = 0, b = 0]) => {
    const unknown = 'unknown_there:sid+sub'
    const rows = listed(['wiki', a, unknown], ['wiki', 20, 'timeout'], ['wiki', b, unknown], ['mail', 1, unknown])
    expect(await openByParty(rows)).toEqual([
      { client_id: 'wiki', open: 1, unknown_there: 2, oldest_at: 20, last_reason: 'timeout' },
      { client_id: 'mail', open: 0, unknown_there: 1, oldest_at: 1, last_reason: unknown },
    ])
    expect([unknownWords(1), unknownWords(2)]).toEqual([
      expect.stringMatching(/^1 session that it no longer has/),
      expect.stringMatching(/^2 sessions that/),
    ])
  },
)
