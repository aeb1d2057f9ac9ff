import type { Command } from 'commander'
import { isProvider } from '../domain/provider.ts'
import { many } from '../text.ts'
import { openByParty, unknownWords, whyOpen } from './open-by-party.ts'
import { api, onRelay, print, type RelayOptions, show, time } from './relay.ts'

const HELP = `
A line for each relying party and identity provider that has not answered, for each client whose sessions nobody can be told about, and for what the
relay or its realm needs (TO DO). What a relying party is shown not to know is said and counts as nothing.

Exit status: 0 all is calm, 3 something is open, 4 nothing is open but sessions live that nobody can be told about, 5 nothing
is known of either but something is to be done.

  logout-relay status --json`

/** `status`: all that whoever is awake has to know. */
export function addStatusCommand(program: Command): void {
  onRelay(program, 'status', 'what is open, what nobody can be told about, and what is to be done; needs the role view')
    .addHelpText('after', HELP)
    .action(async (options: RelayOptions) => {
      const relay = api(options)
      const { unreachable, to_do } = await relay.status()
      const parties = await openByParty(relay.list({ state: 'open' }))
      for (const one of parties) {
        const words = one.open > 0 ? [`${one.open} open since ${time(one.oldest_at_ms)}`, whyOpen(one)] : []
        const unknown = one.unknown_there === undefined ? [] : [unknownWords(one.unknown_there)]
        show(options.json, one, [one.client_id, ...words, ...unknown])
      }
      for (const { client_id, sessions, until_ms } of unreachable) {
        const says = isProvider(client_id)
          ? `${many(sessions, 'containment')} that it is to be told of, and relay.yaml does not say where (upstreams.tell)`
          : `${many(sessions, 'session')} that nobody can be told about: no logout URL`
        show(options.json, { client_id, unreachable: sessions, until_ms }, [
          ...[client_id, says, `${isProvider(client_id) ? 'counts' : 'may live'} until ${time(until_ms)}`],
        ])
      }
      to_do.forEach((one) => show(options.json, { to_do: one }, ['TO DO', one.check, one.about, one.says]))
      const isOpen = parties.some(({ open }) => open > 0)
      process.exitCode = isOpen ? 3 : unreachable.length > 0 ? 4 : to_do.length > 0 ? 5 : 0
      if (process.exitCode === 0 && !options.json) {
        print(parties.length === 0 ? 'Nothing is open: every relying party has answered' : 'Nothing else is open')
      }
    })
}
