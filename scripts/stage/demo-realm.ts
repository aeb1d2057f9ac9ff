import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './process.ts'

export const DEMO_REALM = join(ROOT, 'realm-export', 'demo-realm.json')

/** What the file of the demo realm leaves open. @param apps where its applications are; by default nobody listens there */
export function demoRealm(
  secret: string,
  apps: { readonly apache?: string; readonly express?: string } = {},
  password = 'password',
): Record<string, string> {
  const { apache = 'http://localhost:9', express = 'http://localhost:9' } = apps
  return {
    LOGOUT_RELAY_DEMO_APACHE_URL: apache,
    LOGOUT_RELAY_DEMO_EXPRESS_URL: express,
    LOGOUT_RELAY_APP_SECRET: secret,
    LOGOUT_RELAY_CLIENT_SECRET: secret,
    LOGOUT_RELAY_OPERATOR_SECRET: secret,
    LOGOUT_RELAY_CONSOLE_SECRET: secret,
    LOGOUT_RELAY_USER_PASSWORD: password,
  }
}

/** A realm file of `realm-export/` under another name, its placeholders filled as `--import-realm` does it. */
export function realmFrom(file: 'demo' | 'stock', name: string, env: Record<string, string>): object {
  const filled = readFileSync(join(ROOT, 'realm-export', `${file}-realm.json`), 'utf8')
    .replace(/\$\{(\w+)(?::([^}]*))?\}/g, (_, variable: string, otherwise?: string) => {
      const value = env[variable] ?? otherwise
      if (value === undefined) {
        throw new Error(`${file}-realm.json wants ${variable}`)
      }
      return value
    })
    .replaceAll(`default-roles-${file}`, `default-roles-${name}`)
  return { ...(JSON.parse(filled) as object), realm: name }
}
