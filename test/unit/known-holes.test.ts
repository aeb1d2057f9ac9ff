import { describe, expect, test } from 'vitest'
import { HOLES, knownHoles, upgrade } from '../../relay/idp/keycloak/audit/known-holes.ts'

const open = (version: string) => knownHoles(version)?.open.map(({ id }) => id)

describe('which published holes a release of Keycloak has', () => {
  test.each<[string, string, readonly string[]]>([
    ['the newest known', '26.7.3', []],
    ['the newest known, of a vendor', '26.7.3.redhat-00001', []],
    ['a later patch', '26.7.4.redhat-00001', []],
    ['a later patch with two digits', '26.7.10', []],
    ['a later line', '26.8.0', []],
    ['a later line, of a major number more', '27.0.0', []],
    ['the one before', '26.7.2', ['CVE-2026-16089', 'CVE-2026-18218']],
    [
      'by which anybody sets a password',
      '26.7.1',
      ['CVE-2026-18963', 'CVE-2026-15571', 'CVE-2026-16089', 'CVE-2026-18218'],
    ],
    [
      'the first of its line',
      '26.7.0',
      ['CVE-2026-16442', 'CVE-2026-18963', 'CVE-2026-15571', 'CVE-2026-16089', 'CVE-2026-18218'],
    ],
    [
      'the last of 26.6 that Keycloak published',
      '26.6.4',
      ['CVE-2026-16442', 'CVE-2026-18963', 'CVE-2026-15571', 'CVE-2026-16089', 'CVE-2026-18218'],
    ],
    ['a patch of 26.6 that vendors build', '26.6.7', []],
    [
      'one of a line that has no entry, in a hole of the grant that came with it',
      '26.4.15',
      ['CVE-2026-15571', 'CVE-2026-16089', 'CVE-2026-18218'],
    ],
  ])('%s (%s)', (_, version, ids) => {
    expect(open(version)).toEqual(ids)
  })

  test('the last of a line that got no more has what was found later', () => {
    const found = open('26.5.7') ?? []
    expect(found).toEqual(
      expect.arrayContaining(['CVE-2026-7507', 'CVE-2026-9802', 'CVE-2026-11800', 'CVE-2026-18963']),
    )
    expect(found).not.toEqual(expect.arrayContaining(['CVE-2026-4325']))
    expect(open('26.5.6')).toEqual(expect.arrayContaining(['CVE-2026-4325', 'CVE-2026-4282', ...found]))
  })

  test('26.5.0 has all but those that were mended before it', () => {
    expect(open('26.5.0')).toEqual(HOLES.map(({ id }) => id).filter((id) => id !== 'keycloak#43853'))
  })

  test('a line from before all of them has all but those of what it does not have yet', () => {
    const later = HOLES.filter(({ since }) => since !== undefined).map(({ id }) => id)
    expect(later.length).toBeGreaterThan(1)
    expect(open('25.0.6')).toEqual(HOLES.map(({ id }) => id).filter((id) => !later.includes(id)))
  })

  test.each(['999.0.0-SNAPSHOT', '26.7.3-SNAPSHOT', 'nightly', '', 'UNKNOWN', '26.7', '26.7.x', ' 26.7.3', undefined])(
    'of %j nobody can say',
    (version) => {
      expect(knownHoles(version)).toBeUndefined()
    },
  )
})

describe('what mends them', () => {
  test.each<[string, string]>([
    ['26.7.1', 'upgrade to 26.7.3 or newer'],
    ['26.6.4', 'upgrade to 26.7.3 or newer; 26.6.7 is enough, but comes from vendors alone'],
    ['26.5.7', 'upgrade to 26.7.3 or newer; 26.6.7 is enough, but comes from vendors alone'],
    ['26.4.11.redhat-00001', 'upgrade to 26.7.3 or newer; 26.6.7 is enough, but comes from vendors alone'],
  ])('of %s: %s', (version, says) => {
    const verdict = knownHoles(version)
    expect(verdict && upgrade(verdict)).toBe(says)
  })

  test.each<[string, string, string]>([
    ['on its own line', '26.5.0', '26.5.7'],
    ['on its own line, too', '26.4.7', '26.4.11'],
    ['with the line itself', '26.3.5', '26.4.11'],
  ])('a single one: %s', (_, version, goneIn) => {
    expect(knownHoles(version)?.open.find(({ id }) => id === 'CVE-2026-4325')?.goneIn).toBe(goneIn)
  })

  test('a single one, on the next line where its own got nothing', () => {
    expect(knownHoles('26.5.7')?.open.find(({ id }) => id === 'CVE-2026-7507')?.goneIn).toBe('26.6.2')
  })

  test('each release that is named has none of those for which it is named', () => {
    for (const version of ['25.0.6', '26.4.0', '26.5.0', '26.6.0', '26.7.0']) {
      const verdict = knownHoles(version)
      expect([version, verdict?.open.length]).not.toEqual([version, 0])
      expect(open(verdict?.upgradeTo ?? '')).toEqual([])
      expect(open(verdict?.soonest ?? '')).toEqual([])
      for (const { id, goneIn } of verdict?.open ?? []) {
        expect([goneIn, open(goneIn)?.includes(id)]).toEqual([goneIn, false])
      }
    }
  })
})

test('each hole is named once, by a CVE or by its own issue, and says what it lets live', () => {
  expect(new Set(HOLES.map(({ id }) => id)).size).toBe(HOLES.length)
  for (const { id, issue, lives } of HOLES) {
    expect(id).toMatch(new RegExp(`^(CVE-20\\d\\d-\\d{4,}|keycloak#${issue})$`))
    expect(lives).toMatch(/^[a-zA-Z].*[^.]$/)
  }
})
