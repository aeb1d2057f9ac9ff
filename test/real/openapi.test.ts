import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { startRelayProcess } from '../../scripts/stage/relay.ts'
import { ROOT } from '../../scripts/stage/process.ts'
import { StandInIdp } from '../../scripts/stage/stand-in-idp.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { startRecorder } from './recorder.ts'

// The realm is a stand-in: what is looked at is what the relay makes of requests, by the thousand.
test('what the relay answers to any request is as its OpenAPI description says, and never a failure of its own', async () => {
  const recorder = await startRecorder()
  onTestFinished(() => recorder.close())
  const idp = await StandInIdp.start([{ clientId: 'orders', logoutUri: recorder.logoutUri }])
  onTestFinished(() => idp.stop())
  const relay = await startRelayProcess({ issuers: [{ issuer: idp.issuer, client_secret: idp.clientSecret }] })
  onTestFinished(() => relay.stop())
  idp.pushTo(`${relay.url}/events`)
  expect(await idp.push(await idp.reset(['orders']))).toBe(202)

  const token = await idp.operatorToken(['view', 'operate', 'dismiss', 'guard'])
  const command = promisify(execFile)(
    join(ROOT, '.cache', 'venv', 'bin', 'schemathesis'),
    [
      ...['run', `${relay.url}/api/v1/openapi.json`, '--header', `Authorization: Bearer ${token}`, '--checks', 'all'],
      ...['--phases', 'examples,coverage,fuzzing', '--max-examples', '10', '--seed', '1', '--generation-deterministic'],
      // Whether an address is one that may be told is not in a schema: such a request is valid and yet refused.
      ...['--exclude-checks', 'positive_data_acceptance'],
      ...['--continue-on-failure', '--no-color', '--warnings', 'off'],
    ],
    {
      cwd: temporary('schemathesis'),
      env: { ...process.env, SCHEMATHESIS_HOOKS: join(ROOT, 'test', 'real', 'schemathesis_hooks.py') },
      maxBuffer: 50_000_000,
    },
  )
  const said = await command.then(
    ({ stdout }) => ({ failed: false, stdout }),
    (cause: unknown) => ({ failed: true, stdout: (cause as { stdout: string }).stdout }),
  )
  expect(said.failed ? said.stdout.replaceAll(token, '…') : '').toBe('')
  expect(said.stdout).toMatch(/\d{3,} generated/)
})
