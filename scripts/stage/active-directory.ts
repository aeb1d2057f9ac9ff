import { execFile, execFileSync } from 'node:child_process'
import { randomInt, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Federation } from './ldap.ts'
import { type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const SAMBA = '/usr/sbin/samba'
const REALM = 'AD.EXAMPLE.TEST'
const SUFFIX = 'DC=ad,DC=example,DC=test'
const USERS = `CN=Users,${SUFFIX}`
/** Its ports are fixed, so each takes an address of its own. */
const PORTS = { ldap: 389, ldaps: 636 }
const [FIRST_HOST, END_HOST] = [10, 250]
/** A port of 127.0.0.1 stands for each address while it is taken. */
const CLAIMS = 9_000

export interface ActiveDirectory extends Running {
  /** A user federation of Keycloak with everybody in it, read only. */
  federation(options: { readonly importUsers: boolean; readonly name?: string }): Federation
  /** By `samba-tool`, as an administrator. */
  setPassword(name: string, password: string): void
  /** By the person, who gives the old one, over LDAPS: what Windows does when one presses Ctrl+Alt+Del. */
  changePassword(name: string, old: string, password: string): void
  /** `samba-tool user` with these words. */
  tool(...words: readonly string[]): void
  /** LDIF of changes, by the administrator. */
  modify(ldif: string): void
  readonly dn: (name: string) => string
}

/** Whether Samba is installed, and may be given the ports that it must have. */
export function activeDirectoryIsThere(): boolean {
  return existsSync(SAMBA) && process.getuid?.() === 0
}

/** A real Active Directory: Debian's Samba as a domain controller, with these people in it, all with this password. */
export async function startActiveDirectory(
  people: readonly string[],
  password: string,
  { env = {} }: { readonly env?: Record<string, string> } = {},
): Promise<ActiveDirectory> {
  if (!activeDirectoryIsThere()) {
    throw new Error('An Active Directory cannot be started: it takes root, and Samba; run: sh scripts/setup test')
  }
  const address = await freeAddress()
  const dir = temporary('samba')
  const adminPassword = `Aa1!${randomUUID()}`
  const conf = join(dir, 'etc', 'smb.conf')
  const run = (words: readonly string[]) =>
    promisify(execFile)('samba-tool', words, { env: { ...process.env, ...env } })
  await run([
    ...['domain', 'provision', `--realm=${REALM}`, '--domain=AD', '--server-role=dc', '--dns-backend=NONE'],
    ...[`--adminpass=${adminPassword}`, `--targetdir=${dir}`, '--host-name=dc1', `--host-ip=${address}`],
    ...[`--option=interfaces=${address}/8`, '--option=bind interfaces only=yes', '--option=server services=ldap'],
    `--option=pid directory=${join(dir, 'run')}`,
  ])
  // As an option of the command above it would be forgotten.
  const given = readFileSync(conf, 'utf8')
  writeFileSync(conf, given.replace('[global]', '[global]\n\tldap server require strong auth = no'))
  mkdirSync(join(dir, 'run'), { recursive: true })
  const tool = (...words: readonly string[]) => {
    execFileSync('samba-tool', [...words, '-s', conf], { stdio: 'pipe', env: { ...process.env, ...env } })
  }
  // Whoever was given a password may change it at once.
  await run([
    ...['domain', 'passwordsettings', 'set', '--complexity=off', '--min-pwd-age=0', '--history-length=0'],
    ...['--min-pwd-length=4', '-s', conf],
  ])
  for (const name of people) {
    const profile = [`--mail-address=${name}@example.org`, `--given-name=${name}`, '--surname=Example']
    await run(['user', 'add', name, password, ...profile, '-s', conf])
  }
  // It leaves the process group that it is started in, but ends with its standard input.
  const samba = [SAMBA, '-i', '-M', 'single', '--debug-stdout', '-s', conf]
  const running = start('/bin/sh', ['-c', 'sleep infinity | "$@"', 'sh', ...samba], { logFile: join(dir, 'log'), env })
  await untilUp('Samba does not come up', running, () => answers(address, PORTS.ldaps), 60)
  const dn = (name: string) => `CN=${name} Example,${USERS}`
  const modify = (who: string, secret: string, ldif: string) => {
    execFileSync('ldapmodify', ['-x', '-H', `ldaps://${address}`, '-D', who, '-w', secret], {
      input: `${ldif}\n`,
      stdio: 'pipe',
      // Its certificate is its own.
      env: { ...process.env, LDAPTLS_REQCERT: 'never' },
    })
  }
  const admin = `CN=Administrator,${USERS}`
  return {
    ...running,
    dn,
    tool: (...words) => {
      tool('user', ...words)
    },
    setPassword: (name, to) => {
      tool('user', 'setpassword', name, `--newpassword=${to}`)
    },
    changePassword: (name, old, to) => {
      const quoted = (text: string) => Buffer.from(`"${text}"`, 'utf16le').toString('base64')
      const ldif = `dn: ${dn(name)}\nchangetype: modify\ndelete: unicodePwd\nunicodePwd:: ${quoted(old)}\n-\nadd: unicodePwd\nunicodePwd:: ${quoted(to)}`
      modify(dn(name), old, ldif)
    },
    modify: (ldif) => {
      modify(admin, adminPassword, ldif)
    },
    federation: ({ importUsers, name = 'active-directory' }) => ({
      name,
      providerId: 'ldap',
      providerType: 'org.keycloak.storage.UserStorageProvider',
      config: Object.fromEntries(
        Object.entries({
          enabled: 'true',
          vendor: 'ad',
          connectionUrl: `ldap://${address}`,
          usersDn: USERS,
          authType: 'simple',
          bindDn: admin,
          bindCredential: adminPassword,
          editMode: 'READ_ONLY',
          importEnabled: String(importUsers),
          usernameLDAPAttribute: 'sAMAccountName',
          rdnLDAPAttribute: 'cn',
          uuidLDAPAttribute: 'objectGUID',
          userObjectClasses: 'person, organizationalPerson, user',
        }).map(([key, value]) => [key, [value]]),
      ),
    }),
  }
}

/** One of 127.0.0.0/8 on which nobody listens, and that no other process is given as long as this one lives. */
async function freeAddress(): Promise<string> {
  for (;;) {
    const host = randomInt(FIRST_HOST, END_HOST)
    const address = `127.0.9.${host}`
    if ((await claim(CLAIMS + host)) && !(await answers(address, PORTS.ldap))) {
      return address
    }
  }
}

function claim(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
    server.unref()
  })
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
