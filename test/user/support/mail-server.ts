/** A real SMTP server on a port of this machine that keeps what it is sent. */
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'

export type ReceivedMail = { readonly from: string; readonly to: readonly string[]; readonly text: string; readonly isSecure: boolean; readonly user: string }

export type MailServer = {
  readonly port: number
  readonly mails: ReceivedMail[]
  /** Recipients that are refused. */
  readonly refused: Set<string>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

export const startMailServer = async (options: SMTPServerOptions = {}): Promise<MailServer> => {
  const mails: ReceivedMail[] = []
  const refused = new Set<string>()
  const server = new SMTPServer({
    authOptional: true,
    hideSTARTTLS: options.cert === undefined,
    onRcptTo: ({ address }, _session, done) => done(refused.has(address) ? Object.assign(new Error('no such box'), { responseCode: 550 }) : null),
    onData: (stream, session, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        mails.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          text: Buffer.concat(chunks).toString(),
          isSecure: session.secure,
          user: String(session.user ?? ''),
        })
        done()
      })
    },
    ...options,
  })
  server.on('error', () => {})
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    port: (server.server.address() as AddressInfo).port,
    mails,
    refused,
    [Symbol.asyncDispose]: () => new Promise((closed) => server.close(() => closed())),
  }
}

export const codeIn = ({ text }: ReceivedMail): string => /\b\d{8}\b/.exec(text.slice(text.indexOf('\r\n\r\n')))?.[0] ?? ''
