import type { UpstreamConfig } from '../config/upstream.ts'
import type { Transmitter, TransmitterStream } from './transmitter.ts'

type StreamConfig = NonNullable<UpstreamConfig['stream']>

/** The stream that the config means, of those that the relay's client has. */
export async function configuredStream(
  { delivery }: StreamConfig,
  transmitter: Transmitter,
): Promise<TransmitterStream | undefined> {
  return (await transmitter.streams()).find((one) => one.delivery === delivery)
}

/** What is to be done before a stream tells this relay what it has to hear; empty where all is well. */
export async function whatToDo(
  { name, audience = '' }: UpstreamConfig,
  stream: StreamConfig,
  transmitter: Transmitter,
): Promise<string[]> {
  const found = await configuredStream(stream, transmitter)
  if (!found) {
    return [`make the stream: logout-relay streams add ${name}`]
  }
  const status = await transmitter.status(found.id)
  const expected = stream.audience ?? audience
  return [
    ...(status === 'enabled' ? [] : [`have its administrator enable the stream: it is ${status}`]),
    ...(found.audiences.length === 0 || found.audiences.includes(expected)
      ? []
      : [`write upstreams.stream.audience: ${found.audiences[0] ?? ''}`]),
    ...(stream.delivery === 'poll' || stream.push_url === undefined || stream.push_url === found.url
      ? []
      : [`it pushes to ${found.url ?? 'nowhere'}: remove the stream and add it again`]),
  ]
}
