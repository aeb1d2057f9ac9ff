/** Every finding by its id: what it means in a few words, and what to do about it. docs/audit.md has the same list. */
export const CATALOGUE = {
  'extension-missing': {
    title: 'The extension is not installed: a reset ends nothing',
    remedy:
      'Copy the jar into Keycloak’s providers/ (extension-config/README.md). Until then, after every reset: sign the user out of all sessions and revoke their offline tokens by hand.',
  },
  'listener-off': {
    title: 'The listener is not switched on in this realm: a reset ends nothing',
    remedy: 'Realm settings, Events, Event listeners: add logout-relay.',
  },
  'shadow-mode': {
    title: 'Shadow mode: the extension ends nothing',
    remedy: 'When you have looked long enough, set the realm attribute logout-relay.mode to enforce.',
  },
  'trigger-off': {
    title: 'Policy has nothing ended when an account is taken back',
    remedy:
      'Remove the realm attribute logout-relay.policy.… that says off, so that the default counts (docs/policy.md).',
  },
  'door-off': {
    title: 'Policy leaves a door open by which old sessions stay alive',
    remedy:
      'Remove the realm attribute logout-relay.policy.… of the trigger that is named, so that the default counts (docs/policy.md), or be sure that whatever makes the change signs the user out.',
  },
  'policy-of-nobody': {
    title: 'Policy is set for an identity provider that the realm does not have',
    remedy:
      'Write the alias as the realm has it (Identity providers), or remove it from the realm attribute that is named; until then what is set for all counts (docs/policy.md).',
  },
  'keycloak-hole': {
    title: 'This Keycloak has a published hole by which something outlives a reset, or somebody gets past it',
    remedy: 'Upgrade Keycloak to the version that is named. The extension closes such a hole in part at most.',
  },
  'version-unknown': {
    title: 'Whether this Keycloak has published holes cannot be said',
    remedy:
      'Audit once with an account that is told the version, and run a release; `logout-relay check` knows the version by the extension.',
  },
  unread: {
    title: 'Not everything could be read',
    remedy: 'Give the account the role that is named and audit again; docs/audit.md lists those that suffice.',
  },
  'own-change': {
    title: 'Only some changes of a password are answered',
    remedy:
      'Install the newest extension. Until a user’s own change and the forgot-password link are answered, let an administrator reset the password of an account that was stolen.',
  },
  'login-under-way': {
    title: 'A login begun with the old password can be finished after the reset',
    remedy:
      'Shorten the login timeout and the device code lifespan (Realm settings, Sessions and Tokens) as far as people can bear; look at the user’s sessions once more when that time is over.',
  },
  'mailed-link': {
    title: 'The mailed link of a forgotten password is worth a login or a second factor',
    remedy:
      'Authentication, flow “Reset credentials” (or a copy of it): set “Force login after reset” of “Send Reset Email” to true, and “Reset - Conditional OTP” to Disabled.',
  },
  'user-federation': {
    title: 'Passwords live in a directory and change there unseen',
    remedy:
      'Install and switch on the extension, which looks at LDAP directories. Of any other: after a password has changed there, reset it through Keycloak too, or sign the user out there; best from the directory’s own change process.',
  },
  'directory-clock': {
    title: 'A directory may not say when a password was changed',
    remedy:
      'Switch that on in the directory and let Keycloak’s account read it, or name its attribute in the realm attribute logout-relay.directories.clock (docs/directories.md). `logout-relay check` says whether it is told.',
  },
  'directory-unsynced': {
    title: 'A password that is set at Keycloak stands in place of the directory’s',
    remedy:
      'Make the provider writable or read-only (“Edit mode”), and remove the passwords that users have at Keycloak. Until then reset a stolen account’s password at Keycloak, not in the directory alone.',
  },
  'directory-not-imported': {
    title: 'Users of a directory are not copied to Keycloak: what is written to them past its events is not heard',
    remedy: 'Switch “Import users” on, or let whatever writes to them sign them out (logout-relay contain).',
  },
  'roles-from-elsewhere': {
    title: 'Roles come from a directory or an identity provider: that somebody is given more is not heard',
    remedy:
      'Give privileged roles in Keycloak, or sign the user out when they are given one there: an old session or token would have it as well.',
  },
  'identity-provider': {
    title: 'Passwords live at another identity provider and change there unseen',
    remedy:
      'Let the other identity provider tell the relay what happens to its users (docs/upstream.md), or at least send back-channel logout to Keycloak when it ends a session; else sign the user out at Keycloak whenever the account there is recovered.',
  },
  'offline-unlimited': {
    title: 'Offline sessions have no greatest age',
    remedy: 'Realm settings, Sessions: enable “Offline Session Max Limited” and give a greatest age.',
  },
  'offline-access': {
    title: 'Offline tokens are to be had',
    remedy:
      'Remove the scope offline_access from the client (Client scopes), or set its “Client Offline Session Max”. Clients that come with Keycloak have it too, and hardly ever need it.',
  },
  'sso-session': {
    title: 'Sessions at Keycloak and their refresh tokens go on',
    remedy: 'Install and switch on the extension; until then shorten “SSO Session Max” (Realm settings, Sessions).',
  },
  'remember-me': {
    title: '"Remember me" makes sessions longer',
    remedy: 'Install and switch on the extension; until then shorten “SSO Session Max Remember Me” or switch it off.',
  },
  'no-logout-url': {
    title: 'No back-channel logout URL: the application is never told',
    remedy:
      'Set “Backchannel logout URL” in the client, if the application has such an endpoint; else shorten the application’s session and say so in the client attribute logout-relay.session.max-life.',
  },
  'front-channel-only': {
    title: 'Front-channel logout only: a reset has no browser to send it through',
    remedy: 'Switch “Front channel logout” off in the client and set a “Backchannel logout URL”.',
  },
  'logout-url-not-https': {
    title: 'The logout URL is not https',
    remedy: 'Serve the logout endpoint over https and change “Backchannel logout URL” in the client.',
  },
  'hmac-id-tokens': {
    title: 'ID tokens signed with HMAC: no logout token can be made for the client',
    remedy: 'Choose RS256 or ES256 as “ID token signature algorithm” in the client, and in the application’s settings.',
  },
  'saml-client': {
    title: 'A SAML client: this relay does not reach it',
    remedy:
      'Shorten the application’s session (the SAML attribute SessionNotOnOrAfter, or its own settings), or move it to OpenID Connect.',
  },
  'session-outlives-keycloak': {
    title: 'The application’s session is longer than Keycloak’s',
    remedy:
      'Make the application’s session as short as Keycloak’s, or switch on the extension, which remembers a session until the application has answered.',
  },
  'session-not-required': {
    title: 'Keycloak’s own logout tokens have no sid for this client',
    remedy: 'Switch on “Backchannel logout session required” in the client.',
  },
  'access-token-lifespan': {
    title: 'Access tokens live long, and whoever checks them by signature alone takes them to their end',
    remedy:
      'Shorten the access token lifespan to 5 minutes (Realm settings, Tokens; in the client: Advanced settings), or let the APIs introspect.',
  },
  'implicit-flow': {
    title: 'Implicit flow: access tokens in browser addresses',
    remedy: 'Move the application to the authorization code flow with PKCE and switch “Implicit flow” off.',
  },
  'direct-grants': {
    title: 'The client takes the password itself',
    remedy: 'Move the application to the authorization code flow and switch “Direct access grants” off.',
  },
  consent: {
    title: 'Consents survive: the client need not ask again',
    remedy:
      'When an account was stolen, look through the user’s consents (Users, Consents) and revoke what is not theirs.',
  },
  'secret-old': {
    title: 'The secret of a service account is old',
    remedy:
      'Give the client a new one without an outage: `logout-relay rotate --client …` (docs/workloads.md), and a rotation policy in the realm so that it happens again; or let the workload prove itself by a key (private_key_jwt) that it makes anew.',
  },
  'workload-idle': {
    title: 'A service account that nobody uses',
    remedy:
      'Ask whoever owns it. Disable the client, which ends what it has, and delete it once nobody has missed it; what runs once a year is missed late.',
  },
  'workload-addresses': {
    title: 'A service account that is used from many places',
    remedy:
      'Look which (docs/protocol.md, `workloads`): a copy of the secret in code, in CI or with somebody else shows as an address that you do not know. Give each place a client of its own.',
  },
  'workload-refresh': {
    title: 'A service account with refresh or offline tokens',
    remedy:
      'Switch “Use refresh tokens for client credentials grant” off in the client, and take the scope offline_access from it: the workload has its secret, and asks again (RFC 6749 §4.4.3).',
  },
  'looks-like-a-job': {
    title: 'A person’s account that looks like a job',
    remedy:
      'Look whose it is. If a program runs under it, give that a client with a service account: its secret can be rotated, and it does not end with a reset of the person’s password.',
  },
  'push-off': {
    title: 'The extension does not push: the relay learns of a reset at its next poll',
    remedy: 'Set the server option spi-events-listener--logout-relay--push-url to the relay’s address.',
  },
} as const satisfies Readonly<Record<string, { readonly title: string; readonly remedy: string }>>

export type FindingId = keyof typeof CATALOGUE
