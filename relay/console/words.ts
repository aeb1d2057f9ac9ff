import type { ChangeKind } from '../domain/change.ts'

/** What happened to an identity, as people say it; docs/policy.md has all triggers. */
const TRIGGERS: Readonly<Record<string, string>> = {
  'admin-reset-password': 'Password reset by an administrator',
  'admin-set-password': 'Password set by an administrator',
  'user-update-password': 'Password changed by the user',
  'account-disabled': 'Account disabled',
  'account-deleted': 'Account deleted',
  operator: 'Contained by an operator',
  'admin-credential-removed': 'Credential removed by an administrator',
  'admin-credential-changed': 'Credential changed by an administrator',
  'user-credential-removed': 'Credential removed by the user',
  'user-credential-changed': 'Credential changed by the user',
  'email-changed': 'E-mail address changed',
  'username-changed': 'User name changed',
  'privileged-role-added': 'Privileged role added',
  'admin-identity-provider-removed': 'Identity provider unlinked by an administrator',
  'user-identity-provider-removed': 'Identity provider unlinked by the user',
  'admin-logout': 'Signed out by an administrator',
  'session-removed': 'Session ended by an administrator',
  'upstream-password-changed': 'Password changed at the identity provider',
  'upstream-credential-changed': 'Credential changed at the identity provider',
  'upstream-account-disabled': 'Account disabled at the identity provider',
  'upstream-sessions-revoked': 'Sessions revoked by the identity provider',
  'upstream-assurance-decreased': 'Lower assurance at the identity provider',
  'upstream-device-not-compliant': 'Device that the identity provider does not trust',
  'upstream-claims-changed': 'Claims changed at the identity provider',
  'upstream-identifier-changed': 'Address changed at the identity provider',
  'upstream-logout': 'Signed out by the identity provider',
  'downstream-sessions-revoked': 'Ended by a realm behind this one',
  'realm-logout': 'Everybody signed out by an administrator',
  'user-logout': 'Signed out by the user',
  'brute-force-lockout': 'Locked after wrong passwords',
  'client-secret-changed': 'New secret of a client',
  'client-keys-changed': 'New keys of a client',
  'client-authentication-changed': 'Client proves itself in another way',
  'client-service-account-off': 'Service account switched off',
  'client-disabled': 'Client disabled',
  'client-deleted': 'Client deleted',
  'client-contained': 'Client contained by an operator',
}

export const CHANGES: Readonly<Record<ChangeKind, string>> = {
  listener_off: 'The realm’s events reach the extension no longer: resets end nothing',
  listener_on: 'The realm’s events reach the extension again',
  policy_weakened: 'The realm’s policy is weaker',
  policy_changed: 'The realm’s policy is different',
  settings_weakened: 'The relay’s settings are weaker',
  settings_changed: 'The relay’s settings are different',
  logout_uri_added: 'Logout URL added in the realm',
  logout_uri_changed: 'Logout URL changed in the realm',
  logout_uri_removed: 'Logout URL removed in the realm',
  relying_party_registered: 'Registered here',
  registration_removed: 'Registration taken back',
  relying_party_paused: 'Paused',
  relying_party_resumed: 'Resumed',
  deliveries_dismissed: 'Logouts given up',
  directory_dismissed: 'Changes in a directory are let go, and end nothing',
  upstream_dismissed: 'What an identity provider has said is let go, and ends nothing',
  realm_logout_dismissed: 'That everybody was signed out is let go, and ends nothing at the applications',
}

export function triggerWords(trigger: string): string {
  return TRIGGERS[trigger] ?? words(trigger)
}

/** Whether it was a client’s and not a person’s account. */
export function isOfClient(trigger: string): boolean {
  return trigger.startsWith('client-')
}

/** A stable word of ours, such as `connection_refused`, in plain ones. */
export function words(word: string): string {
  const text = word.replaceAll(/[_-]/g, ' ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** What a check found, which is written to go on after a name, as a sentence of its own. */
export function sentence(says: string): string {
  const text = /^[a-z]/.test(says) ? `It ${says}` : says
  return text.endsWith('.') ? text : `${text}.`
}

/** What a containment may have been for, for a choice. */
export const TRIGGER_NAMES: readonly string[] = Object.keys(TRIGGERS)
