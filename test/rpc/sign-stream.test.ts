/** SignStream over the whole edge, with a signer of this file behind it. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, type Client, type ConnectError } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { anyUnpack, timestampFromMs } from '@bufbuild/protobuf/wkt'
import { describe, expect, it } from 'vitest'
import { PoolMode, SignStreamRequestSchema, WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import type { SignStreamResponse } from '../../gen/countersign/v1/wallet_pb.ts'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { failure } from '../../src/domain/failure.ts'
import { reasonOf } from './support/refusal.ts'
import { openTestEdge, SIGNED, type TestEdge, testKey } from './support/test-edge.ts'

const signer = testKey(1, ['wallet:sign'])
const everything = testKey(2, ['wallet:sign', 'sign:digest', 'sign:authorization'])
const DIGEST = new Uint8Array(32).fill(1)

type Item = MessageInitShape<typeof SignStreamRequestSchema>
const message = (itemId: string, text = itemId, rest: object = {}): Item => ({
  itemId,
  request: { case: 'signMessage', value: { wallet: 'a', content: { case: 'text', value: text }, ...rest } },
})

const reasonIn = ({ result }: SignStreamResponse): string | undefined =>
  result.case === 'error'
    ? result.value.details.map((detail) => anyUnpack(detail, ErrorInfoSchema)).find((one) => one !== undefined)?.reason
    : undefined

/** Items to send by hand, and the answers as they come. */
const openStream = (client: Client<typeof WalletService>, signal?: AbortSignal) => {
  const outgoing: Item[] = []
  let isClosed = false
  let wake = Promise.withResolvers<void>()
  const stir = (): void => {
    wake.resolve()
    wake = Promise.withResolvers()
  }
  async function* items() {
    for (;;) {
      const next = outgoing.shift()
      if (next !== undefined) yield create(SignStreamRequestSchema, next)
      else if (isClosed) return
      else await wake.promise
    }
  }
  const answers = client.signStream(items(), signal === undefined ? {} : { signal })[Symbol.asyncIterator]()
  return {
    send: (...more: Item[]): void => {
      outgoing.push(...more)
      stir()
    },
    close: (): void => {
      isClosed = true
      stir()
    },
    next: async (): Promise<SignStreamResponse> => {
      const { value, done } = await answers.next()
      if (done === true) throw new Error('the stream has ended')
      return value
    },
    /** The answers until the end. */
    rest: async (): Promise<SignStreamResponse[]> => {
      const all: SignStreamResponse[] = []
      for (let next = await answers.next(); next.done !== true; next = await answers.next()) all.push(next.value)
      return all
    },
  }
}

const overHttp2 = ({ edge }: TestEdge, secret: string) =>
  createClient(
    WalletService,
    createConnectTransport({
      baseUrl: `http://${edge.connectAddress}`,
      httpVersion: '2',
      interceptors: [
        (next) => (request) => {
          request.header.set('authorization', `Bearer ${secret}`)
          return next(request)
        },
      ],
    }),
  )

/** A signer that answers when it is told to, by the text it signs. */
const holdingSigner = () => {
  const held = new Map<string, PromiseWithResolvers<void>>()
  const gate = (text: string) => {
    const found = held.get(text) ?? Promise.withResolvers<void>()
    held.set(text, found)
    return found
  }
  const begun: string[] = []
  return {
    begun,
    release: (text: string) => gate(text).resolve(),
    signMessage: async (_call: unknown, { content }: { readonly content: { readonly text?: string } }) => {
      begun.push(content.text ?? '')
      await gate(content.text ?? '').promise
      return SIGNED
    },
  }
}

describe('a stream of requests', () => {
  it.each(['grpc', 'http2'] as const)('answers each item by its name in the order of completion, over %s', async (kind) => {
    const held = holdingSigner()
    await using open = await openTestEdge({ keys: [signer], signing: { signMessage: held.signMessage as never } })
    const client = kind === 'grpc' ? open.client(WalletService, signer.secret) : overHttp2(open, signer.secret)
    const stream = openStream(client)
    stream.send(message('one'), message('two'), message('three'))
    await expect.poll(() => held.begun.length).toBe(3)
    held.release('two')
    const first = await stream.next()
    expect([first.itemId, first.result.case]).toEqual(['two', 'signMessage'])
    expect(first.timing).toMatch(/^queue;dur=[\d.]+, total;dur=[\d.]+$/)
    held.release('three')
    expect((await stream.next()).itemId).toBe('three')
    stream.close()
    held.release('one')
    expect((await stream.rest()).map(({ itemId }) => itemId)).toEqual(['one'])
    expect(open.events.filter(({ isItem }) => isItem).map(({ method }) => method.split('/')[1])).toEqual(
      Array.from({ length: 3 }, () => 'SignMessage'),
    )
  })

  it('carries every kind of request to the use case of its RPC', async () => {
    await using open = await openTestEdge({ keys: [everything] })
    const stream = openStream(open.client(WalletService, everything.secret))
    const authorization = { wallet: 'a', chainId: 1n, address: `0x${'ab'.repeat(20)}` }
    stream.send(
      message('1'),
      { itemId: '2', request: { case: 'signTypedData', value: { wallet: 'a', typedDataJson: '{}' } } },
      {
        itemId: '3',
        request: { case: 'signTransaction', value: { wallet: 'a', transaction: { case: 'evmUnsigned', value: DIGEST } } },
      },
      { itemId: '4', request: { case: 'signAuthorization', value: authorization } },
      { itemId: '5', request: { case: 'signDigest', value: { wallet: 'a', digest: DIGEST } } },
    )
    stream.close()
    const answers = await stream.rest()
    expect(answers.map(({ itemId, result }) => `${itemId} ${result.case}`).sort()).toEqual([
      '1 signMessage',
      '2 signTypedData',
      '3 signTransaction',
      '4 signAuthorization',
      '5 signDigest',
    ])
    expect(new Set(open.reached.map(({ call }) => call.method.split('/')[1]))).toEqual(
      new Set(['SignAuthorization', 'SignDigest', 'SignMessage', 'SignTransaction', 'SignTypedData']),
    )
  })

  it('refuses an item as its RPC would, with every detail, and goes on', async () => {
    await using open = await openTestEdge({
      keys: [signer],
      signing: {
        signTypedData: async () => {
          throw failure('TYPED_DATA_INVALID', { path: 'message.to', why: 'is missing' })
        },
        signMessage: async (_call, { content }) => {
          if (content.kind === 'text' && content.text === 'bug') throw new Error('csk_secret text')
          return SIGNED
        },
      },
    })
    const stream = openStream(open.client(WalletService, signer.secret))
    stream.send(
      { itemId: 'typed', request: { case: 'signTypedData', value: { wallet: 'a', typedDataJson: '{}' } } },
      { itemId: 'digest', request: { case: 'signDigest', value: { wallet: 'a', digest: DIGEST } } },
      { itemId: 'short', request: { case: 'signDigest', value: { wallet: 'a', digest: DIGEST.slice(1) } } },
      message('invalid', 'x', { wallet: '' }),
      message('large', 'x'.repeat(300_000)),
      message('bug'),
      { itemId: 'nothing' },
      message('good'),
    )
    stream.close()
    const answers = new Map((await stream.rest()).map((answer) => [answer.itemId, answer]))
    const reasons = Object.fromEntries([...answers].map(([id, answer]) => [id, reasonIn(answer) ?? answer.result.case]))
    expect(reasons).toEqual({
      typed: 'TYPED_DATA_INVALID',
      digest: 'PERMISSION_MISSING',
      short: 'PERMISSION_MISSING',
      invalid: 'INVALID_REQUEST',
      large: 'REQUEST_TOO_LARGE',
      bug: 'INTERNAL',
      nothing: 'INVALID_REQUEST',
      good: 'signMessage',
    })
    const { result } = answers.get('typed') ?? {}
    expect(result?.case === 'error' && result.value.details.map(({ typeUrl }) => typeUrl.split('.').at(-1))).toEqual([
      'ErrorInfo',
      'BadRequest',
    ])
    expect(JSON.stringify(answers.get('bug')?.result.value, (_key, value: unknown) => String(value) && value)).not.toMatch(/csk_/)
    expect(open.denials.map(({ method, reason }) => `${method.split('/')[1]} ${reason}`)).toEqual([
      'SignDigest PERMISSION_MISSING',
      'SignDigest PERMISSION_MISSING',
    ])
  })

  it('refuses an item whose id is in work, and answers the first all the same', async () => {
    const held = holdingSigner()
    await using open = await openTestEdge({ keys: [signer], signing: { signMessage: held.signMessage as never } })
    const stream = openStream(open.client(WalletService, signer.secret))
    stream.send(message('same', 'first'))
    await expect.poll(() => held.begun.length).toBe(1)
    stream.send(message('same', 'second'))
    const refused = await stream.next()
    expect([refused.itemId, reasonIn(refused)]).toEqual(['same', 'ITEM_IN_FLIGHT'])
    held.release('first')
    const first = await stream.next()
    expect([first.itemId, first.result.case]).toEqual(['same', 'signMessage'])
    held.release('third')
    stream.send(message('same', 'third'))
    expect((await stream.next()).result.case).toBe('signMessage')
    expect(held.begun).toEqual(['first', 'third'])
  })

  it('takes an empty message as a keep-alive, and ends where an item has no name', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const stream = openStream(open.client(WalletService, signer.secret))
    stream.send({}, message('one'), {})
    expect((await stream.next()).itemId).toBe('one')
    stream.send(message(''))
    expect(await reasonOf(stream.next())).toBe('INVALID_REQUEST')
  })

  it('signs once for one request_id, on the stream and beside it', async () => {
    let signed = 0
    await using open = await openTestEdge({
      keys: [signer],
      signing: {
        signMessage: async () => {
          signed += 1
          await sleep(20)
          return SIGNED
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    const requestId = randomUUID()
    const stream = openStream(client)
    stream.send(message('1', 'x', { requestId }), message('2', 'x', { requestId }), message('3', 'y', { requestId }))
    const answers = [await stream.next(), await stream.next(), await stream.next()]
    const byItem = Object.fromEntries(answers.map((answer) => [answer.itemId, reasonIn(answer) ?? answer.result.case]))
    expect(byItem).toEqual({ 1: 'signMessage', 2: 'signMessage', 3: 'IDEMPOTENCY_MISMATCH' })
    await client.signMessage({ wallet: 'a', content: { case: 'text', value: 'x' }, requestId })
    expect(signed).toBe(1)
  })
})

describe('a client that does not read', () => {
  it('is soon not read from: what is in work stays bounded', async () => {
    await using open = await openTestEdge({ keys: [signer], listen: { maxConcurrentRequests: 1_024 } })
    let sent = 0
    async function* items() {
      for (; sent < 20_000; sent++) yield create(SignStreamRequestSchema, message(String(sent), 'x'.repeat(20_000)))
    }
    const stop = new AbortController()
    const transport = createGrpcTransport({
      baseUrl: `http://${open.edge.grpcAddress}`,
      interceptors: [
        (next) => (request) => {
          request.header.set('authorization', `Bearer ${signer.secret}`)
          return next(request)
        },
      ],
    })
    const stream = createClient(WalletService, transport).signStream(items(), { signal: stop.signal })
    const answers = stream[Symbol.asyncIterator]()
    await answers.next()
    let before = -1
    while (open.reached.length !== before) {
      before = open.reached.length
      await sleep(1_000)
    }
    expect(before).toBeLessThan(5_000)
    // Reading again, everything moves again.
    for (let i = 0; i < 2_000; i++) await answers.next()
    expect(open.reached.length).toBeGreaterThan(before)
    stop.abort()
  })

  it('has at most 256 items in work', async () => {
    const held = holdingSigner()
    await using open = await openTestEdge({
      keys: [signer],
      signing: { signMessage: held.signMessage as never },
      listen: { maxConcurrentRequests: 1_024 },
    })
    const stream = openStream(open.client(WalletService, signer.secret))
    stream.send(...Array.from({ length: 400 }, (_, index) => message(String(index))))
    await expect.poll(() => held.begun.length).toBe(256)
    await sleep(100)
    expect(held.begun.length).toBe(256)
    for (let index = 0; index < 10; index++) held.release(String(index))
    for (let index = 0; index < 10; index++) await stream.next()
    await expect.poll(() => held.begun.length).toBe(266)
  })
})

describe('the end of a stream', () => {
  it('comes at once when its key is revoked, with nothing released', async () => {
    const key = testKey(7, ['wallet:sign'])
    const held = holdingSigner()
    await using open = await openTestEdge({ keys: [key], signing: { signMessage: held.signMessage as never } })
    const stream = openStream(open.client(WalletService, key.secret))
    stream.send(message('one'))
    await expect.poll(() => held.begun.length).toBe(1)
    key.isRevoked = true
    held.release('one')
    expect(await reasonOf(stream.next())).toBe('API_KEY_INVALID')
  })

  it('comes to an idle stream too when its key is revoked', async () => {
    const key = testKey(7, ['wallet:sign'])
    await using open = await openTestEdge({ keys: [key] })
    const stream = openStream(open.client(WalletService, key.secret))
    stream.send(message('one'))
    await stream.next()
    key.isRevoked = true
    expect(await reasonOf(stream.next())).toBe('API_KEY_INVALID')
  })

  it('abandons what is in work when the client goes away', async () => {
    let aborted = 0
    await using open = await openTestEdge({
      keys: [signer],
      signing: {
        signMessage: ({ signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              aborted += 1
              reject(signal.reason as Error)
            })
          }),
      },
    })
    const stop = new AbortController()
    const stream = openStream(open.client(WalletService, signer.secret), stop.signal)
    stream.send(message('one'), message('two'))
    await expect.poll(() => open.reached.length).toBe(2)
    stop.abort()
    await expect(stream.next()).rejects.toThrow()
    await expect.poll(() => aborted).toBe(2)
    await expect.poll(() => open.events.filter(({ isItem }) => !isItem).map(({ reason }) => reason)).toEqual(['CANCELLED'])
    expect(open.edge.inFlight()).toBe(0)
  })

  it('waits for what is in work when the daemon stops', async () => {
    const held = holdingSigner()
    await using open = await openTestEdge({ keys: [signer], signing: { signMessage: held.signMessage as never } })
    const stream = openStream(open.client(WalletService, signer.secret))
    stream.send(message('one'))
    await expect.poll(() => held.begun.length).toBe(1)
    const stopped = open.edge.stop(5_000)
    await sleep(50)
    stream.send(message('late'))
    await sleep(50)
    held.release('one')
    expect((await stream.next()).itemId).toBe('one')
    expect(await reasonOf(stream.next())).toBe('SHUTTING_DOWN')
    expect(held.begun).toEqual(['one'])
    stream.close()
    await stopped
  })

  it('is refused before it is read where the caller may not sign at all', async () => {
    const reader = testKey(8, ['wallet:read'])
    await using open = await openTestEdge({ keys: [reader] })
    const stream = openStream(open.client(WalletService, reader.secret))
    stream.send(message('one'))
    expect(await reasonOf(stream.next())).toBe('PERMISSION_MISSING')
    expect(open.reached).toEqual([])
  })

  it('does not exist over HTTP/1.1', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const response = await fetch(`http://${open.edge.connectAddress}/countersign.v1.WalletService/SignStream`, {
      method: 'POST',
      headers: { 'content-type': 'application/connect+json', authorization: `Bearer ${signer.secret}` },
      body: new Uint8Array(5),
    })
    expect(response.status).toBe(505)
  })
})

describe('what a request may say of its time', () => {
  it('nothing is begun after not_after, alone or on a stream', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const client = open.client(WalletService, signer.secret)
    const notAfter = timestampFromMs(Date.now() - 1)
    const content = { case: 'text', value: 'x' } as const
    expect(await reasonOf(client.signMessage({ wallet: 'a', content, notAfter }))).toBe('DEADLINE_EXCEEDED')
    const stream = openStream(client)
    stream.send(message('late', 'x', { notAfter }), message('good', 'x', { notAfter: timestampFromMs(Date.now() + 60_000) }))
    const answers = [await stream.next(), await stream.next()]
    expect(answers.map((answer) => `${answer.itemId} ${reasonIn(answer) ?? 'signed'}`).sort()).toEqual([
      'good signed',
      'late DEADLINE_EXCEEDED',
    ])
    expect(open.reached.length).toBe(1)
  })

  it('what is not done by not_after is abandoned', async () => {
    const held = holdingSigner()
    await using open = await openTestEdge({ keys: [signer], signing: { signMessage: held.signMessage as never } })
    const stream = openStream(open.client(WalletService, signer.secret))
    stream.send(message('first'))
    held.release('first')
    await stream.next()
    const notAfter = timestampFromMs(Date.now() + 500)
    stream.send(message('late', 'x', { notAfter }))
    const answer = await stream.next()
    expect(reasonIn(answer)).toBe('DEADLINE_EXCEEDED')
    expect(open.reached[1]?.call.signal.aborted).toBe(true)
    expect(open.reached[1]?.call.deadlineMs).toBeLessThanOrEqual(Number(notAfter.seconds) * 1_000 + notAfter.nanos / 1e6 + 1)
  })

  it('nothing is released on which a check no longer holds', async () => {
    await using open = await openTestEdge({
      keys: [signer],
      signing: {
        signMessage: async ({ releaseChecks }) => {
          releaseChecks.push(() => {
            throw failure('FROZEN', { scope: 'wallet', id: 'w' })
          })
          return SIGNED
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    expect(await reasonOf(client.signMessage({ wallet: 'a', content: { case: 'text', value: 'x' } }))).toBe('FROZEN')
    const stream = openStream(client)
    stream.send(message('one'))
    expect(reasonIn(await stream.next())).toBe('FROZEN')
  })

  it('the pool mode reaches the signer', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const client = open.client(WalletService, signer.secret)
    const content = { case: 'text', value: 'x' } as const
    await client.signMessage({ wallet: 'a', content, poolMode: PoolMode.FAIL })
    await client.signMessage({ wallet: 'a', content })
    expect(open.reached.map(({ call }) => call.whenPoolIsEmpty)).toEqual(['fail', 'wait'])
  })

  it.each(['grpc', 'connect', 'grpcWeb'] as const)('every signing answer says where its time went, over %s', async (protocol) => {
    await using open = await openTestEdge({ keys: [signer] })
    const client = open.client(WalletService, signer.secret, protocol)
    const timings: (string | null)[] = []
    const onTrailer = (trailer: Headers) => timings.push(trailer.get('countersign-timing'))
    await client.signMessage({ wallet: 'a', content: { case: 'text', value: 'x' } }, { onTrailer })
    expect(timings).toEqual([expect.stringMatching(/^queue;dur=[\d.]+, total;dur=[\d.]+$/)])
    expect(open.events[0]?.stages?.entries().map(([stage]) => stage)).toEqual(['queue'])
  })

  it.each(['grpc', 'connect', 'grpcWeb'] as const)('a refusal says so too, over %s', async (protocol) => {
    const refuse = (): never => {
      throw failure('FROZEN', { scope: 'wallet', id: 'w' })
    }
    await using open = await openTestEdge({ keys: [signer], signing: { signMessage: refuse } })
    const asked = open.client(WalletService, signer.secret, protocol).signMessage({ wallet: 'a', content: { case: 'text', value: 'x' } })
    const { metadata } = await asked.then(
      () => Promise.reject(new Error('answered')),
      (error: ConnectError) => error,
    )
    const said = metadata.get('countersign-timing') ?? metadata.get('trailer-countersign-timing')
    expect(said).toMatch(/^queue;dur=[\d.]+, total;dur=[\d.]+$/)
  })

  it('a refused item says so too', async () => {
    const refuse = (): never => {
      throw failure('FROZEN', { scope: 'wallet', id: 'w' })
    }
    await using open = await openTestEdge({ keys: [signer], signing: { signMessage: refuse } })
    const stream = openStream(open.client(WalletService, signer.secret))
    stream.send(message('one'))
    const answer = await stream.next()
    expect([reasonIn(answer), answer.timing]).toEqual(['FROZEN', expect.stringMatching(/^queue;dur=[\d.]+, total;dur=[\d.]+$/)])
  })
})
