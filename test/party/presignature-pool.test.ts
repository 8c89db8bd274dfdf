import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { ReadyPresignature } from '../../src/party/initiator.ts'
import { type PoolEvents, type PoolSettings, PresignaturePool } from '../../src/party/presignature-pool.ts'

const wallet = (number: number): Uint8Array => new Uint8Array(16).fill(number)
const never = new AbortController().signal
const DAY_MS = 86_400_000

type Session = { readonly slots: readonly Uint8Array[]; readonly atMs: number }

/** A pool over parties that take `sessionMs` for a session and make everything they are asked for. */
const openPool = (settings: Partial<PoolSettings> = {}, sessionMs = 1) => {
  const sessions: Session[] = []
  const dropped: Uint8Array[] = []
  const low: { readonly walletId: Uint8Array; readonly left: number }[] = []
  const state = { nowMs: 1_000, sessionMs, refuse: undefined as unknown, hold: undefined as Promise<void> | undefined }
  let made = 0
  const presign = async (slots: readonly Uint8Array[]): Promise<readonly ReadyPresignature[]> => {
    sessions.push({ slots, atMs: performance.now() })
    await sleep(state.sessionMs)
    await state.hold
    if (state.refuse !== undefined) throw state.refuse
    return slots.map((walletId) => {
      made += 1
      const presigId = new Uint8Array(16)
      new DataView(presigId.buffer).setUint32(0, made)
      return { presigId, walletId, wEpoch: 1, noncePoint: presigId, expiresAtMs: state.nowMs + DAY_MS }
    })
  }
  const events: PoolEvents = {
    dropped: (walletId) => dropped.push(walletId),
    low: (walletId, left) => low.push({ walletId, left }),
  }
  const all = { lowWater: 4, highWater: 8, ttlMs: 60_000, capacity: 64, batch: 16, ...settings }
  const pool = new PresignaturePool(presign, all, () => state.nowMs, events)
  return { pool, sessions, dropped, low, state }
}

/** From the begin of one session to that of the next. */
const meanGapMs = (sessions: readonly Session[]): number =>
  ((sessions.at(-1)?.atMs ?? 0) - (sessions[0]?.atMs ?? 0)) / (sessions.length - 1)

const settled = (pool: PresignaturePool, size: number) => expect.poll(() => pool.size).toBe(size)

describe('a wallet’s pool', () => {
  it('makes one when it is empty, then fills itself to the high water', async () => {
    const { pool } = openPool()
    const taken = await pool.take(wallet(1), never)
    expect(taken.walletId).toEqual(wallet(1))
    await settled(pool, 8)
  })

  it('hands each presignature out once', async () => {
    const { pool } = openPool()
    const taken = await Promise.all(Array.from({ length: 100 }, () => pool.take(wallet(1), never)))
    expect(new Set(taken.map(({ presigId }) => Buffer.from(presigId).toString('hex'))).size).toBe(100)
  })

  it('waits below the high water until the low water is passed', async () => {
    const { pool, sessions } = openPool()
    await pool.take(wallet(1), never)
    await settled(pool, 8)
    const before = sessions.length
    for (let i = 0; i < 4; i++) await pool.take(wallet(1), never)
    await sleep(30)
    expect([pool.size, sessions.length]).toEqual([4, before])
    await pool.take(wallet(1), never)
    await settled(pool, 8)
  })

  it('refuses at once when asked not to wait, and fills all the same', async () => {
    const { pool } = openPool()
    await expect(pool.take(wallet(1), never, 'fail')).rejects.toMatchObject({ reason: 'PRESIGNATURES_EXHAUSTED' })
    await settled(pool, 8)
    await pool.take(wallet(1), never, 'fail')
  })

  it('lets go of who does not wait any longer', async () => {
    const { pool, state } = openPool()
    const held = Promise.withResolvers<void>()
    state.hold = held.promise
    const gone = new AbortController()
    const waiting = pool.take(wallet(1), gone.signal)
    gone.abort()
    await expect(waiting).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' })
    held.resolve()
    await settled(pool, 8)
  })

  it('keeps none that is too old', async () => {
    const { pool, state } = openPool()
    await pool.take(wallet(1), never)
    await settled(pool, 8)
    state.nowMs += 60_000
    await expect(pool.take(wallet(1), never, 'fail')).rejects.toMatchObject({ reason: 'PRESIGNATURES_EXHAUSTED' })
  })

  it('tells everyone who waits why nothing can be made, and does not try on its own', async () => {
    const { pool, sessions, state } = openPool()
    state.refuse = new Error('gone')
    const both = await Promise.allSettled([pool.take(wallet(1), never), pool.take(wallet(1), never)])
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await sleep(30)
    expect(sessions.length).toBeLessThan(5)
  })
})

describe('warming', () => {
  it('resolves when the pool is as deep as asked for, and keeps it there', async () => {
    const { pool } = openPool()
    expect(await pool.warm(wallet(1), 20, never)).toBe(20)
    expect(await pool.warm(wallet(2), 0, never)).toBe(8)
    expect(pool.fillRate).toBeGreaterThan(0)
  })

  it('answers with what is there when time is up, and goes on', async () => {
    const { pool } = openPool({}, 10)
    expect(await pool.warm(wallet(1), 40, AbortSignal.timeout(25))).toBeLessThan(40)
    await settled(pool, 40)
  })

  it('stays within the capacity', async () => {
    const { pool } = openPool({ capacity: 10 })
    expect(pool.walletCapacity).toBe(10)
    expect(await pool.warm(wallet(1), 4_096, never)).toBe(10)
  })

  it('says what keeps it from filling', async () => {
    const { pool, state } = openPool()
    state.refuse = new Error('gone')
    await expect(pool.warm(wallet(1), 4, never)).rejects.toThrow('gone')
  })
})

describe('all pools together', () => {
  it('give way to those used later, whole pools at a time, and the parties are told', async () => {
    const { pool, dropped } = openPool({ capacity: 16 })
    for (const number of [1, 2, 3]) {
      await pool.take(wallet(number), never)
      await expect.poll(() => pool.depthOf(wallet(number))).toBe(8)
    }
    expect(dropped).toEqual([wallet(1)])
    expect(pool.size).toBe(16)
    expect(pool.view()).toMatchObject({ ready: 16, capacity: 16, evictedTotal: 8 })
  })

  it('do not push each other out in turn', async () => {
    const { pool, sessions } = openPool({ capacity: 20 })
    for (const number of [1, 2, 3, 4, 5]) await pool.take(wallet(number), never)
    // They come to rest, where pushing each other out would never end.
    let before = -1
    while (sessions.length !== before) {
      before = sessions.length
      await sleep(100)
    }
    expect(pool.size).toBeLessThanOrEqual(20)
  })

  it('vanish when they are to be forgotten, what is being made included', async () => {
    const { pool, state, dropped } = openPool()
    const held = Promise.withResolvers<void>()
    state.hold = held.promise
    pool.keepWarm(wallet(1))
    await sleep(10)
    pool.forget(wallet(1))
    held.resolve()
    await sleep(30)
    expect(pool.size).toBe(0)
    expect(dropped.length).toBeGreaterThan(0)
    expect(pool.wallets()).toEqual([])
  })

  it('are empty once the other side has lost everything', async () => {
    const { pool, state } = openPool()
    const held = Promise.withResolvers<void>()
    await pool.take(wallet(1), never)
    await settled(pool, 8)
    state.hold = held.promise
    const waiting = pool.warm(wallet(1), 9, never)
    await sleep(10)
    pool.forgetAll()
    expect(pool.size).toBe(0)
    held.resolve()
    expect(await waiting).toBe(9)
  })

  it('hand out nothing once shut', async () => {
    const { pool, state } = openPool()
    state.hold = new Promise(() => {})
    const waiting = pool.take(wallet(1), never)
    pool.shut()
    await expect(waiting).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' })
    await expect(pool.take(wallet(1), never)).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' })
  })
})

describe('filling gives way', () => {
  it('to who waits: the next session is theirs', async () => {
    const { pool, sessions, state } = openPool({ highWater: 60 }, 5)
    pool.keepWarm(wallet(1))
    const held = Promise.withResolvers<void>()
    await pool.take(wallet(1), never)
    state.hold = held.promise
    await sleep(10)
    const before = sessions.length
    const waiting = Promise.all([2, 3, 4].map((number) => pool.take(wallet(number), never)))
    held.resolve()
    await waiting
    const next = sessions.slice(before)[0]?.slots.map((walletId) => walletId[0])
    expect(next).toEqual([2, 3, 4])
  })

  it('in small sessions', async () => {
    const { pool, sessions } = openPool({ highWater: 40 })
    pool.keepWarm(wallet(1))
    await pool.warm(wallet(1), 40, never)
    expect(Math.max(...sessions.map(({ slots }) => slots.length))).toBeLessThanOrEqual(4)
  })

  it('to signatures in flight, but does not starve', async () => {
    const { pool, sessions } = openPool({}, 5)
    const end = pool.beginLive()
    const enough = new AbortController()
    const warming = pool.warm(wallet(1), 200, enough.signal)
    await expect.poll(() => sessions.length).toBeGreaterThan(4)
    enough.abort()
    await warming
    end()
    // Without giving way there would be one every six or so.
    expect(meanGapMs(sessions)).toBeGreaterThan(30)
  })

  it('to signatures that come now and then', async () => {
    const { pool, sessions } = openPool({ lowWater: 2, highWater: 40 }, 5)
    await pool.take(wallet(2), never)
    await expect.poll(() => pool.depthOf(wallet(2)), { timeout: 20_000 }).toBe(40)
    await pool.take(wallet(2), never)
    const before = sessions.length
    const signing = setInterval(() => void pool.take(wallet(2), never), 20)
    const enough = new AbortController()
    const warming = pool.warm(wallet(1), 200, enough.signal)
    await expect.poll(() => sessions.length - before).toBeGreaterThan(8)
    enough.abort()
    await warming
    clearInterval(signing)
    expect(meanGapMs(sessions.slice(before))).toBeGreaterThan(16)
  })

  it('to nobody where the wallet that signs is nearly empty', async () => {
    // The best of several: a machine with other work rests where the pool does not.
    let leastMs = Infinity
    for (let turn = 0; turn < 20 && leastMs > 25; turn++) {
      const { pool, sessions } = openPool({ lowWater: 16, highWater: 64 }, 10)
      await pool.take(wallet(1), never)
      const end = pool.beginLive()
      const before = sessions.length
      await expect.poll(() => sessions.length - before).toBeGreaterThanOrEqual(2)
      end()
      leastMs = Math.min(leastMs, meanGapMs(sessions.slice(before, before + 2)))
      pool.shut()
    }
    expect(leastMs).toBeLessThan(25)
  })
})

describe('the alarm', () => {
  it('sounds once when a pool that was filled runs low, and again after it was filled', async () => {
    const { pool, low, state } = openPool()
    await pool.take(wallet(1), never)
    await settled(pool, 8)
    const held = Promise.withResolvers<void>()
    state.hold = held.promise
    for (let i = 0; i < 8; i++) await pool.take(wallet(1), never, 'fail')
    expect(low).toEqual([{ walletId: wallet(1), left: 1 }])
    expect(pool.view().walletsLow).toBe(1)
    held.resolve()
    await settled(pool, 8)
    expect(pool.view().walletsLow).toBe(0)
    for (let i = 0; i < 7; i++) await pool.take(wallet(1), never, 'fail')
    expect(low).toHaveLength(2)
  })

  it('does not sound for a pool that never was', async () => {
    const { pool, low } = openPool()
    await pool.take(wallet(1), never)
    expect(low).toEqual([])
  })
})

describe('the estimate', () => {
  it('is nothing where a presignature is ready or nobody is in the way', async () => {
    const { pool } = openPool()
    expect(pool.estimateWaitMs(wallet(1))).toBe(0)
    await pool.take(wallet(1), never)
    await settled(pool, 8)
    expect(pool.estimateWaitMs(wallet(1))).toBe(0)
  })

  it('grows with those who wait', async () => {
    const { pool, state } = openPool({ lowWater: 0 }, 20)
    await pool.take(wallet(1), never)
    const held = Promise.withResolvers<void>()
    state.hold = held.promise
    const waiting = [pool.take(wallet(2), never)]
    await sleep(1)
    const first = pool.estimateWaitMs(wallet(3))
    for (let i = 0; i < 40; i++) waiting.push(pool.take(wallet(2), never))
    expect(first).toBeGreaterThan(0)
    expect(pool.estimateWaitMs(wallet(3))).toBeGreaterThan(first + 30)
    held.resolve()
    await Promise.all(waiting)
  })
})
