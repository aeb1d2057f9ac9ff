import { type Command, Option } from 'commander'
import { randomUUID } from 'node:crypto'
import { type Config, loadConfig } from '../config/config.ts'
import { openPost } from '../delivery/post.ts'
import { RelayError } from '../errors.ts'
import { openTransmitter } from '../upstream/open.ts'
import type { Transmitter, TransmitterStream } from '../upstream/transmitter.ts'
import { configuredStream, whatToDo } from '../upstream/whole.ts'
import { show } from './relay.ts'

interface StreamOptions {
  readonly config: string
  readonly json?: boolean
}

type UpstreamConfig = Config['upstreams'][number]

interface At {
  readonly upstream: UpstreamConfig
  readonly stream: NonNullable<UpstreamConfig['stream']>
  readonly transmitter: Transmitter
}

/** `logout-relay streams …`: the streams of Security Event Tokens at the upstreams that relay.yaml names. */
export function addStreamCommands(program: Command): void {
  const streams = program
    .command('streams')
    .description('streams of security events at other identity providers; see docs/upstream.md')
  const on = (name: string, description: string) =>
    streams
      .command(name)
      .description(description)
      .addOption(new Option('-c, --config <file>', 'the config file').env('LOGOUT_RELAY_CONFIG').default('relay.yaml'))
      .option('--json', 'one JSON object a line')

  on('list', 'the streams that the relay’s client has at each upstream')
    .addHelpText('after', '\n  logout-relay streams list --config relay.yaml')
    .action((options: StreamOptions) =>
      atEach(options, undefined, async ({ upstream, transmitter }) => {
        for (const one of await transmitter.streams()) {
          tell(options, upstream, one, await transmitter.status(one.id))
        }
      }),
    )

  on('add <name>', 'make the stream of an upstream, as relay.yaml has it')
    .addHelpText('after', '\n  logout-relay streams add okta')
    .action((name: string, options: StreamOptions) =>
      atEach(options, name, async ({ upstream, stream, transmitter }) => {
        if (stream.delivery === 'push' && stream.push_url === undefined) {
          throw new RelayError(
            'config_invalid',
            `upstreams.stream.push_url of ${name} is missing: where it reaches this relay. Example: push_url: https://logout-relay.example.org/upstreams/${name}/events`,
          )
        }
        const made = await transmitter.create(
          stream.delivery === 'push'
            ? { url: stream.push_url ?? '', authorization: stream.push_authorization }
            : undefined,
        )
        tell(options, upstream, made, await transmitter.status(made.id))
      }),
    )

  on(
    'check <name>',
    'whether it is there, sends, and is for this relay; has it send a token that shows that it arrives',
  )
    .addHelpText(
      'after',
      '\nExit status: 0 all is well, 1 something is to be done.\n\n  logout-relay streams check okta',
    )
    .action((name: string, options: StreamOptions) =>
      atEach(options, name, async ({ upstream, stream, transmitter }) => {
        const found = await configuredStream(stream, transmitter)
        const todo = await whatToDo(upstream, stream, transmitter)
        if (found) {
          await transmitter.verify(found.id, randomUUID())
        }
        show(options.json, { upstream: name, todo }, [name, ...(todo.length === 0 ? ['is well'] : todo)])
        process.exitCode = todo.length === 0 ? 0 : 1
      }),
    )

  on('remove <name>', 'take away the streams that the relay’s client has at an upstream')
    .addHelpText('after', '\n  logout-relay streams remove okta')
    .action((name: string, options: StreamOptions) =>
      atEach(options, name, async ({ upstream, transmitter }) => {
        for (const one of await transmitter.streams()) {
          await transmitter.remove(one.id)
          tell(options, upstream, one, 'removed')
        }
      }),
    )
}

function tell({ json }: StreamOptions, { name }: UpstreamConfig, stream: TransmitterStream, status: string): void {
  const { id, delivery, audiences, url = '', events } = stream
  show(json, { upstream: name, id, delivery, status, audiences, url, events }, [
    ...[name, id, delivery, status, url],
    `audience: ${audiences.join(', ')}`,
    events.map((event) => event.split('/').at(-1) ?? event).join(' '),
  ])
}

/** @param name of one upstream, or undefined for all that have a stream */
async function atEach({ config: path }: StreamOptions, name: string | undefined, act: (at: At) => Promise<void>) {
  const config = loadConfig(path, process.env)
  const named = config.upstreams.filter((one) => one.stream && (name === undefined || one.name === name))
  if (named.length === 0) {
    throw new RelayError(
      'config_invalid',
      `${path}: upstreams has none with a stream${name ? ` and the name ${name}` : ''}`,
    )
  }
  const way = openPost(config.delivery.ca === undefined ? {} : { ca: config.delivery.ca })
  try {
    for (const upstream of named) {
      const transmitter = openTransmitter(upstream, way.ask)
      if (!transmitter || !upstream.stream) {
        throw new RelayError(
          'config_invalid',
          `${path}: upstreams.stream.client_id of ${upstream.name} is missing: nothing can be asked of it without a client`,
        )
      }
      await act({ upstream, stream: upstream.stream, transmitter })
    }
  } finally {
    await way.close()
  }
}
