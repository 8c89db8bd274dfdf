import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FillingPace, LiveActivity } from '../../src/party/filling-pace.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

const calm = { isUrgent: false, isLow: false }

/** A pace that has seen sessions of `made` presignatures that took so long. */
const paceOf = (distanceMs: number, tookMs: number, made: number) => {
  const live = new LiveActivity()
  live.distanceMs = distanceMs
  const pace = new FillingPace(live)
  for (let session = 0; session < 2; session++) {
    pace.beginSession()
    vi.advanceTimersByTime(tookMs)
    pace.endSession(made)
  }
  return { pace, live }
}

describe('the size of a session', () => {
  it('is small beside the cosigner, however large it may be', () => {
    const { pace } = paceOf(0, 20, 4)
    expect(pace.batch(calm, 64)).toBe(4)
  })

  it('grows with the distance, up to the limit', () => {
    const { pace, live } = paceOf(10, 60, 4)
    // 40 ms of work for four: 10 ms each; two round trips are 20 ms, of which four times as much is work.
    expect(pace.batch(calm, 64)).toBe(8)
    live.distanceMs = 200
    expect(pace.batch(calm, 64)).toBe(64)
    expect(pace.batch(calm, 16)).toBe(16)
    live.distanceMs = 0
    expect(pace.batch(calm, 64)).toBe(4)
  })

  it('is the small one before anything was measured', () => {
    const live = new LiveActivity()
    live.distanceMs = 200
    expect(new FillingPace(live).batch(calm, 64)).toBe(4)
  })
})

it('what a session waits for the distance is not rested', () => {
  const { pace, live } = paceOf(30, 65, 4)
  live.note()
  const far = pace.restMs(calm)
  live.distanceMs = 0
  expect([far, pace.restMs(calm)]).toEqual([20, 250])
})
