import { until } from '../stage/process.ts'
import type { Attack } from './attack.ts'
import { nextSecond, SIGHTS, type Target } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

/** A workflow that disables whoever it is activated for; answers its path. */
async function leavers({ admin }: Target, name: string): Promise<string> {
  const made = await admin.must('POST', '/workflows', { name, steps: [{ uses: 'disable-user' }] })
  const id = String(made.headers['location']).split('/').at(-1) ?? ''
  return `/workflows/${id}`
}

export const WORKFLOW: readonly Attack[] = [
  {
    id: 'workflow-disable',
    family: 'workflow',
    title: 'What a user had who was disabled by a workflow is dead when they are enabled again',
    tries:
      'keeps tokens while a workflow disables the user, and uses them when an administrator has enabled the user again',
    loot: SIGHTS,
    absent: (world) => (world.features.has('workflows') ? undefined : 'workflows are a preview in this version'),
    run: async (target, name) => {
      const { admin } = target
      const victim = await Victim.create(target, name)
      const tokens = await target.tokens.directGrant('flows-app', name, PASSWORD)
      const offline = await target.tokens.directGrant('flows-app', name, PASSWORD, 'openid offline_access')
      const workflow = await leavers(target, name)
      await nextSecond()
      await admin.must('POST', `${workflow}/activate/USERS/${victim.id}`)
      await until('the workflow has disabled the user', async () => (await victim.stored())?.enabled === false)
      await nextSecond()
      await admin.must('PUT', victim.path(), { enabled: true })
      return [...new Set([...(await target.livesOf(tokens)), ...(await target.livesOf(offline))])]
    },
  },
]
