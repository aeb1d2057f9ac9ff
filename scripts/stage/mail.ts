import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'

export interface Mailbox {
  readonly port: number
  /** The link in the newest mail to this address, or undefined. */
  linkFor(address: string): string | undefined
  /** The next mail is taken, and not answered for before it is released: whoever sends it waits. */
  holdNext(): HeldMail
  stop(): Promise<void>
}

export interface HeldMail {
  hasCome(): boolean
  release(): void
}

/** A mail server that keeps what it is sent. */
export async function startMail(): Promise<Mailbox> {
  const mails: { to: string; text: string }[] = []
  let take = (done: () => void) => done()
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, session, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const to = session.envelope.rcptTo.map(({ address }) => address).join(' ')
        // Quoted-printable, as Keycloak sends it: soft line breaks and encoded equals signs.
        const text = Buffer.concat(chunks).toString().replaceAll('=\r\n', '').replaceAll('=3D', '=')
        mails.push({ to, text })
        take(done)
      })
    },
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.server.address() as AddressInfo).port,
    linkFor: (address) =>
      /https?:\/\/[^\s"<>]+action-token[^\s"<>]+/
        .exec(mails.findLast(({ to }) => to.includes(address))?.text ?? '')?.[0]
        ?.replaceAll('&amp;', '&')
        .replaceAll('&#61;', '='),
    holdNext: () => {
      let held: (() => void) | undefined
      const takeAtOnce = take
      take = (done) => {
        held = done
        take = takeAtOnce
      }
      return { hasCome: () => held !== undefined, release: () => held?.() }
    },
    stop: () => new Promise((resolve) => server.close(resolve)),
  }
}
