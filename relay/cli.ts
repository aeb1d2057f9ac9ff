#!/usr/bin/env node
import { Command } from 'commander'
import { loadConfig } from './config.ts'
import { RelayError } from './errors.ts'
import { startRelay } from './main.ts'

const program = new Command('logout-relay').description(
  'Ends every session at every relying party when a password is reset',
)

program
  .command('start')
  .description('run the relay until SIGTERM or Ctrl-C')
  .option('-c, --config <file>', 'the config file', process.env['LOGOUT_RELAY_CONFIG'] ?? 'relay.yaml')
  .action(async ({ config }: { config: string }) => {
    const relay = await startRelay(loadConfig(config, process.env))
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        void relay.close().then(() => process.exit(0))
      })
    }
  })

try {
  await program.parseAsync()
} catch (cause) {
  // 78 is EX_CONFIG, 1 anything else that kept the relay from starting.
  process.stderr.write(`logout-relay: ${cause instanceof RelayError ? cause.message : String(cause)}\n`)
  process.exit(cause instanceof RelayError && cause.code === 'config_invalid' ? 78 : 1)
}
