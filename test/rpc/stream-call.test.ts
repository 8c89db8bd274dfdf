/** What ends a stream of requests, with times a test can wait for. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { failure } from '../../src/domain/failure.ts'
import { answerItems, type Item } from '../../src/rpc/item-stream.ts'
import { OpenStreamCall, type StreamCallSettings } from '../../src/rpc/stream-call.ts'
import { apiKeyId, PROJECT } from './support/test-edge.ts'

const opened: OpenStreamCall[] = []
afterEach(() => {
  for (const stream of opened.splice(0)) stream[Symbol.dispose]()
})

const open = (settings: Partial<StreamCallSettings> = {}): OpenStreamCall => {
  const none = new AbortController().signal
  const stream = new OpenStreamCall({
    caller: {
      kind: 'project',
      principal: apiKeyId(1),
      apiKeyId: apiKeyId(1),
      projectId: PROJECT,
      permissions: new Set(),
    },
    run: () => Promise.reject(new Error('not called')),
    clientSignal: none,
    stopSignal: none,
    abandonSignal: none,
    assertGood: () => {},
    maxAgeMs: 10_000,
    idleMs: 10_000,
    drainMs: 10_000,
    ...settings,
  })
  opened.push(stream)
  return stream
}

type Request = { readonly id: string; readonly work?: Promise<unknown> }
const openItem = ({ id, work }: Request): Item<string> => ({
  id,
  bytes: 1,
  work: async () => {
    await work
    return () => id
  },
})
const refuse = (id: string): string => `${id} refused`

/** The answers, and what the stream ended with. */
const run = async (requests: AsyncIterable<Request>, stream: OpenStreamCall) => {
  const answers: string[] = []
  try {
    for await (const answer of answerItems(requests, stream, openItem, refuse)) answers.push(answer)
    return { answers, ended: 'done' }
  } catch (error) {
    return { answers, ended: (error as { readonly reason?: string }).reason }
  }
}

async function* thenSilence(...requests: Request[]): AsyncGenerator<Request> {
  yield* requests
  await new Promise(() => {})
}

describe('a stream', () => {
  it('ends with STREAM_IDLE when nothing is asked', async () => {
    expect(await run(thenSilence({ id: '1' }), open({ idleMs: 50 }))).toEqual({ answers: ['1'], ended: 'STREAM_IDLE' })
  })

  it('stays open while keep-alives or answers come', async () => {
    const stream = open({ idleMs: 80, maxAgeMs: 300 })
    const touching = setInterval(stream.touch, 20)
    expect((await run(thenSilence(), stream)).ended).toBe('STREAM_ROTATE')
    clearInterval(touching)
  })

  it('answers what is in work before it ends with STREAM_ROTATE', async () => {
    const stream = open({ maxAgeMs: 30 })
    const outcome = await run(thenSilence({ id: 'slow', work: sleep(150) }), stream)
    expect(outcome).toEqual({ answers: ['slow'], ended: 'STREAM_ROTATE' })
  })

  it('does not wait for ever for what is in work', async () => {
    const stream = open({ maxAgeMs: 20, drainMs: 50 })
    const outcome = await run(thenSilence({ id: 'stuck', work: new Promise(() => {}) }), stream)
    expect(outcome).toEqual({ answers: [], ended: 'STREAM_ROTATE' })
    expect(stream.signal.aborted).toBe(true)
  })

  it('begins nothing that comes once the daemon stops', async () => {
    const stop = new AbortController()
    const stream = open({ stopSignal: stop.signal })
    async function* requests(): AsyncGenerator<Request> {
      yield { id: '1', work: sleep(60) }
      await sleep(20)
      stop.abort()
      yield { id: 'late' }
    }
    expect(await run(requests(), stream)).toEqual({ answers: ['1'], ended: 'SHUTTING_DOWN' })
  })

  it('ends at once when the daemon waits no longer', async () => {
    const abandon = new AbortController()
    const stream = open({ abandonSignal: abandon.signal })
    setTimeout(() => abandon.abort(), 20)
    expect(await run(thenSilence({ id: 'stuck', work: new Promise(() => {}) }), stream)).toEqual({
      answers: [],
      ended: 'SHUTTING_DOWN',
    })
  })

  it('ends at once when its key is over, idle or not', async () => {
    let isOver = false
    const assertGood = (): void => {
      if (isOver) throw failure('API_KEY_EXPIRED', { expireTime: 'then' })
    }
    setTimeout(() => (isOver = true), 20)
    expect((await run(thenSilence(), open({ assertGood }))).ended).toBe('API_KEY_EXPIRED')
  })

  it('ends as the client’s side ended, having answered everything', async () => {
    async function* requests(): AsyncGenerator<Request> {
      yield { id: 'slow', work: sleep(60) }
      yield { id: 'fast' }
      yield { id: 'slow' }
    }
    const outcome = await run(requests(), open())
    expect(outcome).toEqual({ answers: ['fast', 'slow refused', 'slow'], ended: 'done' })
  })

  it('tells what could not be read once what was read is answered', async () => {
    async function* requests(): AsyncGenerator<Request> {
      yield { id: 'slow', work: sleep(40) }
      throw failure('INVALID_REQUEST', { violations: [] })
    }
    expect(await run(requests(), open())).toEqual({ answers: ['slow'], ended: 'INVALID_REQUEST' })
  })

  it('reads no further while answers are not taken', async () => {
    let read = 0
    async function* requests(): AsyncGenerator<Request> {
      for (;;) yield { id: String(read++) }
    }
    const answers = answerItems(requests(), open(), openItem, refuse)
    await answers.next()
    await sleep(50)
    expect(read).toBeLessThanOrEqual(257)
    await answers.return(undefined)
  })
})
