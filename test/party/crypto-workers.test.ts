import { setImmediate as turn } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { CryptoThread } from '../../src/party/crypto-thread.ts'
import { inThreadSessionsOfC } from '../../src/party/in-thread-sessions.ts'
import { workerSessionsOfC, workerSessionsOfS } from '../../src/party/worker-sessions.ts'
import { endOf } from './judging.ts'
import { flipped, MaliciousC } from './malicious-c.ts'
import { typeOf } from './mutator.ts'
import { durable, entropy, jobOf, sha256, type TwoParties, twoParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('what is signed'))
const idC = sha256(Buffer.from('party C'))
const idS = sha256(Buffer.from('party S'))

/** Every worker that was started, in order. */
let started: Worker[] = []
const noteWorker = (worker: Worker): void => void started.push(worker)
beforeEach(() => {
  started = []
  process.on('worker', noteWorker)
})
const open: CryptoThread[] = []
afterEach(() => void process.off('worker', noteWorker))
afterEach(async () => {
  await Promise.all(open.splice(0).map((thread) => thread.close()))
})

/** Both sides in workers; what one loses, the other is told of, as their processes do. */
const withWorkers = async () => {
  const parties = makeLinkParties(idC, idS, 0)
  const gone: string[] = []
  const lose = (side: string) => (): void => {
    gone.push(side)
    const { lEpoch } = (side === 'C' ? two.linkC : two.linkS).record
    two.c.loseUpTo(lEpoch)
    two.s.loseUpTo(lEpoch)
  }
  const [threadC, threadS] = ['C', 'S'].map((side) => new CryptoThread(`crypto ${side}`, parties, lose(side)))
  if (threadC === undefined || threadS === undefined) throw new Error('two threads')
  open.push(threadC, threadS)
  await threadC.start()
  await threadS.start()
  const sessions = { c: workerSessionsOfC(threadC, parties, entropy), s: workerSessionsOfS(threadS, parties, entropy) }
  const two: TwoParties = await twoParties({ sessions })
  return { two, gone, threads: { C: threadC, S: threadS } }
}

describe('sessions in crypto workers', () => {
  it('set up a link, presign for several wallets and sign; no secret of a material is in the party', async () => {
    const { two } = await withWorkers()
    await two.c.warm()
    expect(Object.keys(two.linkC.material ?? {}).toSorted()).toEqual(['hk', 'lEpoch', 'lctx', 'role'])
    const ids = await two.newWallets(2)
    const made = await two.c.presign([...ids, ...ids])
    expect(made).toHaveLength(4)
    for (const ready of made) expect((await two.c.sign(jobOf(ready, payload))).r).toHaveLength(32)
    expect(await two.c.presign(Array.from({ length: 16 }, (_, i) => ids[i % 2] as Uint8Array))).toHaveLength(16)
  })
})

describe('what goes to a worker', () => {
  it('is handed over: no copy of a large message stays, no share stays open', async () => {
    const { two } = await withWorkers()
    await two.c.warm()
    const ids = await two.newWallets(1)
    const { loadWallet } = two.storeC
    const shares: Uint8Array[] = []
    Object.assign(two.storeC, {
      loadWallet: async (walletId: Uint8Array) => {
        const record = await loadWallet(walletId)
        if (record !== undefined) shares.push(record.share)
        return record
      },
    })
    const frames: [number, Uint8Array][] = []
    const note = <T extends Uint8Array | undefined>(frame: T): T => {
      if (frame !== undefined) frames.push([typeOf(frame), frame])
      return frame
    }
    two.wire.toS = note
    two.wire.toC = note
    await two.c.presign([...ids, ...ids])
    const { P2, P3, P4 } = FRAME_TYPES
    const large = frames.filter(([type]) => type === P2 || type === P3 || type === P4)
    expect(large).toHaveLength(3)
    for (const [, { buffer }] of large) expect(buffer.byteLength).toBe(0)
    expect(shares.length).toBeGreaterThan(0)
    for (const share of shares) expect(share.every((byte) => byte === 0)).toBe(true)
  })
})

describe('workers that come up while the parties are at work', () => {
  it.each([0, 1, 2, 3])('take the material over between two sessions (%i)', async (round) => {
    const parties = makeLinkParties(idC, idS, 0)
    const [threadC, threadS] = ['C', 'S'].map((side) => new CryptoThread(`crypto ${side}`, parties, () => {}))
    if (threadC === undefined || threadS === undefined) throw new Error('two threads')
    open.push(threadC, threadS)
    const sessions = { c: workerSessionsOfC(threadC, parties, entropy), s: workerSessionsOfS(threadS, parties, entropy) }
    const two = await twoParties({ sessions })
    void threadC.start()
    if (round % 2 === 1) void threadS.start()
    if (round > 1) await threadC.start()
    await two.c.warm()
    const ids = await two.newWallets(1)
    void threadS.start()
    while (!threadC.isReady || !threadS.isReady) {
      expect(await two.c.presign([...ids, ...ids])).toHaveLength(2)
      await turn()
    }
    for (let i = 0; i < 3; i++) expect(await two.c.presign([...ids, ...ids])).toHaveLength(2)
    two.clock.advance(6_000)
    await two.c.renewForErasure()
    const [ready] = await two.c.presign(ids)
    expect((await two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload))).r).toHaveLength(32)
    expect(two.alerts).toEqual([])
  })
})

describe('a worker that ends', () => {
  it.each(['C', 'S'] as const)('of %s: its presignatures are gone on both sides, and the link is set up anew', async (side) => {
    const { two, gone, threads } = await withWorkers()
    await two.c.warm()
    const ids = await two.newWallets(2)
    const before = await two.c.presign([...ids, ...ids])
    const { lEpoch } = two.linkC.record
    two.clock.advance(6_000)
    await started[side === 'C' ? 0 : 1]?.terminate()
    expect(gone).toEqual([side])
    expect([two.c.presignatureCount, two.s.presignatureCount]).toEqual([0, 0])
    expect([two.linkC.material, two.linkS.material]).toEqual([undefined, undefined])
    for (const ready of before) expect(await endOf(two.c.sign(jobOf(ready, payload)))).toBe('C:A:unknown_presig')
    // Nobody waits for another worker: until it is there, sessions are computed where they are asked for.
    const [ready] = await two.c.presign(ids)
    expect(two.linkC.record.lEpoch).toBe(lEpoch + 1)
    const used = new Set(before.map(({ presigId }) => Buffer.from(presigId).toString('hex')))
    expect(used.has(Buffer.from(ready?.presigId ?? []).toString('hex'))).toBe(false)
    expect((await two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload))).r).toHaveLength(32)
    while (!threads[side].isReady) await turn()
    expect(await two.c.presign(ids)).toHaveLength(2)
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
  })

  it.each([
    ['C', FRAME_TYPES.P2, 'error:CryptoWorkerGone'],
    ['C', FRAME_TYPES.P4, 'error:CryptoWorkerGone'],
    ['S', FRAME_TYPES.P1, 'done'],
    ['S', FRAME_TYPES.P3, 'done'],
  ] as const)('of %s while it works on %i: the session fails, or is made again', async (side, at, end) => {
    const { two } = await withWorkers()
    await two.c.warm()
    const ids = await two.newWallets(1)
    two.clock.advance(6_000)
    let once = true
    const strike = <T extends Uint8Array | undefined>(frame: T): T => {
      if (once && frame !== undefined && typeOf(frame) === at) {
        once = false
        void started[side === 'C' ? 0 : 1]?.terminate()
      }
      return frame
    }
    two.wire.toS = strike
    two.wire.toC = strike
    // The step may have been finished before the thread was stopped.
    expect(['done', end]).toContain(await endOf(two.c.presign(ids)))
    expect(once).toBe(false)
    two.clock.advance(6_000)
    expect(await two.c.presign(ids)).toHaveLength(1)
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
  })
})

describe('T44 a failing check in a worker', () => {
  const cheated = async () => {
    const parties = makeLinkParties(idC, idS, 0)
    const thread: CryptoThread = new CryptoThread('crypto S', parties, () => two.s.loseUpTo(two.linkS.record.lEpoch))
    open.push(thread)
    await thread.start()
    const sessions = { c: inThreadSessionsOfC(parties, entropy), s: workerSessionsOfS(thread, parties, entropy) }
    const two: TwoParties = await twoParties({ sessions })
    await two.c.warm()
    const ids = await two.newWallets(1)
    const evil = new MaliciousC(two)
    const { sid, body } = await evil.untilP3(ids)
    return { two, evil, sid, body: flipped(body, 100) }
  }

  it('burns the link before anything is answered', async () => {
    const { two, evil, sid, body } = await cheated()
    expect((await evil.sendP3(sid, body)).refusal?.code).toBe('link_burned')
    expect(await durable(two)).toMatchObject({ s: 'BURNED', burnsS: 1 })
    expect(two.linkS.material).toBeUndefined()
  })

  it('a worker that is killed meanwhile: burned, or the material is gone with it', async () => {
    for (const afterTurns of [0, 1, 2, 3]) {
      const { two, evil, sid, body } = await cheated()
      const answer = evil.sendP3(sid, body)
      for (let i = 0; i < afterTurns; i++) await turn()
      await started.at(-1)?.terminate()
      const { refusal } = await answer
      expect(two.linkS.material).toBeUndefined()
      expect(two.s.presignatureCount).toBe(0)
      if (refusal?.code === 'link_burned') expect((await durable(two)).s).toBe('BURNED')
      else expect([refusal?.code, (await durable(two)).s]).toEqual(['link_stale', 'ACTIVE'])
    }
  })
})
