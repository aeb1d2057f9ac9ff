import { Option } from 'commander'
import { certificates } from '../config/files.ts'

const NAMES = '--ca-file, LOGOUT_RELAY_CA_FILE'

/** For every command that speaks to Keycloak or to a relay, and has no config that names their CAs. */
export const caFileOption = () =>
  new Option('--ca-file <file>', 'PEM; CAs to trust in addition').env('LOGOUT_RELAY_CA_FILE')

/** The certificates; a variable that is empty names none. @throws RelayError `config_invalid` where they cannot be had */
export function caOf({ caFile = '' }: { readonly caFile?: string }): string | undefined {
  return caFile === '' ? undefined : certificates(caFile, NAMES)
}
