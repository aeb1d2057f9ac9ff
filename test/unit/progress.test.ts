import { expect, test } from 'vitest'
import { openProgress } from '../../relay/cli/relay.ts'

function watched(json: boolean, isTTY: boolean) {
  let written = ''
  let nowMs = 0
  const progress = openProgress(json, { isTTY, write: (text) => (written += text) }, () => nowMs)
  return { progress, written: () => written, wait: (ms: number) => (nowMs += ms) }
}

test('on a terminal how far it is is one line, written over and taken away for a result', () => {
  const { progress, written } = watched(false, true)
  progress.say('1 of 2: alice')
  progress.say('2 of 2: bob')
  progress.clear()
  progress.clear()
  expect(written()).toBe('\r\u001b[K1 of 2: alice\r\u001b[K2 of 2: bob\r\u001b[K')
})

test('elsewhere it is a line every ten seconds, and none for what is done sooner', () => {
  const { progress, written, wait } = watched(false, false)
  for (const n of [1, 2, 3, 4]) {
    progress.say(`${n} of 4`)
    progress.clear()
    wait(6000)
  }
  expect(written()).toBe('3 of 4\n')
})

test('with --json nothing is said, on a terminal either', () => {
  const { progress, written, wait } = watched(true, true)
  progress.say('1 of 2')
  wait(60_000)
  progress.say('2 of 2')
  progress.clear()
  expect(written()).toBe('')
})

test('a name that would drive the terminal is shown without its power', () => {
  const { progress, written } = watched(false, true)
  progress.say('1 of 1: \u001b[2Jmallory')
  expect(written()).toBe('\r\u001b[K1 of 1: ?[2Jmallory')
})
