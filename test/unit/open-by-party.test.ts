import { expect, test } from 'vitest'
import { openByParty, unknownWords, whyOpen } from '../../relay/cli/open-by-party.ts'

/** One that has a reason has been attempted. */
async function* listed(
  ...rows: readonly (readonly [client_id: string, created_at_ms: number, last_reason?: string])[]
) {
  for (const [client_id, created_at_ms, last_reason] of rows) {
    const attempts = Number(last_reason !== undefined)
    yield await Promise.resolve({
      ...{ client_id, created_at_ms, attempts },
      ...(last_reason === undefined ? {} : { last_reason }),
    })
  }
}

test('each relying party is one line, with its oldest and why, oldest first', async () => {
  const rows = listed(['wiki', 30, 'timeout'], ['shop', 20], ['wiki', 10, 'rejected'], ['wiki', 40, 'tls'])
  expect(await openByParty(rows)).toEqual([
    { client_id: 'wiki', open: 3, oldest_at_ms: 10, last_reason: 'rejected' },
    { client_id: 'shop', open: 1, not_asked: 1, oldest_at_ms: 20, last_reason: '' },
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
      { client_id: 'wiki', open: 1, unknown_there: 2, oldest_at_ms: 20, last_reason: 'timeout' },
      { client_id: 'mail', open: 0, unknown_there: 1, oldest_at_ms: 1, last_reason: unknown },
    ])
    expect([unknownWords(1), unknownWords(2)]).toEqual([
      expect.stringMatching(/^1 session that it no longer has/),
      expect.stringMatching(/^2 sessions that/),
    ])
  },
)

test('who was never asked is not said to have given no answer', async () => {
  const rows = listed(['wiki', 30], ['wiki', 10, 'rejected'], ['shop', 20], ['mail', 5, 'timeout'])
  expect((await openByParty(rows)).map((one) => [one.client_id, one.not_asked ?? 0, whyOpen(one)])).toEqual([
    ['mail', 0, 'timeout'],
    ['wiki', 1, 'rejected  1 not asked yet'],
    ['shop', 1, 'not asked yet'],
  ])
})
