import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'

export interface Mailbox {
  readonly port: number
  /** The link in the newest mail to this address, or undefined. */
  linkFor(address: string): string | undefined
  stop(): Promise<void>
}

/** A mail server that keeps what it is sent. */
export async function startMail(): Promise<Mailbox> {
  const mails: { to: string; text: string }[] = []
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
        done()
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
    stop: () => new Promise((resolve) => server.close(resolve)),
  }
}
