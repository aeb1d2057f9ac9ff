import { Browser } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import { until } from '../stage/process.ts'
import type { Attack } from './attack.ts'
import { tokensOf } from './broker.ts'
import { CIBA_APP } from './clients.ts'
import type { Target } from './target.ts'
import { Thief } from './thief.ts'
import { Victim } from './victim.ts'

/** What a grant gives, if it gives anything that counts. */
async function tokensBy(target: Target, form: Record<string, string>, spelled?: string): Promise<string[]> {
  const answer = await target.tokens.ask(form, spelled)
  return answer.status === 200 && (await target.livesOf(answer.json())).length > 0 ? ['tokens'] : []
}

function must<T>(answer: { status: number; text: string; json: () => T }, what: string): T {
  if (answer.status < 200 || answer.status > 299) {
    throw new Error(`${what}: ${answer.status} ${answer.text}`)
  }
  return answer.json()
}

/** A device that this browser approves, if it may; answers how the device comes for its tokens. */
export async function approvedDevice(target: Target, thief: Thief): Promise<() => Promise<string[]>> {
  const answer = await call<{ device_code: string; verification_uri_complete: string }>(
    'POST',
    target.endpoint('auth/device'),
    { form: { client_id: 'flows-app', scope: 'openid' } },
  )
  const { device_code, verification_uri_complete } = must(answer, 'device authorization')
  await thief.submit(await thief.open(verification_uri_complete), { accept: 'Yes' })
  const grant_type = 'urn:ietf:params:oauth:grant-type:device_code'
  return () => tokensBy(target, { client_id: 'flows-app', grant_type, device_code })
}

/** A request that somebody has approved on another device (CIBA); answers how the client comes for its tokens. */
export async function approvedRequest(
  target: Target,
  name: string,
  spelled?: string,
): Promise<() => Promise<string[]>> {
  const { ciba } = target.parts
  const before = ciba.said()
  const form = { ...CIBA_APP, scope: 'openid', login_hint: name }
  const answer = await call<{ auth_req_id: string }>('POST', target.endpoint('ext/ciba/auth'), { form })
  const { auth_req_id } = must(answer, 'backchannel authentication')
  await until('the device has said yes', () => ciba.said() > before)
  return () => tokensBy(target, { ...CIBA_APP, grant_type: 'urn:openid:params:grant-type:ciba', auth_req_id }, spelled)
}

/** What an approved request gives after a reset. */
async function fetchAfter(target: Target, name: string, spelled?: string): Promise<string[]> {
  const victim = await Victim.create(target, name)
  const fetch = await approvedRequest(target, name, spelled)
  await victim.reset()
  return fetch()
}

export const GRANTS: readonly Attack[] = [
  {
    id: 'code',
    family: 'grants',
    title: 'A code from before gives no tokens after',
    tries: 'has a code issued before the reset, and redeems it after',
    loot: ['tokens'],
    quick: 1,
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const back = await victim.logIn(new Browser())
      await victim.reset()
      return tokensOf(target, back)
    },
  },
  {
    id: 'code-in-that-second',
    family: 'grants',
    title: 'A code from the very second of the reset gives no tokens after it',
    tries: 'has a code issued right before the reset, and redeems it right after',
    loot: ['tokens'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const back = await victim.logIn(new Browser())
      await victim.resetNow()
      return tokensOf(target, back)
    },
  },
  {
    id: 'device',
    family: 'grants',
    title: 'A device that was approved before gets no tokens after',
    tries: 'approves a device before the reset, and fetches its tokens after',
    loot: ['tokens'],
    run: async (target, name) => {
      const victim = await Victim.create(target, name)
      const thief = new Thief()
      await victim.logIn(thief.browser)
      const fetch = await approvedDevice(target, thief)
      await victim.reset()
      return fetch()
    },
  },
  {
    id: 'ciba',
    family: 'grants',
    title: 'A request that was approved on another device before (CIBA) gives no tokens after',
    tries: 'approves a backchannel authentication before the reset, and fetches its tokens after',
    loot: ['tokens'],
    run: (target, name) => fetchAfter(target, name),
  },
  {
    id: 'ciba-slash',
    family: 'grants',
    title: 'Nor does it at the token endpoint spelled in another way',
    tries: 'does the same, and fetches the tokens at `token/`',
    loot: ['tokens'],
    run: (target, name) => fetchAfter(target, name, 'token/'),
  },
]
