import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { generate } from 'selfsigned'
import { expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { RealmAdmin } from '../../scripts/stage/admin.ts'
import { DEMO_REALM, demoRealm } from '../../scripts/stage/demo-realm.ts'
import { EXTENSION_JAR, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { freePort, ROOT, start, until } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { TokenEndpoint } from '../../scripts/stage/tokens.ts'

const CLI = join(ROOT, 'relay', 'cli.ts')

/** Files with a CA that nobody trusts, and a certificate of `localhost` from it. */
async function authority() {
  const dir = temporary('own-ca')
  const ca = await generate([{ name: 'commonName', value: 'Our own CA' }], {
    ...{ keyType: 'ec', algorithm: 'sha256' },
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  })
  const leaf = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...{ keyType: 'ec', algorithm: 'sha256', ca: { cert: ca.cert, key: ca.private } },
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  })
  const inFile = (name: string, text: string) => {
    const path = join(dir, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  return { ca: inFile('ca.pem', ca.cert), cert: inFile('cert.pem', leaf.cert), key: inFile('key.pem', leaf.private) }
}

// A Keycloak of its own, since its truststore and its certificate are the server's.
test('with a CA of one’s own, named where docs/install.md says, Keycloak pushes, the relay asks, and the commands reach both', async () => {
  const { ca, cert, key } = await authority()
  const [port, https, secret] = [await freePort(), await freePort(), 'secret-of-a-test']
  const keycloak = await startKeycloak({
    jars: [EXTENSION_JAR],
    realms: [DEMO_REALM],
    env: demoRealm(secret),
    hostname: `https://localhost:${https}`,
    options: [
      ...[`--https-port=${https}`, `--https-certificate-file=${cert}`, `--https-certificate-key-file=${key}`],
      `--truststore-paths=${ca}`,
      `--spi-events-listener--logout-relay--push-url=https://localhost:${port}/events`,
    ],
  })
  onTestFinished(() => keycloak.stop())
  const issuer = keycloak.issuer('demo')
  const dir = temporary('relay')
  // After the first poll, which has nothing yet, events come by push or not at all.
  const realm = { issuer, client_secret: secret, ca_file: ca, poll_interval_s: 3600 }
  const listen = { port, tls: { cert_file: cert, key_file: key } }
  writeFileSync(join(dir, 'relay.yaml'), stringify({ listen, issuers: [realm] }), { mode: 0o600 })
  const relay = start(process.execPath, [CLI, 'start'], { cwd: dir, logFile: join(dir, 'log') })
  onTestFinished(() => relay.stop())

  const program = {
    ...{ LOGOUT_RELAY_URL: `https://localhost:${port}`, LOGOUT_RELAY_LOGIN_FILE: join(dir, 'none.json') },
    ...{ LOGOUT_RELAY_ISSUER: issuer, LOGOUT_RELAY_CLIENT_ID: 'logout-relay-operator' },
    LOGOUT_RELAY_CLIENT_SECRET: secret,
  }
  const run = (args: readonly string[], env: Record<string, string>) =>
    promisify(execFile)(process.execPath, [CLI, ...args], { cwd: dir, env: { ...process.env, ...env } }).then(
      ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
      (cause: unknown) => cause as { code: number; stdout: string; stderr: string },
    )
  const trusting = { ...program, LOGOUT_RELAY_CA_FILE: ca }
  await until('a program reaches both', async () => (await run(['containments'], trusting)).code === 0)
  expect(await run(['containments'], program)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^logout-relay: The realm https:\S+ has a certificate of a CA that is not trusted here \(\w+\): .* --ca-file/,
    ) as string,
  })

  const admin = new RealmAdmin(keycloak.admin, 'demo')
  await new TokenEndpoint(keycloak.url + '/realms/demo').directGrant('mobile-app', 'alice', 'password')
  await admin.resetPassword(await admin.userId('alice'), 'another')
  const isThere = async () => (await run(['containments'], trusting)).stdout.includes('admin-reset-password')
  await until('the reset was pushed', isThere)
  const check = await run(['check', '--json'], {})
  expect(check.stdout).toMatch(/"check":"keycloak"[^\n]*"says":"answers"/)
  expect(check.stdout).toMatch(/"check":"relay"[^\n]*"says":"runs and is ready"/)

  const { username, password } = keycloak.adminUser
  const audit = ['audit', '--url', `https://localhost:${https}`, '--realm', 'demo', '--login-realm', 'master']
  const account = { LOGOUT_RELAY_AUDIT_USERNAME: username, LOGOUT_RELAY_AUDIT_PASSWORD: password }
  expect(await run([...audit, '--ca-file', ca], account)).toMatchObject({ code: 0, stderr: '' })
  expect(await run(audit, account)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('name a file with that CA’s certificate (PEM) in --ca-file') as string,
  })
})
