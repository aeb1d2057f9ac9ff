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

export interface Directory extends Running {
  /**
   * A user federation of Keycloak with the people of this unit, writable unless another mode is given, by the password
   * modify operation (RFC 3062).
   */
  federation(unit: string, options: { readonly importUsers: boolean; readonly editMode?: 'READ_ONLY' }): object
}

/** Debian's OpenLDAP on a free port, with people in it: user names by organizational unit, all with this password. */
export async function startDirectory(
  people: Readonly<Record<string, readonly string[]>>,
  password: string,
): Promise<Directory> {
  if (!existsSync(join(SBIN, 'slapd'))) {
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
pidfile ${join(dir, 'pid')}
database mdb
suffix ${SUFFIX}
rootdn ${ROOT_DN}
rootpw ${rootPassword}
directory ${join(dir, 'data')}
`,
  )
  writeFileSync(entries, ldif(people, password))
  execFileSync(join(SBIN, 'slapadd'), ['-q', '-f', config, '-l', entries], { stdio: 'ignore' })
  const port = await freePort()
  const url = `ldap://127.0.0.1:${port}`
  // With -d it stays in the foreground; 0 would still be silent about why it ends.
  const running = start(join(SBIN, 'slapd'), ['-f', config, '-h', url, '-d', 'config'], { logFile: join(dir, 'log') })
  await untilUp('OpenLDAP does not come up', running, () => answers(port), 30)
  return {
    ...running,
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
    ...Object.entries(people).flatMap(([ou, names]) => [
      entry(`ou=${ou},${SUFFIX}`, { objectClass: 'organizationalUnit', ou }),
      ...names.map((uid) =>
        entry(`uid=${uid},ou=${ou},${SUFFIX}`, {
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
