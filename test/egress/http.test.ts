import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { EgressError } from '../../src/egress/egress-error.ts'
import { createHttpEgress, type EgressRequest } from '../../src/egress/http.ts'
import { createAuthority, issue } from '../rpc/support/certificates.ts'

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

const listen = (server: Server | ReturnType<typeof createTcpServer>): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
    closing.push(() => {
      server.close()
      if ('closeAllConnections' in server) server.closeAllConnections()
    })
  })

const serve = (handler: RequestListener): Promise<number> => listen(createServer(handler))

const LOOPBACK = ['127.0.0.1/32']
const get = (url: string, more: Partial<EgressRequest> = {}): EgressRequest => ({
  url,
  method: 'GET',
  timeoutMs: 20_000,
  maxResponseBytes: 65_536,
  ...more,
})

const faultOf = async (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'answered',
    (error: EgressError) => error.fault,
  )

describe('sending over HTTP', () => {
  it('sends method, headers and body, and reads status, headers and body', async () => {
    let seen: { request: IncomingMessage; body: string } | undefined
    const port = await serve((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        seen = { request, body }
        response.writeHead(202, { 'x-answer': 'yes', 'set-cookie': ['a=1', 'b=2'] }).end('heard')
      })
    })
    const send = createHttpEgress({ allow: LOOPBACK })
    const answer = await send(
      get(`http://127.0.0.1:${port}/a?b=c#d`, { method: 'POST', headers: { 'x-ask': 'that' }, body: Buffer.from('{"ü":1}') }),
    )
    expect([answer.status, answer.headers['x-answer'], answer.headers['set-cookie']]).toEqual([202, 'yes', 'a=1, b=2'])
    expect(Buffer.from(answer.body).toString()).toBe('heard')
    expect([seen?.request.method, seen?.request.url, seen?.body]).toEqual(['POST', '/a?b=c', '{"ü":1}'])
    expect(seen?.request.headers).toMatchObject({ host: `127.0.0.1:${port}`, 'x-ask': 'that', 'content-length': '8' })
  })

  it('does not follow a redirect, whatever its kind', async () => {
    let asked = 0
    const port = await serve((_request, response) => {
      asked += 1
      response.writeHead([301, 302, 303, 307, 308][asked - 1] ?? 500, { location: 'http://169.254.169.254/latest' }).end()
    })
    const send = createHttpEgress({ allow: LOOPBACK })
    for (const status of [301, 302, 303, 307, 308])
      expect((await send(get(`http://127.0.0.1:${port}/`))).status).toBe(status)
    expect(asked).toBe(5)
  })

  it('connects to the address that was judged, and resolves once', async () => {
    const port = await serve((request, response) => response.end(request.headers.host))
    const answers = [['127.0.0.1'], ['169.254.169.254']]
    let asked = 0
    const send = createHttpEgress({ allow: LOOPBACK, resolve: async () => answers[asked++] ?? [] })
    const { body } = await send(get(`http://rebinds.example:${port}/`))
    expect(Buffer.from(body).toString()).toBe(`rebinds.example:${port}`)
    expect(asked).toBe(1)
    expect(await faultOf(send(get(`http://rebinds.example:${port}/`)))).toBe('address_refused')
  })

  it('checks the certificate against the name of the URL', async () => {
    const authority = createAuthority('test authority')
    const { cert, key } = issue(authority, { commonName: 'localhost' })
    const names: unknown[] = []
    const server = createTlsServer({ cert, key }, (request, response) => {
      names.push((request.socket as unknown as { servername: unknown }).servername)
      response.end('ok')
    })
    const port = await listen(server)
    const resolve = async (): Promise<string[]> => ['127.0.0.1']
    const trusting = createHttpEgress({ allow: LOOPBACK, extraAuthorities: authority.cert, resolve })
    expect((await trusting(get(`https://localhost:${port}/`))).status).toBe(200)
    expect(names).toEqual(['localhost'])
    expect(await faultOf(trusting(get(`https://other.example:${port}/`)))).toBe('certificate_refused')
    const strict = createHttpEgress({ allow: LOOPBACK, resolve })
    expect(await faultOf(strict(get(`https://localhost:${port}/`)))).toBe('certificate_refused')
    expect(names).toHaveLength(1)
  })
})

describe('what is not sent', () => {
  it.each([
    ['ftp://example.com/', 'url_refused'],
    ['file:///etc/passwd', 'url_refused'],
    ['not a url', 'url_refused'],
    ['https://user@example.com/', 'url_refused'],
    ['https://user:word@example.com/', 'url_refused'],
    [`https://example.com/${'a'.repeat(2_048)}`, 'url_refused'],
    ['http://2130706433/', 'address_refused'],
    ['https://0x7f000001/', 'address_refused'],
    ['https://0177.0.0.1/', 'address_refused'],
    ['https://127.1/', 'address_refused'],
    ['https://0/', 'address_refused'],
    ['https://[::]/', 'address_refused'],
    ['https://[::1]/', 'address_refused'],
    ['https://[::ffff:127.0.0.1]/', 'address_refused'],
    ['https://[::ffff:a9fe:a9fe]/', 'address_refused'],
    ['https://[64:ff9b::7f00:1]/', 'address_refused'],
    ['https://[fe80::1]/', 'address_refused'],
    ['https://169.254.169.254/latest/meta-data/', 'address_refused'],
    ['https://１６９.254.169.254/', 'address_refused'],
    ['https://100.64.0.1/', 'address_refused'],
    ['https://metadata.example/', 'address_refused'],
    ['https://mixed.example/', 'address_refused'],
    ['https://localhost./', 'address_refused'],
    ['http://public.example/', 'plaintext_refused'],
    ['https://public.example:22/', 'port_refused'],
    ['https://nowhere.example/', 'unresolvable'],
    ['https://empty.example/', 'unresolvable'],
  ])('%s: %s', async (url, fault) => {
    const names: Record<string, string[]> = {
      'metadata.example': ['169.254.169.254'],
      'mixed.example': ['8.8.8.8', '10.0.0.1'],
      'localhost.': ['127.0.0.1'],
      'public.example': ['8.8.8.8'],
      'empty.example': [],
    }
    const resolve = async (host: string): Promise<string[]> => {
      const found = names[host]
      if (found === undefined) throw new Error('ENOTFOUND')
      return found
    }
    expect(await faultOf(createHttpEgress({ allow: [], resolve })(get(url)))).toBe(fault)
  })

  it('is what a caller may not say in headers', async () => {
    const send = createHttpEgress({ allow: LOOPBACK })
    for (const headers of [{ host: 'x' }, { 'content-length': '5' }, { 'transfer-encoding': 'chunked' }, { a: 'b\r\nc: d' }, { A: 'b' }])
      await expect(send(get('http://127.0.0.1:9/', { headers }))).rejects.toThrow('assertion')
  })
})

describe('what is given up', () => {
  const bounded = async (respond: (response: ServerResponse) => void, more: Partial<EgressRequest> = {}): Promise<string> => {
    const port = await serve((_request, response) => respond(response))
    return faultOf(createHttpEgress({ allow: LOOPBACK })(get(`http://127.0.0.1:${port}/`, more)))
  }

  it('is an answer that says it is too long, before it is read', async () => {
    expect(await bounded((response) => response.writeHead(200, { 'content-length': '65537' }).flushHeaders())).toBe('response_too_large')
    expect(await bounded((response) => response.end(Buffer.alloc(65_536)))).toBe('answered')
  })

  it('is an answer without end, as soon as it is too long', async () => {
    let sent = 0
    const endless = (response: ServerResponse): void => {
      const more = (): void => {
        if (response.destroyed) return
        sent += 1
        if (response.write(Buffer.alloc(16_384))) setImmediate(more)
        else response.once('drain', more)
      }
      more()
    }
    expect(await bounded(endless)).toBe('response_too_large')
    expect(sent).toBeLessThan(2_000)
  })

  it('is an answer that comes too slowly, before and behind its headers', async () => {
    expect(await bounded(() => {}, { timeoutMs: 100 })).toBe('timeout')
    const dripping = (response: ServerResponse): void => {
      const timer = setInterval(() => response.write('.'), 10)
      response.on('close', () => clearInterval(timer))
    }
    expect(await bounded(dripping, { timeoutMs: 200 })).toBe('timeout')
  })

  it('is a name that does not resolve in time', async () => {
    const send = createHttpEgress({ allow: [], resolve: () => new Promise(() => {}) })
    expect(await faultOf(send(get('https://slow.example/', { timeoutMs: 50 })))).toBe('timeout')
  })

  it('is a connection that does not become one in time', async () => {
    const port = await listen(createTcpServer(() => {}))
    const send = createHttpEgress({ allow: LOOPBACK })
    expect(await faultOf(send(get(`https://127.0.0.1:${port}/`, { connectTimeoutMs: 100 })))).toBe('timeout')
  })

  it('is what nobody waits for any more', async () => {
    const abort = new AbortController()
    const answered = bounded(() => abort.abort(), { signal: abort.signal })
    expect(await answered).toBe('aborted')
    expect(await bounded((response) => response.end(), { signal: AbortSignal.abort() })).toBe('aborted')
  })

  it('is an answer that breaks off or is not HTTP', async () => {
    expect(await bounded((response) => response.writeHead(200, { 'content-length': '10' }).write('half', () => response.destroy()))).toBe('broken')
    const port = await listen(createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n')))
    expect(await faultOf(createHttpEgress({ allow: LOOPBACK })(get(`http://127.0.0.1:${port}/`)))).toBe('broken')
    const closed = await listen(createTcpServer((socket) => socket.destroy()))
    expect(await faultOf(createHttpEgress({ allow: LOOPBACK })(get(`http://127.0.0.1:${closed}/`)))).toBe('broken')
  })

  it('is an answer with headers without end', async () => {
    const long = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`x-${index}`, 'a'.repeat(1_000)]))
    expect(await bounded((response) => response.writeHead(200, long).end())).toBe('broken')
  })

  it('is a connection nobody takes', async () => {
    const server = createTcpServer()
    const port = await listen(server)
    await new Promise((resolve) => server.close(resolve))
    expect(await faultOf(createHttpEgress({ allow: LOOPBACK })(get(`http://127.0.0.1:${port}/`)))).toBe('connect_failed')
  })
})
