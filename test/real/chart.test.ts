import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { parseConfig } from '../../relay/config/config.ts'
import { ROOT } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

const HELM = join(ROOT, '.cache', 'helm')
const CHART = join(ROOT, 'deploy', 'helm')
const LEAST = join(ROOT, 'deploy', 'kubernetes', 'values.yaml')

interface Rendered {
  readonly apiVersion: string
  readonly kind: string
  readonly spec: object
  readonly data?: Readonly<Record<string, string>>
}
interface Pod {
  readonly containers: readonly {
    readonly securityContext: object
    readonly env?: readonly object[]
    readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[]
  }[]
  readonly volumes: readonly { readonly name: string }[]
}

const redis = {
  nodes: ['redis.example.org:6379'],
  password_file: '/run/secrets/logout-relay/redis/password',
  replicas: 1,
}
/** Each with what is beyond the least. */
const VALUES = {
  'one relay on SQLite': {},
  'three relays on Redis, with everything that can be on': {
    replicas: 3,
    image: { tag: '9.9.9', pullSecrets: ['registry'] },
    config: { store: { redis: { ...redis, tls: { ca_file: '/etc/logout-relay-ca/ca.crt' } } } },
    secrets: { redis: 'redis' },
    tlsSecret: 'logout-relay-tls',
    caConfigMap: 'our-ca',
    ingress: {
      enabled: true,
      className: 'nginx',
      host: 'logout-relay.example.org',
      tlsSecret: 'logout-relay-public',
      annotations: { 'nginx.ingress.kubernetes.io/backend-protocol': 'HTTPS' },
    },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    podAnnotations: { a: 'b' },
    podLabels: { team: 'iam' },
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'iam', operator: 'Exists' }],
  },
} as const

function helm(command: readonly string[], values: object) {
  const file = join(temporary('values'), 'values.yaml')
  writeFileSync(file, stringify(values))
  const { status, stdout, stderr } = spawnSync(HELM, [...command, '--values', LEAST, '--values', file], {
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

function render(values: object): Rendered[] {
  const { status, stdout, stderr } = helm(['template', 'logout-relay', CHART], values)
  expect([status, stderr]).toEqual([0, ''])
  return parseAllDocuments(stdout).map((document) => document.toJS() as Rendered)
}

/** What is wrong with it by the schemas of Kubernetes, and of Prometheus' operator. */
async function complaint({ apiVersion, kind, ...rest }: Rendered): Promise<string | undefined> {
  const library = apiVersion.startsWith('monitoring.coreos.com/')
    ? '@kubernetes-models/prometheus-operator'
    : 'kubernetes-models'
  const module = (await import(`${library}/${apiVersion}/${kind}`)) as Record<
    string,
    new (of: object) => { validate(): void }
  >
  const Model = module[kind]
  if (!Model) {
    throw new Error(`${kind} is unknown`)
  }
  try {
    new Model(rest).validate()
    return undefined
  } catch (cause) {
    return `${kind}: ${String(cause)}`
  }
}

const podOf = (all: readonly Rendered[]): Pod => {
  const workload = all.find(({ kind }) => ['StatefulSet', 'Deployment'].includes(kind))
  return (workload?.spec as { template: { spec: Pod } }).template.spec
}

const KINDS = {
  'one relay on SQLite': ['ConfigMap', 'Service', 'StatefulSet'],
  'three relays on Redis, with everything that can be on': [
    'ConfigMap',
    'Deployment',
    'Ingress',
    'PodDisruptionBudget',
    'Service',
    'ServiceMonitor',
  ],
} as const

test.each(Object.keys(VALUES) as (keyof typeof VALUES)[])(
  'helm has nothing against the chart, and Kubernetes takes what it renders for %s',
  async (which) => {
    const values = VALUES[which]
    expect(helm(['lint', '--strict', CHART], values)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(' 0 chart(s) failed') as string,
    })
    const all = render(values)
    expect(all.map(({ kind }) => kind).sort()).toEqual(KINDS[which])
    expect((await Promise.all(all.map(complaint))).filter(Boolean)).toEqual([])
  },
)

test.each(Object.values(VALUES))(
  'in the cluster the relay is nobody in particular, writes to its data alone, and gets secrets as files',
  (values) => {
    const pod = podOf(render(values))
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    })
    expect(pod.containers).toHaveLength(1)
    for (const { securityContext, volumeMounts, env = [] } of pod.containers) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      const written = volumeMounts.filter(({ readOnly }) => readOnly !== true).map(({ mountPath }) => mountPath)
      expect(written.filter((path) => !['/data', '/tmp'].includes(path))).toEqual([])
      expect(env.filter((variable) => !('value' in variable))).toEqual([])
    }
  },
)

test('the schemas see what Kubernetes would not take', async () => {
  const all = render({})
  const wrong = all.map((each) =>
    each.kind === 'StatefulSet' ? { ...each, spec: { ...each.spec, replicas: 'three' } } : each,
  )
  expect((await Promise.all(wrong.map(complaint))).filter(Boolean)).toEqual([expect.stringContaining('replicas')])
})

test.each(Object.values(VALUES))(
  'the relay takes the relay.yaml that the chart makes, and finds its secrets where they are mounted',
  (values) => {
    const all = render(values)
    const yaml = all.find(({ kind }) => kind === 'ConfigMap')?.data?.['relay.yaml'] ?? ''
    const secrets = temporary('secrets')
    const files = [...yaml.matchAll(/(\/(?:run\/secrets\/logout-relay|etc\/logout-relay-ca)\/\S+)/g)].map(
      ([, path = '']) => path,
    )
    const mounts = podOf(all).containers.flatMap(({ volumeMounts }) =>
      volumeMounts.map(({ mountPath }) => `${mountPath}/`),
    )
    expect(files.filter((file) => !mounts.some((mount) => file.startsWith(mount)))).toEqual([])
    const ca = execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-keyout', '/dev/null', '-subj', '/CN=ca'],
      { encoding: 'utf8', stdio: 'pipe' },
    )
    const here = (path: string) => join(secrets, path.replaceAll('/', '-'))
    for (const file of files) {
      writeFileSync(here(file), file.endsWith('ca.crt') ? ca : 'secret')
    }
    const config = parseConfig(
      files.reduce((text, file) => text.replaceAll(file, here(file)), yaml),
      'relay.yaml',
      {},
    )
    expect(config.issuers[0]?.client_secret).toBe('secret')
    expect(config.listen.port).toBe(8484)
  },
)

test('the plain manifests are what the chart renders; if this fails, docs/kubernetes.md says how to render them', () => {
  const { stdout } = helm(['template', 'logout-relay', CHART], {})
  expect(readFileSync(join(ROOT, 'deploy', 'kubernetes', 'logout-relay.yaml'), 'utf8')).toBe(stdout)
})

test.each([
  ['no image', { image: { repository: '' } }, '/image/repository'],
  ['no realm', { config: { issuers: [] } }, '/config/issuers'],
  ['several relays without a store that they share', { replicas: 2 }, 'give config.store.redis'],
  ['a listen of one’s own', { config: { listen: { port: 1 } } }, '/config/listen'],
  ['SQLite somewhere else', { config: { store: { sqlite: '/tmp/x.db' } } }, '/config/store'],
  ['an ingress without TLS', { ingress: { enabled: true, host: 'relay.example.org' } }, 'ingress.tlsSecret'],
  ['a misspelt value', { replica: 2 }, 'replica'],
])('the chart refuses %s with words', (_, values, said) => {
  const { status, stdout, stderr } = helm(['template', 'logout-relay', CHART], values)
  expect([status, stdout]).toEqual([1, ''])
  expect(stderr).toContain(said)
})

test('the agent’s manifests are such as Kubernetes takes, and let it read and patch one Secret and nothing else', async () => {
  const text = readFileSync(join(ROOT, 'deploy', 'kubernetes', 'agent.yaml'), 'utf8')
  const all = parseAllDocuments(text).map((document) => document.toJS() as Rendered & { readonly rules?: unknown })
  expect(all.map(({ kind }) => kind)).toEqual(['ServiceAccount', 'Role', 'RoleBinding', 'Deployment'])
  expect((await Promise.all(all.map(complaint))).filter(Boolean)).toEqual([])
  expect(all.flatMap(({ rules = [] }) => rules)).toEqual([
    { apiGroups: [''], resources: ['secrets'], resourceNames: ['nightly-export'], verbs: ['get', 'patch'] },
  ])
})
