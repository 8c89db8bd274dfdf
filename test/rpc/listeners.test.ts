import { spawn } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as http2Connect, constants } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Code, createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../../gen/grpc/health/v1/health_pb.ts'
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts'
import { ServerReflection as ServerReflectionAlpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { SERVICES } from '../../src/rpc/access.ts'
import { infoOf, reasonOf, refusalOf } from './support/refusal.ts'
import { openTestEdge, testKey } from './support/test-edge.ts'

const key = testKey(1, ['wallet:read', 'wallet:sign'])
const WALLET = 'countersign.v1.WalletService'
const EVERY_NAME = ['', ...Object.values(SERVICES).map(({ typeName }) => typeName)]

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'listen-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const openFailure = async (listen: Parameters<typeof openTestEdge>[0]['listen']) => {
  try {
    const open = await openTestEdge({ keys: [], listen: listen ?? {} })
    await open[Symbol.asyncDispose]()
  } catch (error) {
    return isFailure(error) ? `${error.reason}: ${error.message}` : error
  }
  return 'opened'
}

describe('a port', () => {
  it.each(['grpc', 'connect'] as const)(
    'that is taken is said to be, and everything is closed again: %s',
    async (which) => {
      const other = createServer().listen(0, '127.0.0.1')
      await new Promise((resolve) => {
        other.once('listening', resolve)
      })
      const { port } = other.address() as AddressInfo
      const socket = join(directory, 'edge.sock')
      const failed = await openFailure({ [which]: { host: '127.0.0.1', port }, socket })
      other.close()
      expect(failed).toBe(`LISTEN_FAILED: cannot listen on 127.0.0.1:${port}: something else is listening there`)
      expect(existsSync(socket)).toBe(false)
    },
  )

  it.each(['0.0.0.0', '::', '192.0.2.1'])(
    'beyond loopback is not opened in plaintext unless asked: %s',
    async (host) => {
      const address = { host, port: 0 }
      expect(await openFailure({ grpc: address })).toContain('plaintext beyond loopback')
      expect(await openFailure({ connect: address })).toContain('plaintext beyond loopback')
    },
  )

  it('beyond loopback is opened when asked by name', async () => {
    expect(await openFailure({ grpc: { host: '0.0.0.0', port: 0 }, allowPlaintextBeyondLoopback: true })).toBe(
      'opened',
    )
  })
})

const overSocket = (path: string, secret?: string) =>
  createClient(
    WalletService,
    createGrpcTransport({
      baseUrl: 'http://localhost',
      nodeOptions: { path },
      interceptors: [
        (next) => (request) => {
          if (secret !== undefined) request.header.set('authorization', `Bearer ${secret}`)
          return next(request)
        },
      ],
    }),
  )

/** A process that is killed while it listens leaves its socket file behind. */
const leaveStaleSocket = async (path: string): Promise<void> => {
  const program = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  const child = spawn(process.execPath, ['-e', program, path])
  await new Promise((resolve) => {
    child.once('exit', resolve)
  })
}

describe('a unix socket', () => {
  it('is private from the start and gone in the end', async () => {
    const socket = join(directory, 'edge.sock')
    const open = await openTestEdge({ keys: [key], listen: { socket } })
    expect(lstatSync(socket).mode & 0o777).toBe(0o600)
    expect((await overSocket(socket, key.secret).getWallet({ wallet: 'alice' })).wallet?.userId).toBe('alice')
    await open[Symbol.asyncDispose]()
    expect(existsSync(socket)).toBe(false)
  })

  it('takes the place of one that a killed daemon left', async () => {
    const socket = join(directory, 'edge.sock')
    await leaveStaleSocket(socket)
    expect(lstatSync(socket).isSocket()).toBe(true)
    await using open = await openTestEdge({ keys: [key], listen: { socket } })
    expect(open.reloads).toEqual([`stale ${socket}`])
    expect((await overSocket(socket, key.secret).getWallet({ wallet: 'alice' })).wallet?.userId).toBe('alice')
  })

  it('does not take the place of one that answers', async () => {
    const socket = join(directory, 'edge.sock')
    await using first = await openTestEdge({ keys: [key], listen: { socket } })
    expect(await openFailure({ socket })).toContain('something else is listening there')
    expect((await overSocket(socket, key.secret).getWallet({ wallet: 'alice' })).wallet?.userId).toBe('alice')
    expect(first.reached).toHaveLength(1)
  })

  it('does not take the place of another file', async () => {
    const path = join(directory, 'precious')
    writeFileSync(path, 'data')
    expect(await openFailure({ socket: path })).toContain('a file that is not a socket is there')
    expect(lstatSync(path).size).toBe(4)
  })

  it('is refused with a reason where it cannot be', async () => {
    expect(await openFailure({ socket: join(directory, 'missing', 'edge.sock') })).toContain('LISTEN_FAILED')
    expect(await openFailure({ socket: join(directory, 'x'.repeat(120)) })).toContain('longer than 107 bytes')
    if (process.getuid?.() !== 0) {
      chmodSync(directory, 0o500)
      expect(await openFailure({ socket: join(directory, 'edge.sock') })).toContain('LISTEN_FAILED')
      chmodSync(directory, 0o700)
    }
  })

  it('gives each caller of its own the identity of its own', async () => {
    const [one, two] = [testKey(11, ['wallet:read']), testKey(12, ['wallet:read'])]
    const paths = [join(directory, '1.sock'), join(directory, '2.sock')] as const
    await using open = await openTestEdge({
      keys: [one, two],
      listen: {
        boundSockets: [
          { path: paths[0], apiKeyId: one.record.apiKeyId },
          { path: paths[1], apiKeyId: two.record.apiKeyId },
        ],
      },
    })
    const clients = [overSocket(paths[0]), overSocket(paths[1])] as const
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        await clients[index % 2 === 0 ? 0 : 1].getWallet({ wallet: `u${index % 2}` })
      }),
    )
    expect(open.reached).toHaveLength(200)
    for (const { call, args } of open.reached) {
      const expected = (args as { walletRef: string }).walletRef === 'u0' ? one : two
      expect(call.caller.principal).toBe(expected.record.apiKeyId)
    }
  })
})

type RawAnswer = { readonly status: string | undefined; readonly grpcStatus: string | undefined }

const rawPost = (address: string, path: string, contentType: string, body: Uint8Array): Promise<RawAnswer> =>
  new Promise((resolve, reject) => {
    const session = http2Connect(`http://${address}`)
    session.once('error', reject)
    const request = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      'content-type': contentType,
      te: 'trailers',
      authorization: `Bearer ${key.secret}`,
    })
    const seen: IncomingHttpHeaders = {}
    request.on('response', (headers) => Object.assign(seen, headers))
    request.on('trailers', (trailers) => Object.assign(seen, trailers))
    request.on('error', () => {})
    request.on('close', () => {
      session.destroy()
      const header = (name: string) => (seen[name] === undefined ? undefined : String(seen[name]))
      resolve({ status: header(':status'), grpcStatus: header('grpc-status') })
    })
    request.resume()
    request.end(body)
  })

const grpcFrame = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** GetWallet {wallet: "alice"} */
const GET_ALICE = Buffer.from('0a05616c696365', 'hex')

describe('a path that is not exactly an RPC', () => {
  const paths = [
    `${WALLET}/GetWallet`,
    `//${WALLET}/GetWallet`,
    `/${WALLET}//GetWallet`,
    `/${WALLET}/GetWallet/`,
    `/${WALLET}/getWallet`,
    `/${WALLET.toLowerCase()}/GetWallet`,
    `/./${WALLET}/GetWallet`,
    `/x/../${WALLET}/GetWallet`,
    `/${WALLET}%2FGetWallet`,
    `/${WALLET}/GetWallet%00`,
    `/${WALLET}/GetWallet#`,
    `/${WALLET}/GetWall%65t`,
    `/${WALLET}/Get\u00c9`,
    '/',
    '*',
  ]
  it('reaches nothing and harms nothing', async () => {
    await using open = await openTestEdge({ keys: [key] })
    for (const path of [...paths, `/${WALLET}/GetWallet?a=b`]) {
      const { grpcStatus } = await rawPost(open.edge.grpcAddress, path, 'application/grpc', grpcFrame(GET_ALICE))
      expect(grpcStatus, path).not.toBe('0')
    }
    for (const path of paths) {
      const { status } = await rawPost(open.edge.connectAddress, path, 'application/proto', GET_ALICE)
      expect(status, path).not.toBe('200')
    }
    expect(open.reached).toHaveLength(0)
    const good = await rawPost(
      open.edge.grpcAddress,
      `/${WALLET}/GetWallet`,
      'application/grpc',
      grpcFrame(GET_ALICE),
    )
    expect(good.grpcStatus).toBe('0')
    const alsoGood = await rawPost(
      open.edge.connectAddress,
      `/${WALLET}/GetWallet`,
      'application/proto',
      GET_ALICE,
    )
    expect(alsoGood.status).toBe('200')
    expect(open.reached).toHaveLength(2)
  })
})

const rawText = (address: string, ...chunks: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const [host, port] = address.split(':')
    const socket = connect(Number(port), host)
    let answer = ''
    socket.on('data', (data) => {
      answer += data.toString('latin1')
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
    const send = async () => {
      for (const chunk of chunks) {
        socket.write(chunk, 'latin1')
        await sleep(20)
      }
    }
    send().catch(reject)
  })

describe('the second port', () => {
  const JSON_BODY = '{"wallet":"alice"}'
  const post = (headers: string) =>
    `POST /${WALLET}/GetWallet HTTP/1.1\r\n${headers}connection: close\r\ncontent-type: application/json\r\n` +
    `authorization: Bearer ${key.secret}\r\ncontent-length: ${JSON_BODY.length}\r\n\r\n${JSON_BODY}`

  it('answers JSON over HTTP/1.1, also when it comes in pieces', async () => {
    await using open = await openTestEdge({ keys: [key] })
    const text = post('host: localhost\r\n')
    expect(await rawText(open.edge.connectAddress, text)).toContain('"walletId":"wal_')
    expect(
      await rawText(open.edge.connectAddress, ...text.slice(0, 8).split(''), text.slice(8, 100), text.slice(100)),
    ).toContain('"walletId":"wal_')
  })

  it('survives host headers that make no URL', async () => {
    await using open = await openTestEdge({ keys: [key] })
    for (const host of ['[', 'a b', '%zz', ':::', '\u00ff', 'a:99999', ''])
      expect(await rawText(open.edge.connectAddress, post(`host: ${host}\r\n`))).toMatch(/^HTTP\/1.1 (400|200)/)
    expect(await rawText(open.edge.connectAddress, post('host: localhost\r\n'))).toContain('"walletId":"wal_')
  })

  it('refuses members that are misspelt, and says so', async () => {
    await using open = await openTestEdge({ keys: [key] })
    const response = await fetch(`http://${open.edge.connectAddress}/${WALLET}/GetWallet`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key.secret}` },
      body: '{"walet":"alice"}',
    })
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('INVALID_REQUEST')
    expect(open.reached).toHaveLength(0)
  })

  it('answers a refusal in JSON with its reason in the clear', async () => {
    await using open = await openTestEdge({ keys: [key] })
    const response = await fetch(`http://${open.edge.connectAddress}/${WALLET}/GetWallet`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    expect(response.status).toBe(401)
    const body = (await response.json()) as { details: { type: string; debug: unknown }[] }
    expect(body.details[0]?.type).toBe('google.rpc.ErrorInfo')
  })
})

describe('a body that is not a message', () => {
  it.each([
    ['cut off', Buffer.from('0a05616c', 'hex')],
    ['of a wrong wire type', Buffer.from('0d00000000ff', 'hex')],
    ['with text that is not UTF-8', Buffer.from('0a02c328', 'hex')],
    ['random', Buffer.from('deadbeef', 'hex')],
  ])('has the same reason on both ports: %s', async (_what, body) => {
    await using open = await openTestEdge({ keys: [key] })
    const grpc = await rawPost(open.edge.grpcAddress, `/${WALLET}/GetWallet`, 'application/grpc', grpcFrame(body))
    expect(grpc.grpcStatus).toBe(String(Code.InvalidArgument))
    const connectAnswer = await rawPost(
      open.edge.connectAddress,
      `/${WALLET}/GetWallet`,
      'application/proto',
      body,
    )
    expect(connectAnswer.status).toBe('400')
    expect(open.reached).toHaveLength(0)
  })
})

describe('text in JSON', () => {
  it.each([
    ['that is not UTF-8', '{"wallet":"alice","text":"\u00c3\u0028"}'],
    ['with half a surrogate pair', '{"wallet":"alice","text":"\\ud800"}'],
  ])('%s is refused, not repaired', async (_what, json) => {
    await using open = await openTestEdge({ keys: [key] })
    const body = Buffer.from(json, 'latin1')
    const { status } = await rawPost(open.edge.connectAddress, `/${WALLET}/SignMessage`, 'application/json', body)
    expect(status).toBe('400')
    expect(open.reached).toHaveLength(0)
  })
})

describe('a request that is too large', () => {
  it.each(['grpc', 'connect', 'grpcWeb'] as const)('is refused by RPC over %s', async (protocol) => {
    await using open = await openTestEdge({ keys: [key] })
    const client = open.client(WalletService, key.secret, protocol)
    const message = await refusalOf(
      client.signMessage({ wallet: 'alice', content: { case: 'data', value: new Uint8Array(300 * 1024) } }),
    )
    expect([message.code, infoOf(message)?.reason]).toEqual([Code.ResourceExhausted, 'REQUEST_TOO_LARGE'])
    const fits = await client.signTransaction({
      wallet: 'alice',
      transaction: { case: 'evmUnsigned', value: new Uint8Array(1_000 * 1024) },
    })
    expect(fits.transactionHash).toMatch(/^0x/)
    const transaction = await refusalOf(
      client.signTransaction({
        wallet: 'alice',
        transaction: { case: 'evmUnsigned', value: new Uint8Array(1_600 * 1024) },
      }),
    )
    expect(transaction.code).toBe(Code.ResourceExhausted)
    expect(open.reached).toHaveLength(1)
  })
})

describe('health and reflection', () => {
  it.each(['grpc', 'connect', 'grpcWeb'] as const)('are there for everyone over %s', async (protocol) => {
    await using open = await openTestEdge({ keys: [] })
    const health = open.client(Health, undefined, protocol)
    for (const service of EVERY_NAME) expect((await health.check({ service })).status).toBe(Serving.SERVING)
    expect((await refusalOf(health.check({ service: 'unknown.Service' }))).code).toBe(Code.NotFound)
    expect(Object.keys((await health.list({})).statuses).toSorted()).toEqual(EVERY_NAME.toSorted())
    open.edge.setServing(false)
    expect((await health.check({ service: WALLET })).status).toBe(Serving.NOT_SERVING)
  })

  it('tell of each change', async () => {
    await using open = await openTestEdge({ keys: [] })
    const seen: Serving[] = []
    for await (const { status } of open.client(Health).watch({ service: '' })) {
      seen.push(status)
      if (seen.length === 3) break
      open.edge.setServing(seen.length % 2 === 0)
    }
    expect(seen).toEqual([Serving.SERVING, Serving.NOT_SERVING, Serving.SERVING])
  })

  it('list every service, and the files of each', async () => {
    await using open = await openTestEdge({ keys: [] })
    async function* asking(symbol: string) {
      yield { messageRequest: { case: 'listServices' as const, value: '' } }
      yield { messageRequest: { case: 'fileContainingSymbol' as const, value: symbol } }
      yield { messageRequest: { case: 'fileByFilename' as const, value: 'countersign/v1/wallet.proto' } }
      yield { messageRequest: { case: 'fileContainingSymbol' as const, value: 'no.such.Symbol' } }
    }
    for (const desc of [ServerReflection, ServerReflectionAlpha]) {
      const cases: (string | undefined)[] = []
      for await (const { messageResponse } of open
        .client(desc)
        .serverReflectionInfo(asking(`${WALLET}.GetWallet`))) {
        cases.push(messageResponse.case)
        if (messageResponse.case === 'listServicesResponse')
          expect(messageResponse.value.service.map(({ name }) => name).toSorted()).toEqual(
            EVERY_NAME.slice(1).toSorted(),
          )
        if (messageResponse.case === 'fileDescriptorResponse')
          expect(messageResponse.value.fileDescriptorProto.length).toBeGreaterThan(3)
      }
      expect(cases).toEqual([
        'listServicesResponse',
        'fileDescriptorResponse',
        'fileDescriptorResponse',
        'errorResponse',
      ])
    }
  })
})

describe('stopping', () => {
  it('finishes what is in flight, ends streams, and lets nothing new in', async () => {
    const go = Promise.withResolvers<void>()
    const reader = testKey(2, ['audit:read', 'wallet:read'])
    const open = await openTestEdge({
      keys: [reader],
      wallets: {
        getWallet: async () => {
          await go.promise
          throw new Error('not reached by anything but the call in flight')
        },
      },
      audit: {
        watchEvents: ({ signal }) => ({
          [Symbol.asyncIterator]: () => ({
            next: () =>
              new Promise((resolve) => {
                signal.addEventListener('abort', () => resolve({ done: true, value: undefined }))
              }),
          }),
        }),
      },
    })
    const { AuditService } = await import('../../gen/countersign/v1/audit_pb.ts')
    const inFlight = refusalOf(open.client(WalletService, reader.secret).getWallet({ wallet: 'alice' }))
    const watching = (async () => {
      for await (const _ of open.client(AuditService, reader.secret).watchEvents({})) continue
    })()
    const watched = reasonOf(watching)
    await expect.poll(() => open.reached.length).toBe(2)
    const stopped = open.edge.stop(5_000)
    expect(await watched).toBe('SHUTTING_DOWN')
    go.resolve()
    expect((await inFlight).code).toBe(Code.Internal)
    await stopped
  })

  it('abandons what takes too long', async () => {
    const open = await openTestEdge({
      keys: [key],
      wallets: {
        getWallet: async () => new Promise(() => {}),
      },
    })
    const reason = reasonOf(open.client(WalletService, key.secret).getWallet({ wallet: 'alice' }))
    await expect.poll(() => open.reached.length).toBe(1)
    const startMs = performance.now()
    await open.edge.stop(100)
    expect(performance.now() - startMs).toBeLessThan(10_000)
    expect(await reason).toBe('SHUTTING_DOWN')
    rmSync(open.directory, { recursive: true, force: true })
  })
})
