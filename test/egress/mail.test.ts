import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { EgressError } from '../../src/egress/egress-error.ts'
import { createMailEgress, type Mail, type MailServer as Server } from '../../src/egress/mail.ts'
import { createAuthority, issue } from '../rpc/support/certificates.ts'
import { codeIn, type MailServer, startMailServer } from '../user/support/mail-server.ts'

const closing: AsyncDisposable[] = []
afterEach(async () => {
  for (const one of closing.splice(0)) await one[Symbol.asyncDispose]()
})

const opened = async (options: Parameters<typeof startMailServer>[0] = {}): Promise<MailServer> => {
  const server = await startMailServer(options)
  closing.push(server)
  return server
}

const LOOPBACK = ['127.0.0.1/32']
const authority = createAuthority('test authority')
const { cert, key } = issue(authority, { commonName: 'localhost' })

const to = (server: Partial<Server> & Pick<Server, 'port'>, allow = LOOPBACK, extraAuthorities = authority.cert) =>
  createMailEgress({
    server: { host: 'localhost', security: 'none', username: undefined, password: undefined, from: 'from@example.com', ...server },
    allow,
    extraAuthorities,
    resolve: async () => ['127.0.0.1'],
  })

const mail = (more: Partial<Mail> = {}): Mail => ({
  senderName: 'An App',
  to: 'anna@example.com',
  subject: 'Sign in',
  text: '12345678 is your code\n',
  signal: new AbortController().signal,
  ...more,
})

const faultOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'sent',
    (error: EgressError) => error.fault,
  )

describe('sending a mail', () => {
  it('goes to the configured server, from the configured address', async () => {
    const server = await opened()
    await to({ port: server.port })(mail())
    expect(server.mails).toMatchObject([{ from: 'from@example.com', to: ['anna@example.com'], isSecure: false }])
    const [received] = server.mails
    expect(received?.text).toContain('From: An App <from@example.com>')
    expect(received?.text.toLowerCase()).toContain('auto-submitted: auto-generated')
    expect(received === undefined ? '' : codeIn(received)).toBe('12345678')
  })

  it('upgrades to TLS where it is told to, with the name of the server', async () => {
    const server = await opened({ cert, key })
    await to({ port: server.port, security: 'starttls' })(mail())
    expect(server.mails).toMatchObject([{ isSecure: true }])
    expect(await faultOf(to({ port: server.port, security: 'starttls' }, LOOPBACK, createAuthority('another').cert)(mail()))).not.toBe('sent')
    expect(await faultOf(to({ port: server.port, security: 'starttls', host: 'other.example' })(mail()))).not.toBe('sent')
    expect(server.mails).toHaveLength(1)
  })

  it('is not sent in plain text when the server offers nothing else', async () => {
    const server = await opened()
    expect(await faultOf(to({ port: server.port, security: 'starttls' })(mail()))).not.toBe('sent')
    expect(await faultOf(to({ port: server.port, security: 'tls' })(mail()))).not.toBe('sent')
    expect(server.mails).toEqual([])
  })

  it('speaks TLS from the first byte, and says who it is', async () => {
    const server = await opened({
      secure: true,
      cert,
      key,
      authOptional: false,
      onAuth: ({ username, password }, _session, done) =>
        username === 'daemon' && password === 'word' ? done(null, { user: username }) : done(new Error('no')),
    })
    const secure = { port: server.port, security: 'tls', username: 'daemon' } as const
    await to({ ...secure, password: () => 'word' })(mail())
    expect(server.mails).toMatchObject([{ isSecure: true, user: 'daemon' }])
    expect(await faultOf(to({ ...secure, password: () => 'wrong' })(mail()))).toBe('broken')
  })

  it('says nothing of an address that is refused', async () => {
    const server = await opened()
    server.refused.add('nobody@example.com')
    expect(await faultOf(to({ port: server.port })(mail({ to: 'nobody@example.com' })))).toBe('sent')
    expect(server.mails).toEqual([])
  })

  it('takes what would be another header or recipient for text', async () => {
    const server = await opened()
    await to({ port: server.port })(mail({ senderName: 'x>\r\nbcc: evil@example.com\r\n<', subject: 'y\r\nbcc: evil@example.com' }))
    const [received] = server.mails
    expect(received?.to).toEqual(['anna@example.com'])
    expect(received?.text).not.toMatch(/^bcc:/im)
  })
})

describe('what is not sent', () => {
  it('goes nowhere it was not told to', async () => {
    const server = await opened()
    expect(await faultOf(to({ port: server.port }, [])(mail()))).toBe('address_refused')
    const resolving = (address: string, security: Server['security'], port = 587) =>
      createMailEgress({
        server: { host: 'mail.example', port, security, username: undefined, password: undefined, from: 'a@example.com' },
        allow: [],
        resolve: async () => [address],
      })(mail())
    expect(await faultOf(resolving('169.254.169.254', 'starttls'))).toBe('address_refused')
    expect(await faultOf(resolving('8.8.8.8', 'none'))).toBe('plaintext_refused')
    expect(await faultOf(resolving('8.8.8.8', 'tls', 22))).toBe('port_refused')
    expect(server.mails).toEqual([])
  })

  it('is given up when the server is not there, does not greet, hangs up or is waited for no more', async () => {
    const sockets = new Set<Socket>()
    const silent = createServer((socket) => void sockets.add(socket))
    const rude = createServer((socket) => socket.destroy())
    for (const server of [silent, rude]) await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const portOf = (server: typeof silent): number => (server.address() as AddressInfo).port
    try {
      const abort = new AbortController()
      const waiting = faultOf(to({ port: portOf(silent) })(mail({ signal: abort.signal })))
      abort.abort()
      expect(await waiting).toBe('aborted')
      expect(await faultOf(to({ port: portOf(rude) })(mail()))).toMatch(/broken|connect_failed/)
      const gone = portOf(rude)
      await new Promise((done) => rude.close(done))
      expect(await faultOf(to({ port: gone })(mail()))).toBe('connect_failed')
    } finally {
      for (const socket of sockets) socket.destroy()
      silent.close()
    }
  })
})
