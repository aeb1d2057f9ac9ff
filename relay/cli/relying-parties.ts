import type { Command } from 'commander'
import { api, type RelayOptions, onRelay, openProgress, show, time } from './relay.ts'

interface WithReason extends RelayOptions {
  readonly reason: string
}

interface Registered extends WithReason {
  readonly uri: string
  readonly despiteCheck?: boolean
}

function pausedWords({ since_ms, reason }: { readonly since_ms: number; readonly reason: string }): string {
  return `PAUSED since ${time(since_ms)}: ${reason}`
}

const WHY = ['--reason <text>', 'why, for whoever reads the list of changes'] as const

/** `logout-relay relying-parties …`: whom the relay tells, and what people decide about them. */
export function addRelyingPartyCommands(program: Command): void {
  const parties = program
    .command('relying-parties')
    .description('whom the relay tells; log in first, with logout-relay login or by the environment')
  const on = (name: string, description: string) => onRelay(parties, name, description)

  // The default, as it was before there was more than a list.
  onRelay(parties, 'list', 'whom the relay tells; needs the role view', { isDefault: true })
    .addHelpText('after', '\n  logout-relay relying-parties list --json')
    .action(async (options: RelayOptions) => {
      for (const one of await api(options).relyingParties()) {
        const words = [
          ...(one.enabled ? [] : ['disabled']),
          ...(one.source === 'realm' ? [] : [`by ${one.source}`]),
          ...(one.paused ? [pausedWords(one.paused)] : []),
        ]
        show(options.json, one, [one.client_id, one.backchannel_logout_uri, ...words])
      }
      for (const one of await api(options).identityProviders()) {
        show(options.json, one, [one.client_id, one.url, ...(one.paused ? [pausedWords(one.paused)] : [])])
      }
    })

  on('check', 'send them tokens that they must refuse, and some that they must take; needs the role operate')
    .argument('[client_id...]', 'these alone; without any, all')
    .addHelpText(
      'after',
      '\nThe tokens name a session that does not exist. Exit status: 0 all do as they must, 1 one does not.\n\n  logout-relay relying-parties check wiki\n  logout-relay relying-parties check --json',
    )
    .action(async (named: string[], options: RelayOptions) => {
      const relay = api(options)
      const all = named.length > 0 ? named : (await relay.relyingParties()).map(({ client_id }) => client_id)
      const progress = openProgress(options.json)
      for (const [n, client_id] of all.entries()) {
        progress.say(`${n + 1} of ${all.length}: ${client_id}`)
        const { ok, says } = await relay.checkRelyingParty(client_id)
        progress.clear()
        show(options.json, { client_id, ok, says }, [ok ? 'ok   ' : 'TO DO', client_id, says])
        process.exitCode = ok ? process.exitCode : 1
      }
    })

  on('register', 'register one that its realm names no logout URL for, if it passes the check; needs the role operate')
    .argument('<client_id>', 'its client')
    .requiredOption('--uri <url>', 'its back-channel logout URL')
    .requiredOption(...WHY)
    .option('--despite-check', 'though the check fails')
    .addHelpText(
      'after',
      `
The right place is the client in its realm; this is for one that cannot be changed there.

  logout-relay relying-parties register shop --uri https://shop.example.org/backchannel-logout --reason "INC-4711"`,
    )
    .action(async (client_id: string, { uri, reason, despiteCheck = false, ...asked }: Registered) => {
      const { check } = await api(asked).register({
        client_id,
        backchannel_logout_uri: uri,
        reason,
        despite_check: despiteCheck,
      })
      show(asked.json, { client_id, registered: true, check }, [client_id, 'is registered', check.says])
    })

  on('unregister', 'take a registration back; needs the role operate')
    .argument('<client_id>', 'its client')
    .requiredOption(...WHY)
    .addHelpText('after', '\n  logout-relay relying-parties unregister shop --reason "its client has the URL now"')
    .action(async (client_id: string, { reason, ...asked }: WithReason) => {
      await api(asked).unregister(client_id, reason)
      show(asked.json, { client_id, registered: false }, [client_id, 'is not registered here any more'])
    })

  on('pause', 'attempt nothing there; what is owed stays open; needs the role operate')
    .argument('<client_id>', 'its client')
    .requiredOption(...WHY)
    .addHelpText('after', '\n  logout-relay relying-parties pause wiki --reason "being moved until noon"')
    .action(async (client_id: string, { reason, ...asked }: WithReason) => {
      await api(asked).pause(client_id, reason)
      show(asked.json, { client_id, paused: true }, [client_id, 'is paused: its sessions live on until it is resumed'])
    })

  on('resume', 'attempt again, at once, what waits there; needs the role operate')
    .argument('<client_id>', 'its client')
    .addHelpText('after', '\n  logout-relay relying-parties resume wiki')
    .action(async (client_id: string, asked: RelayOptions) => {
      await api(asked).resume(client_id)
      show(asked.json, { client_id, paused: false }, [client_id, 'is told again what it is owed'])
    })

  onRelay(program, 'changes', 'who changed what of what could keep an attacker in, newest first; needs the role view')
    .option('--limit <n>', 'how many', '20')
    .addHelpText('after', '\n  logout-relay changes --json | jq -r "select(.weakening)"')
    .action(async (options: RelayOptions & { limit: string }) => {
      for (const one of await api(options).changes(options.limit)) {
        const data = Object.entries(one.data).map(([name, value]) => `${name}=${value}`)
        const who = [
          ...(one.by === undefined ? [] : [`by ${one.by}`]),
          ...(one.reason === undefined ? [] : [one.reason]),
        ]
        const what = [
          one.weakening ? 'WEAKER' : 'ok    ',
          one.kind,
          ...(one.client_id === undefined ? [] : [one.client_id]),
        ]
        show(options.json, one, [time(one.at_ms), ...what, ...data, ...who])
      }
    })
}
