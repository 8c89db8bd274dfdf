import { setTimeout as sleep } from 'node:timers/promises'
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { describe, expect, it } from 'vitest'
import { cancellingStream } from '../../src/client/cancelling-stream.ts'
import { createCountersignClient } from '../../src/client/countersign-client.ts'
import { startLyingDaemon } from './lying-daemon.ts'

/** A server of endless rows that tells when a call of it was cancelled. */
const startEndless = async () => {
  const cancelled = Promise.withResolvers<void>()
  let calls = 0
  const watchEvents = async function* (_: unknown, context: HandlerContext) {
    calls += 1
    context.signal.addEventListener('abort', () => cancelled.resolve())
    for (let sequence = 1n; !context.signal.aborted; sequence += 1n) {
      yield { event: { sequence } }
      await sleep(5)
    }
  }
  const daemon = await startLyingDaemon({ audit: { watchEvents } })
  const client = createCountersignClient({ endpoint: daemon.endpoint, apiKey: 'csk_x' })
  return {
    client,
    calls: () => calls,
    cancelled: () => Promise.race([cancelled.promise.then(() => true), sleep(2000).then(() => false)]),
    [Symbol.asyncDispose]: async () => {
      client.close()
      await daemon[Symbol.asyncDispose]()
    },
  }
}

describe('a response stream', () => {
  it('is cancelled at the server when its reader breaks', async () => {
    await using server = await startEndless()
    const seen: bigint[] = []
    for await (const { event } of server.client.audit.watchEvents({})) {
      seen.push(event?.sequence ?? 0n)
      if (seen.length === 3) break
    }
    expect(seen).toEqual([1n, 2n, 3n])
    expect(await server.cancelled()).toBe(true)
  })

  it('is cancelled when the loop throws', async () => {
    await using server = await startEndless()
    const read = async () => {
      for await (const _ of server.client.audit.watchEvents({})) throw new Error('mine')
    }
    await expect(read()).rejects.toThrow('mine')
    expect(await server.cancelled()).toBe(true)
  })

  it('ends with CANCELLED when the caller\'s signal fires', async () => {
    await using server = await startEndless()
    const controller = new AbortController()
    const read = async () => {
      for await (const _ of server.client.audit.watchEvents({}, { signal: controller.signal })) controller.abort()
    }
    await expect(read()).rejects.toMatchObject({ name: 'CountersignError', code: 'CANCELLED' })
    expect(await server.cancelled()).toBe(true)
  })

  it('is not opened before it is read, and is read once', async () => {
    await using server = await startEndless()
    const stream = server.client.audit.watchEvents({})
    await sleep(50)
    expect(server.calls()).toBe(0)
    for await (const _ of stream) break
    expect(() => stream[Symbol.asyncIterator]()).toThrow('read once')
  })

  it('ends by itself when the server ends it', async () => {
    const watchEvents = async function* () {
      yield { event: { sequence: 1n } }
      yield { event: { sequence: 2n } }
    }
    await using daemon = await startLyingDaemon({ audit: { watchEvents } })
    using client = createCountersignClient({ endpoint: daemon.endpoint, apiKey: 'csk_x' })
    const seen: unknown[] = []
    for await (const answer of client.audit.watchEvents({})) seen.push(answer.event?.sequence)
    expect(seen).toEqual([1n, 2n])
  })

  it('reports a failure in its midst as CountersignError, after what came before', async () => {
    const watchEvents = async function* () {
      yield { event: { sequence: 1n } }
      throw new ConnectError('turn', Code.Unavailable)
    }
    await using daemon = await startLyingDaemon({ audit: { watchEvents } })
    using client = createCountersignClient({ endpoint: daemon.endpoint, apiKey: 'csk_x' })
    const seen: unknown[] = []
    const read = async () => {
      for await (const answer of client.audit.watchEvents({})) seen.push(answer.event?.sequence)
    }
    await expect(read()).rejects.toMatchObject({ name: 'CountersignError', code: 'UNAVAILABLE' })
    expect(seen).toEqual([1n])
  })

  it('answers a read that is under way when its reader leaves', async () => {
    const source = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>((_, fail) => rejected.push(fail)) }) }
    const rejected: ((error: Error) => void)[] = []
    const stream = cancellingStream((signal) => {
      signal.addEventListener('abort', () => rejected.forEach((fail) => fail(new Error('aborted'))))
      return source
    })
    const iterator = stream[Symbol.asyncIterator]()
    const pending = iterator.next()
    await iterator.return?.()
    expect(await pending).toEqual({ done: true, value: undefined })
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })
})
