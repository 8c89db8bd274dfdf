/** Peers that mean no good: slow, silent, compressed, endless or broken requests on the real listeners. */
import { connect as http2Connect } from 'node:http2'
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { EchoListeners } from './support/echo-listeners.ts'
import { openEcho } from './support/echo-listeners.ts'

const BODY_TIMEOUT_MS = 150
/** On a machine with no time to spare; without the timeout nothing would ever end. */
const IN_TIME_MS = 8_000
const UNARY = '/test.v1.EchoService/Unary'
const PORTS = [
  ['grpc', 'application/grpc'],
  ['connect', 'application/proto'],
] as const

const addressOf = (echo: EchoListeners, port: 'grpc' | 'connect') =>
  port === 'grpc' ? echo.grpcAddress : echo.connectAddress

type Ended = { readonly headers: IncomingHttpHeaders; readonly tookMs: number }

/** Opens a request, lets `act` send what it wants, and waits until the stream is closed. */
const request = (address: string, headers: object, act: (stream: ClientHttp2Stream) => void): Promise<Ended> =>
  new Promise((resolve) => {
    const session = http2Connect(`http://${address}`)
    session.on('error', () => {})
    const startMs = performance.now()
    const stream = session.request({ ':method': 'POST', ':path': UNARY, te: 'trailers', ...headers })
    const seen: IncomingHttpHeaders = {}
    stream.on('response', (answer) => Object.assign(seen, answer))
    stream.on('trailers', (answer) => Object.assign(seen, answer))
    stream.on('error', () => {})
    stream.on('close', () => {
      session.destroy()
      resolve({ headers: seen, tookMs: performance.now() - startMs })
    })
    stream.resume()
    act(stream)
  })

const frame = (message: Uint8Array, flag = 0): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt8(flag)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

const stillServes = async (echo: EchoListeners): Promise<void> => {
  for (const client of [echo.clients.grpc, echo.clients.connect, echo.clients.grpcWeb])
    expect((await client.unary({ text: 'x' })).text).toBe('x')
}

const open = () => openEcho({ unary: ({ text }) => ({ text }) }, BODY_TIMEOUT_MS)

describe('a body that does not arrive', () => {
  it.each(PORTS)('ends in time on the %s port', async (port, contentType) => {
    await using echo = await open()
    const { tookMs } = await request(addressOf(echo, port), { 'content-type': contentType }, (stream) => {
      stream.write(Buffer.from([0, 0]))
    })
    expect(tookMs).toBeGreaterThan(BODY_TIMEOUT_MS / 2)
    expect(tookMs).toBeLessThan(IN_TIME_MS)
    await stillServes(echo)
  })

  it('ends in time over HTTP/1.1, as do silence and headers that never end', async () => {
    await using echo = await open()
    const [host, port] = echo.connectAddress.split(':')
    const head = `POST ${UNARY} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n`
    for (const start of [`${head}\r\n{`, head]) {
      const startMs = performance.now()
      await new Promise((resolve) => {
        const socket = connect(Number(port), host)
        socket.on('close', resolve)
        socket.on('error', () => {})
        socket.resume()
        socket.write(start)
      })
      expect(performance.now() - startMs).toBeLessThan(IN_TIME_MS)
    }
    await stillServes(echo)
  })

  it('holds nobody else up, however many there are', async () => {
    await using echo = await open()
    const slow = Array.from({ length: 200 }, () =>
      request(echo.grpcAddress, { 'content-type': 'application/grpc' }, (stream) =>
        stream.write(Buffer.from([0])),
      ),
    )
    await stillServes(echo)
    for (const { headers } of await Promise.all(slow)) expect(headers['grpc-status']).toBe('4')
    await stillServes(echo)
  })
})

describe('a frame', () => {
  const header = { 'content-type': 'application/grpc' }
  it.each([
    ['that says it has 4 GiB', Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), {}, '8'],
    ['compressed with garbage', frame(Buffer.from('not gzip'), 1), { 'grpc-encoding': 'gzip' }, '13'],
    ['compressed in a way unknown', frame(Buffer.from('x'), 1), { 'grpc-encoding': 'lzw' }, '12'],
    ['that grows without end', frame(gzipSync(Buffer.alloc(64 << 20)), 1), { 'grpc-encoding': 'gzip' }, '8'],
    ['sent twice', Buffer.concat([frame(Buffer.alloc(0)), frame(Buffer.alloc(0))]), {}, '12'],
  ])('%s is refused, and the listener lives', async (_what, body, extra, status) => {
    await using echo = await open()
    const { headers } = await request(echo.grpcAddress, { ...header, ...extra }, (stream) => stream.end(body))
    expect(headers['grpc-status']).toBe(status)
    await stillServes(echo)
  })

  it('too large is refused though its sender never ends', async () => {
    await using echo = await open()
    const { headers } = await request(echo.grpcAddress, header, (stream) => {
      stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1]))
    })
    expect(headers['grpc-status']).toBe('8')
    await stillServes(echo)
  })

  it('left open at its end is refused', async () => {
    await using echo = await open()
    const { headers } = await request(echo.grpcAddress, header, (stream) =>
      stream.end(Buffer.from([0, 0, 0, 0, 9, 1])),
    )
    expect(headers['grpc-status']).not.toBe('0')
    await stillServes(echo)
  })
})

describe('compression on the second port', () => {
  it('is not offered and not taken', async () => {
    await using echo = await open()
    const extra = {
      'content-type': 'application/proto',
      'content-encoding': 'gzip',
      'accept-encoding': 'gzip, br',
    }
    const { headers } = await request(echo.connectAddress, extra, (stream) =>
      stream.end(gzipSync(Buffer.alloc(0))),
    )
    expect(headers[':status']).not.toBe(200)
    const plain = { 'content-type': 'application/proto', 'accept-encoding': 'gzip, br' }
    const answer = await request(echo.connectAddress, plain, (stream) => stream.end())
    expect([answer.headers[':status'], answer.headers['content-encoding']]).toEqual([200, undefined])
  })
})

describe('a connection', () => {
  it('that opens streams and resets them at once is cut off, and nobody else is', async () => {
    await using echo = await open()
    const session = http2Connect(`http://${echo.grpcAddress}`)
    const ended = new Promise((resolve) => {
      session.on('close', resolve)
      session.on('error', () => {})
    })
    const flood = async () => {
      for (let count = 0; count < 200 && !session.closed; count += 1) {
        for (let burst = 0; burst < 100 && !session.closed; burst += 1) {
          const stream = session.request({ ':method': 'POST', ':path': UNARY, 'content-type': 'application/grpc' })
          stream.on('error', () => {})
          stream.close(8)
        }
        await sleep(1)
      }
    }
    await flood().catch(() => {})
    await Promise.race([ended, sleep(3_000)])
    await stillServes(echo)
    session.destroy()
  })

  it('of random bytes harms nothing', async () => {
    await using echo = await open()
    for (const address of [echo.grpcAddress, echo.connectAddress]) {
      const [host, port] = address.split(':')
      for (const bytes of [
        '\0'.repeat(64),
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff',
        'PRX',
        'GET',
        '\x16\x03\x01',
      ]) {
        const socket = connect(Number(port), host)
        socket.on('error', () => {})
        socket.end(Buffer.from(bytes, 'latin1'))
        await sleep(5)
        socket.destroy()
      }
    }
    await stillServes(echo)
  })
})
