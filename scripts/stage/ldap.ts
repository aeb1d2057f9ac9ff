import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const SBIN = '/usr/sbin'
const SUFFIX = 'dc=example,dc=org'
const ROOT_DN = `cn=admin,${SUFFIX}`
const POLICY_DN = `cn=policy,${SUFFIX}`
const dn = (unit: string, name: string) => `uid=${name},ou=${unit},${SUFFIX}`

/** What one does to a directory behind Keycloak's back. `unit` and `name` as the people were given. */
export interface Ldap extends Running {
  /** By `ldappasswd` (RFC 3062): by the administrator, or by the person, who gives the old one. */
  setPassword(unit: string, name: string, password: string, old?: string): void
  /** LDIF of changes, by the administrator, also of what else only the server writes. */
  modify(ldif: string): void
  readonly dn: (unit: string, name: string) => string
  /** What it has been asked since it was started; it must tell its time for that. */
  asked(): { readonly searches: number; readonly entries: number }
  /** By user name. */
  entryUuids(unit: string): ReadonlyMap<string, string>
  /** The same server once more, on the same data and port. */
  restart(): Promise<Ldap>
}

/** A user federation as Keycloak's Admin API takes it. */
export interface Federation {
  readonly name: string
  readonly providerId: 'ldap'
  readonly providerType: string
  readonly config: Readonly<Record<string, readonly string[]>>
}

export interface Directory extends Ldap {
  /**
   * A user federation of Keycloak with the people of this unit, writable unless another mode is given, by the password
   * modify operation (RFC 3062).
   */
  federation(unit: string, options: { readonly importUsers: boolean; readonly editMode?: 'READ_ONLY' }): Federation
}

/** Whether OpenLDAP is installed. */
export function directoryIsThere(): boolean {
  return existsSync(join(SBIN, 'slapd')) && existsSync('/usr/bin/ldappasswd')
}

/**
 * Debian's OpenLDAP on a free port, with people in it: user names by organizational unit, all with this password. It keeps
 * when a password was changed (ppolicy).
 *
 * @param env for a clock of its own
 * @param tellsTime whether it says what time it has, which is not the default
 */
export async function startDirectory(
  people: Readonly<Record<string, readonly string[]>>,
  password: string,
  { env = {}, tellsTime = false }: { readonly env?: Record<string, string>; readonly tellsTime?: boolean } = {},
): Promise<Directory> {
  if (!directoryIsThere()) {
    throw new Error('OpenLDAP is not there; run: sh scripts/setup test')
  }
  const dir = temporary('ldap')
  const rootPassword = randomUUID()
  const [config, entries] = [join(dir, 'slapd.conf'), join(dir, 'entries.ldif')]
  mkdirSync(join(dir, 'data'))
  writeFileSync(
    config,
    `${['core', 'cosine', 'inetorgperson'].map((name) => `include /etc/ldap/schema/${name}.schema`).join('\n')}
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile ${join(dir, 'pid')}
sizelimit unlimited
${tellsTime ? `database monitor\naccess to * by dn.exact="${ROOT_DN}" read` : ''}
database mdb
suffix ${SUFFIX}
rootdn ${ROOT_DN}
rootpw ${rootPassword}
directory ${join(dir, 'data')}
maxsize ${2 ** 30}
index objectClass,uid,entryUUID,pwdChangedTime eq
access to attrs=userPassword by self write by anonymous auth
access to * by * read
overlay ppolicy
ppolicy_default ${POLICY_DN}
`,
  )
  writeFileSync(entries, ldif(people, password))
  execFileSync(join(SBIN, 'slapadd'), ['-q', '-f', config, '-l', entries], { stdio: 'ignore' })
  const port = await freePort()
  const url = `ldap://127.0.0.1:${port}`
  const run = async (): Promise<Ldap> => {
    // With -d it stays in the foreground; 0 would still be silent about why it ends.
    const args = ['-f', config, '-h', url, '-d', 'config']
    const running = start(join(SBIN, 'slapd'), args, { logFile: join(dir, 'log'), env })
    await untilUp('OpenLDAP does not come up', running, () => answers(port), 30)
    const asAdmin = ['-x', '-H', url, '-D', ROOT_DN, '-w', rootPassword]
    const search = (base: string, scope: string, ...what: readonly string[]) =>
      execFileSync('ldapsearch', ['-LLL', '-o', 'ldif-wrap=no', ...asAdmin, '-b', base, '-s', scope, ...what], {
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
      })
    const counted = (where: string, attribute: string) =>
      Number(
        new RegExp(`^${attribute}: (\\d+)`, 'm').exec(search(where, 'base', '(objectClass=*)', attribute))?.[1] ??
          Number.NaN,
      )
    return {
      ...running,
      restart: run,
      dn,
      setPassword: (unit, name, to, old) => {
        const whose = dn(unit, name)
        const by = old === undefined ? asAdmin : ['-x', '-H', url, '-D', whose, '-w', old, '-a', old]
        execFileSync('ldappasswd', [...by, '-s', to, whose], { stdio: 'pipe' })
      },
      asked: () => ({
        searches: counted('cn=Search,cn=Operations,cn=Monitor', 'monitorOpCompleted'),
        entries: counted('cn=Entries,cn=Statistics,cn=Monitor', 'monitorCounter'),
      }),
      entryUuids: (unit) => {
        const found = search(`ou=${unit},${SUFFIX}`, 'one', '(uid=*)', 'uid', 'entryUUID')
        return new Map(
          found.split('\n\n').flatMap((entry) => {
            const [, uid] = /^uid: (.*)$/m.exec(entry) ?? []
            const [, uuid] = /^entryUUID: (.*)$/m.exec(entry) ?? []
            return uid === undefined || uuid === undefined ? [] : [[uid, uuid] as const]
          }),
        )
      },
      modify: (changes) => {
        execFileSync('ldapmodify', ['-e', 'relax', ...asAdmin], { input: `${changes}\n`, stdio: 'pipe' })
      },
    }
  }
  return {
    ...(await run()),
    federation: (unit, { importUsers, editMode = 'WRITABLE' }) => ({
      name: unit,
      providerId: 'ldap',
      providerType: 'org.keycloak.storage.UserStorageProvider',
      config: Object.fromEntries(
        Object.entries({
          enabled: 'true',
          vendor: 'other',
          connectionUrl: url,
          usersDn: `ou=${unit},${SUFFIX}`,
          authType: 'simple',
          bindDn: ROOT_DN,
          bindCredential: rootPassword,
          editMode,
          importEnabled: String(importUsers),
          usePasswordModifyExtendedOp: 'true',
          usernameLDAPAttribute: 'uid',
          rdnLDAPAttribute: 'uid',
          uuidLDAPAttribute: 'entryUUID',
          userObjectClasses: 'inetOrgPerson',
        }).map(([name, value]) => [name, [value]]),
      ),
    }),
  }
}

function ldif(people: Readonly<Record<string, readonly string[]>>, password: string): string {
  const entry = (dn: string, attributes: Record<string, string>) =>
    [`dn: ${dn}`, ...Object.entries(attributes).map(([name, value]) => `${name}: ${value}`), ''].join('\n')
  return [
    entry(SUFFIX, { objectClass: 'domain', dc: 'example' }),
    `dn: ${POLICY_DN}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\npwdAttribute: userPassword\npwdLockout: TRUE\n`,
    ...Object.entries(people).flatMap(([ou, names]) => [
      entry(`ou=${ou},${SUFFIX}`, { objectClass: 'organizationalUnit', ou }),
      ...names.map((uid) =>
        entry(dn(ou, uid), {
          ...{ objectClass: 'inetOrgPerson', uid, cn: uid, sn: 'Example' },
          ...{ mail: `${uid}@example.org`, userPassword: password },
        }),
      ),
    ]),
  ].join('\n')
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
