import { describe, expect, it } from 'vitest'
import type { SessionKeyId } from '../../src/domain/ids.ts'
import { ClockWatch } from '../../src/session/clock-watch.ts'
import { nextNonce, SessionNonces } from '../../src/session/nonces.ts'
import type { NoncePolicy } from '../../src/payload/profile/profile.ts'
import { moveNonceMark, readNonceMark } from '../../src/vault/session-marks.ts'
import { reasonOf } from '../vault/fixture.ts'

const NOW = 1_800_000_000_000
const MS: NoncePolicy = { style: 'clock', unit: 'ms', rule: 'increasing', backMs: 5_000, aheadMs: 1_000 }
const turn = (nowMs: number, isUrgent = false) => ({ nowMs, isUrgent, random: () => 12_345_678_901n })

describe('the next nonce', () => {
  it('is the time, in the unit of the venue, and never one that was given away', () => {
    expect(nextNonce(MS, undefined, turn(NOW))).toBe(BigInt(NOW))
    expect(nextNonce(MS, BigInt(NOW), turn(NOW))).toBe(BigInt(NOW) + 1n)
    expect(nextNonce(MS, BigInt(NOW) + 7n, turn(NOW))).toBe(BigInt(NOW) + 8n)
    expect(nextNonce(MS, BigInt(NOW) - 7n, turn(NOW))).toBe(BigInt(NOW))
    expect(nextNonce({ ...MS, unit: 'us' }, undefined, turn(NOW))).toBe(BigInt(NOW) * 1_000n)
    expect(nextNonce({ ...MS, unit: 'ns' }, undefined, turn(NOW))).toBe(BigInt(NOW) * 1_000_000n)
  })

  it('goes on upwards when the clock is set back', () => {
    expect(nextNonce(MS, BigInt(NOW), turn(NOW - 900))).toBe(BigInt(NOW) + 1n)
  })

  it('is refused beyond what the venue takes ahead of the time, for all but cancels', async () => {
    const high = BigInt(NOW) + 1_000n
    expect(await reasonOf(() => nextNonce(MS, high, turn(NOW)))).toBe('NONCE_WINDOW_EXHAUSTED')
    expect(nextNonce(MS, high - 1n, turn(NOW))).toBe(high)
    expect(nextNonce(MS, high, turn(NOW, true))).toBe(high + 1n)
  })

  it('counts up where the venue counts, and ends with the bits it has', async () => {
    const counter: NoncePolicy = { style: 'counter', bits: 8 }
    expect(nextNonce(counter, undefined, turn(NOW))).toBe(0n)
    expect(nextNonce(counter, 41n, turn(NOW))).toBe(42n)
    expect(await reasonOf(() => nextNonce(counter, 255n, turn(NOW)))).toBe('NONCE_WINDOW_EXHAUSTED')
  })

  it('begins anywhere where the venue wants chance, and comes to every number before one comes again', () => {
    const random: NoncePolicy = { style: 'random', bits: 4 }
    const first = nextNonce(random, undefined, turn(NOW))
    const seen = new Set<bigint>([first ?? -1n])
    let at = first
    for (let i = 0; i < 15; i++) {
      at = nextNonce(random, at, turn(NOW))
      seen.add(at ?? -1n)
    }
    expect(seen.size).toBe(16)
    expect([...seen].every((nonce) => nonce >= 0n && nonce < 16n)).toBe(true)
  })

  it('is none where the venue has none', () => {
    expect(nextNonce({ style: 'none', backMs: 1, aheadMs: 1 }, 5n, turn(NOW))).toBeUndefined()
  })
})

describe('nonces of a key', () => {
  const id = `ses_${'ab'.repeat(16)}` as SessionKeyId

  it('are stored with the transaction that takes them, and go on above after a start', () => {
    const marks = new Map<string, bigint>()
    const tx = {
      one: () => (marks.has(id) ? { high: marks.get(id) } : undefined),
      run: (sql: string, ...params: (bigint | string)[]) => {
        const [high, below] = params.filter((param): param is bigint => typeof param === 'bigint')
        if (sql.startsWith('UPDATE') && (marks.get(id) ?? below ?? 0n) >= (below ?? 0n)) return 0
        if (sql.startsWith('INSERT OR IGNORE') && marks.has(id)) return 0
        marks.set(id, high ?? 0n)
        return 1
      },
    } as never
    const nonces = new SessionNonces()
    const given = Array.from({ length: 50 }, () => nonces.take(tx, id, MS, turn(NOW)))
    expect(new Set(given).size).toBe(50)
    expect(given).toEqual([...given].toSorted((a, b) => ((a ?? 0n) < (b ?? 0n) ? -1 : 1)))
    expect(readNonceMark(tx, id)).toBe(given.at(-1))
    const later = new SessionNonces()
    expect(later.take(tx, id, MS, turn(NOW - 500))).toBe((given.at(-1) ?? 0n) + 1n)
    moveNonceMark(tx, id, 5n, false)
    // It never goes down.
    expect(readNonceMark(tx, id)).toBe((given.at(-1) ?? 0n) + 1n)
  })
})

describe('the clock', () => {
  const setUp = (startMs = NOW, notBeforeMs = 0) => {
    const time = { wallMs: startMs, monoMs: 0 }
    const clock = { nowMs: () => time.wallMs, monotonicNs: () => BigInt(Math.round(time.monoMs * 1e6)) }
    const watch = new ClockWatch(clock, notBeforeMs)
    const pass = (wallMs: number, monoMs = wallMs) => {
      time.wallMs += wallMs
      time.monoMs += monoMs
    }
    return { watch, pass, time }
  }

  it('is believed while it goes as fast as the monotonic one', () => {
    const { watch, pass } = setUp()
    for (let i = 0; i < 100; i++) {
      pass(60_000, 59_990)
      watch.check(MS, undefined)
    }
  })

  it.each([
    ['forward', 3_600_000],
    ['back', -3_600_000],
    ['a little more than it may', 2_100],
  ])('is refused after a step %s, until a venue agrees with the new time', async (_name, stepMs) => {
    const { watch, pass, time } = setUp()
    pass(1_000)
    watch.check(MS, undefined)
    pass(stepMs, 0)
    expect(await reasonOf(() => watch.check(MS, undefined))).toBe('CLOCK_OFFSET')
    expect(await reasonOf(() => watch.check(MS, undefined))).toBe('CLOCK_OFFSET')
    expect(await reasonOf(() => watch.check(MS, time.wallMs - stepMs))).toBe(Math.abs(stepMs) > 5_000 || stepMs > 1_000 ? 'CLOCK_OFFSET' : '')
    watch.check(MS, time.wallMs + 10)
    watch.check(MS, undefined)
  })

  it('is refused beyond the window around the venue, on either side', async () => {
    const { watch } = setUp()
    watch.check(MS, NOW - 1_000)
    expect(await reasonOf(() => watch.check(MS, NOW - 1_001))).toBe('CLOCK_OFFSET')
    watch.check(MS, NOW + 5_000)
    expect(await reasonOf(() => watch.check(MS, NOW + 5_001))).toBe('CLOCK_OFFSET')
  })

  it('is not believed at a start before what was recorded last', async () => {
    const { watch, time } = setUp(NOW, NOW + 3_600_000)
    expect(await reasonOf(() => watch.check(MS, undefined))).toBe('CLOCK_OFFSET')
    expect(watch.laterMs()).toBeGreaterThanOrEqual(NOW + 3_600_000)
    watch.check(MS, time.wallMs)
    watch.check(MS, undefined)
  })

  it('is not believed on the word of a venue that lets clocks differ widely', async () => {
    const { watch, pass, time } = setUp()
    pass(7_200_000, 0)
    const wide = { style: 'clock', unit: 'ms', rule: 'unique', backMs: 172_800_000, aheadMs: 86_400_000 } as const
    watch.check(wide, time.wallMs - 7_200_000)
    expect(await reasonOf(() => watch.check(MS, undefined))).toBe('CLOCK_OFFSET')
    expect(watch.nonceMs()).toBe(NOW)
    watch.hear(time.wallMs - 1_000)
    watch.check(MS, undefined)
    expect(watch.nonceMs()).toBe(time.wallMs)
  })

  it('gives cancels no nonce of the future after a step forward, nor one of the past after a step back', () => {
    const { watch, pass } = setUp()
    pass(1_000)
    watch.check(MS, undefined)
    pass(365 * 86_400_000, 0)
    const cancel = nextNonce(MS, BigInt(NOW), { ...turn(watch.nonceMs()), isUrgent: true })
    expect(cancel).toBe(BigInt(NOW + 1_000))
    pass(-365 * 86_400_000, 500)
    expect(nextNonce(MS, cancel, turn(watch.nonceMs()))).toBe(BigInt(NOW + 1_001))
    expect([watch.earlierMs(), watch.laterMs()]).toEqual([NOW + 1_000, NOW + 1_500])
  })

  it('ends nothing later because it was set back', () => {
    const { watch, pass } = setUp()
    pass(10_000)
    pass(-3_600_000, 0)
    expect(watch.laterMs()).toBe(NOW + 10_000)
  })
})
