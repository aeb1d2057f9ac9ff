import { expect, test } from 'vitest'
import { held, type Line } from '../../scripts/demo/federated/story.ts'
import { table } from '../../scripts/demo/federated/table.ts'

const DEAD: Line = {
  ...{ act: 'a reset', access: 'browser session', realm: 'main', clientId: 'express-app', expected: 'dead' },
  ...{ aliveBefore: true, aliveAfter: false, deadAfterMs: 40, deadAfterNewLogin: true },
  ...{
    trigger: 'upstream-logout',
    txn: 'txn-of-the-first',
    told: { trigger: 'upstream-logout', txn: 'txn-of-the-first' },
  },
}
const { deadAfterMs: _, deadAfterNewLogin: __, trigger: ___, txn: ____, told: _____, ...rest } = DEAD
const ALIVE: Line = { ...rest, expected: 'alive', aliveAfter: true }

test('a line of the federated demo is as it must be only if all of it is', () => {
  expect([DEAD, ALIVE].map(held)).toEqual([true, true])
  const { txn: _, ...untold } = DEAD
  const { told: __, ...unknown } = DEAD
  const wrong: Line[] = [
    { ...DEAD, aliveBefore: false },
    { ...DEAD, aliveAfter: true },
    { ...DEAD, deadAfterNewLogin: false },
    { ...DEAD, txn: 'another' },
    { ...DEAD, trigger: 'upstream-password-changed' },
    untold,
    unknown,
    { ...ALIVE, aliveAfter: false },
    { ...ALIVE, aliveBefore: false },
  ]
  expect(wrong.map(held)).toEqual(wrong.map(() => false))
  expect(table([DEAD, ALIVE])).not.toContain('NOT AS IT SHOULD BE')
  expect(table(wrong).match(/NOT AS IT SHOULD BE/g)).toHaveLength(wrong.length)
})
