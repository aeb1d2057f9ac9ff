import { activeDirectoryIsThere, startActiveDirectory } from '../../stage/active-directory.ts'
import { directoryIsThere, type Federation, startDirectory } from '../../stage/ldap.ts'

/** A directory in which people's passwords are, and which Keycloak may only read. */
export interface PeopleDirectory {
  readonly kind: 'Active Directory' | 'OpenLDAP'
  /** The directory's own, which Keycloak hears nothing of. */
  readonly tool: string
  readonly federation: Federation
  setPassword(name: string, password: string): void
  stop(): Promise<void>
}

/** An Active Directory where Samba is to be had, else OpenLDAP where that is, else a line that says so and none. */
export async function startPeopleDirectory(
  people: readonly string[],
  password: string,
  progress: (what: string) => void,
): Promise<PeopleDirectory | undefined> {
  if (activeDirectoryIsThere()) {
    progress('Starting an Active Directory: Samba as a domain controller')
    const directory = await startActiveDirectory(people, password)
    return {
      kind: 'Active Directory',
      tool: 'samba-tool',
      federation: directory.federation({ importUsers: true }),
      setPassword: (name, to) => directory.setPassword(name, to),
      stop: () => directory.stop(),
    }
  }
  if (directoryIsThere()) {
    progress('Samba is not to be had here, or not for this user: starting OpenLDAP instead')
    const unit = 'people'
    const directory = await startDirectory({ [unit]: people }, password)
    return {
      kind: 'OpenLDAP',
      tool: 'ldappasswd',
      federation: directory.federation(unit, { importUsers: true, editMode: 'READ_ONLY' }),
      setPassword: (name, to) => directory.setPassword(unit, name, to),
      stop: () => directory.stop(),
    }
  }
  progress('Neither Samba nor OpenLDAP is to be had here: the directory is left out')
  return undefined
}
