import { Guard } from '../../guard/index.ts'

/** With RELAY_URL the guard refuses what a password reset has revoked; without, a token counts until its `exp`. */
const { ISSUER = '', RELAY_URL, CLIENT_ID = '', CLIENT_SECRET = '' } = process.env

export const guard = RELAY_URL
  ? new Guard({
      relay: RELAY_URL,
      issuer: ISSUER,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      onTrouble: ({ message }) => console.error(message),
    })
  : { issuer: ISSUER, check: () => 'ok' as const, maxAgeSeconds: () => 0, ready: () => Promise.resolve() }

export const options = { guard, audience: CLIENT_ID }
