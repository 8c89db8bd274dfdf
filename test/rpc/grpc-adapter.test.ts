import { setTimeout as sleep } from 'node:timers/promises'
import { Code, ConnectError } from '@connectrpc/connect'
import { describe, expect, it } from 'vitest'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { failure } from '../../src/domain/failure.ts'
import { toStatusError } from '../../src/rpc/status.ts'
import { openEcho } from './support/echo-listeners.ts'

const PROTOCOLS = ['grpc', 'connect', 'grpcWeb'] as const
const CANARY = 'csk_canary-text-of-an-inner-error'

const caught = async (work: () => Promise<unknown>): Promise<ConnectError> => {
  try {
    await work()
  } catch (error) {
    return ConnectError.from(error)
  }
  throw new Error('expected a refusal')
}

const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

async function* each<T>(...items: T[]) {
  yield* items
}

describe.each(PROTOCOLS)('a unary call over %s', (protocol) => {
  it('carries messages, headers and trailers both ways', async () => {
    await using echo = await openEcho({
      unary: (ask, context) => {
        context.responseHeader.set('x-seen', context.requestHeader.get('x-sent') ?? 'nothing')
        context.responseTrailer.set('x-after', 'end')
        return { text: ask.text.toUpperCase(), count: ask.count + 1 }
      },
    })
    const seen: string[] = []
    const answer = await echo.clients[protocol].unary(
      { text: 'grüße', count: 41 },
      {
        headers: { 'x-sent': 'there' },
        onHeader: (headers) => seen.push(headers.get('x-seen') ?? ''),
        onTrailer: (trailers) => seen.push(trailers.get('x-after') ?? ''),
      },
    )
    expect(answer).toMatchObject({ text: 'GRÜSSE', count: 42 })
    expect(seen).toEqual(['there', 'end'])
  })

  it('carries a refusal with its details', async () => {
    await using echo = await openEcho({
      unary: () => {
        throw toStatusError(failure('WALLET_AMBIGUOUS', { walletIds: ['wal_1', 'wal_2'] }))
      },
    })
    const error = await caught(() => echo.clients[protocol].unary({}))
    expect(error.code).toBe(Code.FailedPrecondition)
    expect(error.rawMessage).toBe('more than one wallet matches: wal_1, wal_2')
    const [info] = error.findDetails(ErrorInfoSchema)
    expect(info).toMatchObject({
      reason: 'WALLET_AMBIGUOUS',
      domain: 'countersign',
      metadata: { walletIds: 'wal_1,wal_2', retryable: 'no' },
    })
  })

  it('says nothing of an error that is not a refusal', async () => {
    await using echo = await openEcho({
      unary: async () => {
        await sleep(1)
        throw new TypeError(CANARY)
      },
    })
    const error = await caught(() => echo.clients[protocol].unary({}))
    expect(error.code).toBe(Code.Internal)
    expect(JSON.stringify([error.rawMessage, error.details, [...error.metadata]])).not.toContain(CANARY)
    expect(error.rawMessage).toBe('internal error')
  })

  it('ends at the client deadline', async () => {
    await using echo = await openEcho({
      unary: async (_ask, { signal }) => {
        await sleep(10_000, undefined, { signal })
        return {}
      },
    })
    const startMs = performance.now()
    const error = await caught(() => echo.clients[protocol].unary({}, { timeoutMs: 80 }))
    expect(error.code).toBe(Code.DeadlineExceeded)
    // Long before the handler would be through.
    expect(performance.now() - startMs).toBeLessThan(9_000)
  })

  it('tells the handler when the client cancels', async () => {
    const aborted = Promise.withResolvers<void>()
    await using echo = await openEcho({
      unary: async (_ask, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve())
        await sleep(10_000, undefined, { signal })
        return {}
      },
    })
    const controller = new AbortController()
    const call = caught(() => echo.clients[protocol].unary({}, { signal: controller.signal }))
    await sleep(50)
    controller.abort()
    expect((await call).code).toBe(Code.Canceled)
    await aborted.promise
  })
})

describe.each(PROTOCOLS)('a server stream over %s', (protocol) => {
  it('arrives in order and ends', async () => {
    await using echo = await openEcho({
      async *serverStream({ count }) {
        for (let index = 0; index < count; index += 1) yield { count: index }
      },
    })
    const all = await collect(echo.clients[protocol].serverStream({ count: 100 }))
    expect(all.map(({ count }) => count)).toEqual(Array.from({ length: 100 }, (_, index) => index))
  })

  it('delivers what came before an error, and masks the error', async () => {
    await using echo = await openEcho({
      async *serverStream() {
        yield { text: 'one' }
        throw new Error(CANARY)
      },
    })
    const texts: string[] = []
    const error = await caught(async () => {
      for await (const { text } of echo.clients[protocol].serverStream({})) texts.push(text)
    })
    expect(texts).toEqual(['one'])
    expect(error.code).toBe(Code.Internal)
    expect(error.rawMessage).toBe('internal error')
  })

  it('tells the handler when the client goes away', async () => {
    const ended = Promise.withResolvers<void>()
    await using echo = await openEcho({
      async *serverStream(_ask, { signal }) {
        try {
          for (;;) {
            yield {}
            await sleep(5, undefined, { signal })
          }
        } finally {
          ended.resolve()
        }
      },
    })
    const controller = new AbortController()
    await caught(async () => {
      for await (const _ of echo.clients[protocol].serverStream({}, { signal: controller.signal }))
        controller.abort()
    })
    await ended.promise
  })
})

describe.each(PROTOCOLS)('a client stream over %s', (protocol) => {
  it('is heard whole', async () => {
    await using echo = await openEcho({
      clientStream: async (asks) => ({ text: (await collect(asks)).map(({ text }) => text).join('') }),
    })
    const answer = await echo.clients[protocol].clientStream(each({ text: 'a' }, { text: 'b' }, { text: 'c' }))
    expect(answer.text).toBe('abc')
  })

  it('may be answered before it ends', async () => {
    await using echo = await openEcho({
      clientStream: async (asks) => {
        for await (const { text } of asks) return { text }
        return {}
      },
    })
    const answer = await echo.clients[protocol].clientStream(each({ text: 'first' }, { text: 'b' }, { text: 'c' }))
    expect(answer.text).toBe('first')
  })
})

describe('a bidirectional stream over grpc', () => {
  it('answers each message as it comes', async () => {
    await using echo = await openEcho({
      async *bidi(asks) {
        for await (const { count } of asks) yield { count: count * 2 }
      },
    })
    const answers: number[] = []
    const turn = { next: Promise.withResolvers<void>() }
    async function* talk() {
      for (let count = 0; count < 5; count += 1) {
        yield { count }
        await turn.next.promise
      }
    }
    for await (const { count } of echo.clients.grpc.bidi(talk())) {
      answers.push(count)
      const { next } = turn
      turn.next = Promise.withResolvers<void>()
      next.resolve()
    }
    expect(answers).toEqual([0, 2, 4, 6, 8])
  })

  it('sends its status when the handler leaves early', async () => {
    await using echo = await openEcho({
      async *bidi(asks) {
        for await (const _ of asks) {
          yield { text: 'enough' }
          return
        }
      },
    })
    const controller = new AbortController()
    async function* endless() {
      for (;;) {
        if (controller.signal.aborted) return
        yield { text: 'more' }
        await sleep(1)
      }
    }
    const answers = await collect(echo.clients.grpc.bidi(endless()))
    controller.abort()
    expect(answers.map(({ text }) => text)).toEqual(['enough'])
  })

  it('masks an error in the middle', async () => {
    await using echo = await openEcho({
      async *bidi(asks) {
        for await (const { text } of asks) {
          if (text === 'bad') throw new Error(CANARY)
          yield { text }
        }
      },
    })
    const error = await caught(() => collect(echo.clients.grpc.bidi(each({ text: 'good' }, { text: 'bad' }))))
    expect(error.code).toBe(Code.Internal)
    expect(error.rawMessage).toBe('internal error')
    expect(echo.masked).toHaveLength(1)
  })
})

describe('backpressure over grpc', () => {
  it('holds a handler back while its client does not read', async () => {
    let made = 0
    await using echo = await openEcho({
      async *serverStream() {
        for (; made < 2_000; made += 1) yield { data: new Uint8Array(100_000) }
      },
    })
    const stream = echo.clients.grpc.serverStream({})[Symbol.asyncIterator]()
    await stream.next()
    await sleep(300)
    const early = made
    await sleep(300)
    expect(made).toBe(early)
    expect(made).toBeLessThan(200)
  })

  it('holds a client back while its handler does not read', async () => {
    const go = Promise.withResolvers<void>()
    await using echo = await openEcho({
      clientStream: async (asks) => {
        let count = 0
        for await (const _ of asks) {
          if (count === 0) await go.promise
          count += 1
        }
        return { count }
      },
    })
    let sent = 0
    async function* flood() {
      for (; sent < 500; sent += 1) yield { data: new Uint8Array(100_000) }
    }
    const answer = echo.clients.grpc.clientStream(flood())
    await sleep(300)
    const early = sent
    await sleep(300)
    expect(sent).toBe(early)
    expect(sent).toBeLessThan(200)
    go.resolve()
    expect((await answer).count).toBe(500)
  })
})

describe('a handler that throws', () => {
  it.each(['at once', 'later'])(
    '%s ends neither the process nor the listener, at any kind of call',
    async (when) => {
      const fail = async (): Promise<never> => {
        if (when === 'later') await sleep(1)
        throw new Error(CANARY)
      }
      const failNow = (): never => {
        throw new Error(CANARY)
      }
      const now = when === 'at once'
      async function* failing() {
        yield await fail()
      }
      await using echo = await openEcho({
        unary: now ? failNow : fail,
        serverStream: now ? failNow : failing,
        clientStream: now ? failNow : fail,
        bidi: now ? failNow : failing,
      })
      const { grpc, connect, grpcWeb } = echo.clients
      for (const client of [grpc, connect, grpcWeb]) {
        const errors = [
          await caught(() => client.unary({})),
          await caught(() => collect(client.serverStream({}))),
          await caught(() => client.clientStream(each({}))),
        ]
        if (client === grpc) errors.push(await caught(() => collect(client.bidi(each({})))))
        for (const error of errors) {
          expect(error.code).toBe(Code.Internal)
          expect(error.rawMessage).toBe('internal error')
        }
      }
    },
  )
})

describe('a request that is not a message', () => {
  it.each(PROTOCOLS)('has the same reason when it is too large, over %s', async (protocol) => {
    await using echo = await openEcho({ unary: () => ({}) })
    const error = await caught(() => echo.clients[protocol].unary({ data: new Uint8Array(260 * 1024) }))
    expect(error.code).toBe(Code.ResourceExhausted)
    expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
      reason: 'REQUEST_TOO_LARGE',
      metadata: { limitBytes: '262144' },
    })
  })
})
