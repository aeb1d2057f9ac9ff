import { knownHoles, upgrade } from '../audit/known-holes.ts'
import { type Finding, findingsOn } from '../../../domain/finding.ts'

/** Whether Keycloak itself lets live what a reset is to end, as far as that is published and this relay knows it. */
export function judgeVersion(issuer: string, version: string): Finding {
  const { ok, todo } = findingsOn(issuer)
  const check = 'keycloak version'
  const verdict = knownHoles(version)
  if (!verdict) {
    return todo(check, `${version} is no release, so nobody can say which published holes it has: run a release`)
  }
  if (verdict.open.length === 0) {
    return ok(check, `${version} has no published hole that this relay knows and by which something outlives a reset`)
  }
  const holes = verdict.open.map(({ id, lives, goneIn }) => `${id}, mended in ${goneIn} (${lives})`).join('; ')
  return todo(
    check,
    `${version} has published holes by which something outlives a reset: ${upgrade(verdict)}. ${holes}`,
  )
}
