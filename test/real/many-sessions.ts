import { decodeJwt } from 'jose'
import { expect } from 'vitest'
import { copyLedger } from '../../scripts/stage/ledger.ts'
import { until } from '../../scripts/stage/process.ts'
import { NOBODY, type People } from './people.ts'

const PART = 500

/** Resets the password of a person with so many sessions and three more. */
export async function endMany(people: People, sessions: number): Promise<void> {
  const { realm } = people
  const person = await people.loggedIn('everywhere')
  // As many logins would take minutes: these are copies of one, under session ids of their own, in Keycloak's tables...
  const { sid } = decodeJwt<{ sid: string }>(person.mobile.access_token)
  for (const table of ['offline_user_session', 'offline_client_session']) {
    realm.postgres.psql(`insert into ${table} select copy.* from ${table} one, generate_series(1, ${sessions}) n,
      jsonb_populate_record(one, jsonb_build_object('user_session_id', 'copy-${sessions}-' || n)) copy
      where one.user_session_id = '${sid}' and one.offline_flag = '0'`)
  }
  // ...and in the ledger.
  const one = `(select * from logout_relay_ledger where user_id = '${person.user}' limit 1)`
  realm.postgres.psql(copyLedger(`'copy-${sessions}-' || n`, `${one} l, generate_series(1, ${sessions}) n`))
  const live = () =>
    Number(realm.postgres.psql(`select count(*) from offline_user_session where user_id = '${person.user}'`))
  expect(live()).toBe(sessions + 3)
  expect((await people.admin.resetPassword(person.user, 'another')).status).toBe(204)
  // Everything is dead and told while most of it is still stored.
  expect(await person.alive()).toEqual(NOBODY)
  const told = await realm.told(person.user)
  const parts = Math.ceil((sessions + 3) / PART)
  expect(told.map(({ containment }) => containment['parts'])).toEqual(told.map(() => parts))
  expect(new Set(told.map(({ containment }) => containment['part'])).size).toBe(parts)
  expect(new Set(told.flatMap(({ sessions: some }) => some.map(({ sid: one }) => one))).size).toBe(sessions + 3)
  await until('nothing is stored any more', () => Promise.resolve(live() === 0), { seconds: 240 })
}
