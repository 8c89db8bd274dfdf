import { setTimeout as sleep } from 'node:timers/promises'
import type { WorkerOptions } from 'node:worker_threads'
import { describe, expect, it, vi } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { CryptoThread, CryptoWorkerGone, startInTurn } from '../../src/party/crypto-thread.ts'
import type { SessionCall } from '../../src/party/session-calls.ts'
import { sha256 } from './two-parties.ts'

const refusals = vi.hoisted(() => ({ left: 0, deaf: false }))
vi.mock('node:worker_threads', async (load) => {
  const real = await load<typeof import('node:worker_threads')>()
  class Worker extends real.Worker {
    constructor(file: URL, options: WorkerOptions) {
      if (refusals.left > 0) {
        refusals.left -= 1
        throw new Error('no thread is to be had')
      }
      super(file, options)
    }

    override postMessage(...args: Parameters<InstanceType<typeof real.Worker>['postMessage']>): void {
      if (!refusals.deaf) super.postMessage(...args)
    }
  }
  return { ...real, Worker }
})

const parties = makeLinkParties(sha256(Buffer.from('party C')), sha256(Buffer.from('party S')), 0)

describe('a crypto thread', () => {
  it('that cannot be started is tried again; the party goes on, and has lost nothing', async () => {
    refusals.left = 2
    const gone: string[] = []
    const thread = new CryptoThread('crypto', parties, (why) => gone.push(why))
    await thread.start()
    expect(thread.isReady).toBe(false)
    const lateMs = performance.now() + 30_000
    while (!thread.isReady && performance.now() < lateMs) await sleep(20)
    expect([thread.isReady, refusals.left, gone]).toEqual([true, 0, []])
    await thread.close()
  })

  it('that hangs is replaced, and who waits for it hears that it is gone', async () => {
    const gone: string[] = []
    const thread = new CryptoThread('crypto', parties, (why) => gone.push(why), 50)
    await thread.start()
    refusals.deaf = true
    await expect(thread.call({ op: 'advance' } as unknown as SessionCall)).rejects.toBeInstanceOf(CryptoWorkerGone)
    refusals.deaf = false
    expect(gone).toHaveLength(1)
    const lateMs = performance.now() + 30_000
    while (!thread.isReady && performance.now() < lateMs) await sleep(20)
    expect(thread.isReady).toBe(true)
    await thread.close()
  })

  it('is started though the link before it cannot be set up', async () => {
    const started: number[] = []
    const links = [0, 1].map((shard) => ({ shard, crypto: { start: async () => void started.push(shard) } }))
    startInTurn(links, 0, ({ shard }) => (shard === 0 ? new Promise<void>(() => {}) : Promise.resolve()), 50)
    const lateMs = performance.now() + 30_000
    while (started.length < 2 && performance.now() < lateMs) await sleep(10)
    expect(started).toEqual([0, 1])
  })
})
