import { randomUUID } from 'node:crypto'
import type { Job } from '../../test/real/jobs.ts'
import { nextSecond } from '../attack/target.ts'

/** A token without a session, one with a session, a refresh token. */
export type Lives = readonly [boolean, boolean, boolean]

export const ALIVE: Lives = [true, true, true]
export const DEAD: Lives = [false, false, false]
const REFRESHED: Lives = [false, false, true]
const WITHOUT_SESSION: Lives = [true, false, false]

/** What happens to a workload, and what becomes of the tokens that it has. */
export interface WorkloadAct {
  readonly what: string
  readonly act: (job: Job) => Promise<unknown>
  /** What takes it back; by then everything must be dead, on a stock Keycloak too. */
  readonly back?: (job: Job) => Promise<unknown>
  /** The trigger that is told; without one nothing is. */
  readonly trigger?: string
  /** What lives on a stock Keycloak. */
  readonly stock: Lives
  /** Why what lives there lives with the extension as well. */
  readonly livesBecause?: string
}

const attribute = (name: string, value: string) => (job: Job) => job.put({ attributes: { [name]: value } })
const account = (job: Job) => `/users/${job.account}`

/** The old key of the realm with this setting, once there is a newer one. */
const oldKey = (setting: Record<string, string[]>) => async (job: Job) => {
  const { id, key } = await job.place.activeKey()
  await job.place.addKey()
  await job.admin.must('PUT', `/components/${id}`, { ...key, config: { ...key.config, ...setting } })
}

export const WORKLOAD_ACTS: readonly WorkloadAct[] = [
  {
    what: 'a new secret that Keycloak makes',
    trigger: 'client-secret-changed',
    act: (job) => job.newSecret(),
    stock: ALIVE,
  },
  {
    what: 'a new secret that an administrator sets',
    trigger: 'client-secret-changed',
    act: (job) => job.setSecret(randomUUID()),
    stock: ALIVE,
  },
  {
    what: 'a new secret that comes by the registration API',
    trigger: 'client-secret-changed',
    act: (job) => job.register({ secret: randomUUID() }),
    stock: ALIVE,
  },
  {
    what: 'a client that is made public',
    trigger: 'client-authentication-changed',
    act: (job) => job.put({ publicClient: true }),
    stock: ALIVE,
  },
  {
    what: 'another way for the client to prove itself',
    trigger: 'client-authentication-changed',
    act: async (job) => {
      await job.put({ clientAuthenticatorType: 'client-jwt' })
      await job.put({ clientAuthenticatorType: 'client-secret' })
    },
    stock: ALIVE,
  },
  {
    what: 'other keys for private_key_jwt',
    trigger: 'client-keys-changed',
    act: attribute('jwks.string', '{"keys":[]}'),
    stock: ALIVE,
  },
  {
    what: 'another URL for the keys of private_key_jwt',
    trigger: 'client-keys-changed',
    act: attribute('jwks.url', 'https://job.example.org/keys'),
    stock: ALIVE,
  },
  {
    what: 'another certificate for private_key_jwt',
    trigger: 'client-keys-changed',
    act: (job) => job.admin.must('POST', `${job.path}/certificates/jwt.credential/generate`),
    stock: ALIVE,
  },
  {
    what: 'another subject for mTLS',
    trigger: 'client-keys-changed',
    act: attribute('x509.subjectdn', 'CN=another'),
    stock: ALIVE,
  },
  {
    what: 'a client that is disabled, and enabled again',
    trigger: 'client-disabled',
    act: (job) => job.put({ enabled: false }),
    back: async (job) => {
      await nextSecond()
      await job.put({ enabled: true })
    },
    stock: ALIVE,
  },
  {
    what: 'service accounts that are switched off, and on again',
    trigger: 'client-service-account-off',
    act: (job) => job.put({ serviceAccountsEnabled: false }),
    back: (job) => job.put({ serviceAccountsEnabled: true }),
    stock: WITHOUT_SESSION,
  },
  {
    what: 'a service account that is disabled, and enabled again',
    trigger: 'account-disabled',
    act: (job) => job.admin.must('PUT', account(job), { enabled: false }),
    back: async (job) => {
      await nextSecond()
      await job.admin.must('PUT', account(job), { enabled: true })
    },
    stock: ALIVE,
  },
  {
    what: 'a service account that is signed out',
    trigger: 'admin-logout',
    act: (job) => job.admin.must('POST', `${account(job)}/logout`),
    stock: DEAD,
  },
  {
    what: 'a service account that is given a privileged role',
    trigger: 'privileged-role-added',
    act: async (job) => {
      const management = await job.admin.clientUuid('realm-management')
      const role = (await job.admin.must('GET', `/clients/${management}/roles/manage-users`)).json()
      await job.admin.must('POST', `${account(job)}/role-mappings/clients/${management}`, [role])
    },
    stock: ALIVE,
  },
  {
    what: 'a client that is deleted',
    trigger: 'client-deleted',
    act: (job) => job.admin.must('DELETE', job.path),
    stock: DEAD,
  },
  {
    what: "the client's not-before, and its way back",
    act: async (job) => {
      await nextSecond()
      await job.put({ notBefore: Math.floor(Date.now() / 1000) })
    },
    back: (job) => job.put({ notBefore: 0 }),
    stock: ALIVE,
  },
  {
    what: 'a not-before that is pushed',
    act: (job) => job.admin.must('POST', `${job.path}/push-revocation`),
    stock: ALIVE,
    livesBecause: 'it sends what not-before is set to, and none is',
  },
  {
    what: 'another registration access token',
    act: (job) => job.admin.must('POST', `${job.path}/registration-access-token`),
    stock: ALIVE,
    livesBecause: 'no token was had by it',
  },
  {
    what: 'other settings of the client',
    act: (job) =>
      job.put({
        description: 'other',
        redirectUris: ['https://job.example.org'],
        attributes: { 'use.jwks.url': 'false' },
      }),
    stock: ALIVE,
    livesBecause: 'what it proves itself by is as before',
  },
  {
    what: 'another key of the realm, with the old one passive',
    act: oldKey({ active: ['false'] }),
    stock: ALIVE,
    livesBecause: 'a passive key still verifies',
  },
  {
    what: 'the old key of the realm disabled',
    act: oldKey({ enabled: ['false'] }),
    stock: REFRESHED,
    livesBecause: 'refresh tokens are signed with another key',
  },
]

/**
 * After everything else in a realm: Keycloak before 26.6.7 and 26.7.3 heeds no not-before of a client where the realm has an
 * older one (CVE-2026-18218).
 */
export const LAST_WORKLOAD_ACTS: readonly WorkloadAct[] = [
  {
    what: "the realm's not-before, and its way back",
    act: async (job) => {
      await nextSecond()
      await job.admin.must('PUT', '', { notBefore: Math.floor(Date.now() / 1000) })
    },
    back: (job) => job.admin.must('PUT', '', { notBefore: 0 }),
    stock: ALIVE,
  },
]
