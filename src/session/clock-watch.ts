/**
 * Whether the clock can be believed. It is compared with how far the monotonic clock has gone since it was last believed,
 * at the start with the newest audit row, and with the venue's own where the caller says it. A step makes nonces that a
 * venue refuses, or that stand in the way of the next ones for good, so nothing but cancels is signed until a venue's
 * time that agrees has shown the new time to be right, or the daemon is started again.
 */
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import type { NoncePolicy } from '../payload/profile/profile.ts'

/** More than two clocks drift apart between two looks, less than any venue's window. */
export const STEP_MS = 2_000

export class ClockWatch {
  readonly #clock: Clock
  #anchorMs: number
  #anchorNs: bigint

  /** `notBeforeMs`: when something was last recorded; a clock before that was set back. */
  constructor(clock: Clock, notBeforeMs: number) {
    this.#clock = clock
    this.#anchorMs = Math.max(clock.nowMs(), notBeforeMs)
    this.#anchorNs = clock.monotonicNs()
  }

  /** Where the time should be. */
  #steadyMs(): number {
    return this.#anchorMs + Number((this.#clock.monotonicNs() - this.#anchorNs) / 1_000n) / 1_000
  }

  /** The later of both clocks: what has ended does not begin again when one is set back. */
  laterMs(): number {
    return Math.max(this.#clock.nowMs(), this.#steadyMs())
  }

  /** The earlier of both clocks: what keeps somebody from something does not end because one is set forward. */
  earlierMs(): number {
    return Math.min(this.#clock.nowMs(), this.#steadyMs())
  }

  /** Refuses with CLOCK_OFFSET when the clock stepped, or is beyond the venue's window around `venueMs`. */
  check(policy: NoncePolicy, venueMs: number | undefined): void {
    const nowMs = this.#clock.nowMs()
    const window = windowOf(policy)
    if (venueMs !== undefined) {
      const offsetMs = Math.round(nowMs - venueMs)
      const allowedMs = offsetMs > 0 ? window.aheadMs : window.backMs
      if (Math.abs(offsetMs) > allowedMs) throw failure('CLOCK_OFFSET', { offsetMs, allowedMs })
      return this.hear(venueMs)
    }
    const offsetMs = Math.round(nowMs - this.#steadyMs())
    if (Math.abs(offsetMs) > STEP_MS) throw failure('CLOCK_OFFSET', { offsetMs, allowedMs: STEP_MS })
    this.#believe(nowMs)
  }

  /** A venue's time that agrees shows the clock to be right. One that a wide window merely allows shows nothing to others. */
  hear(venueMs: number): void {
    const nowMs = this.#clock.nowMs()
    if (Math.abs(nowMs - venueMs) <= STEP_MS) this.#believe(nowMs)
  }

  /**
   * What nonces are made of. After a step forward that no venue has agreed with it is where the time was: a cancel is
   * signed all the same, and all later nonces would have to follow one of the future.
   */
  nonceMs(): number {
    const nowMs = this.#clock.nowMs()
    const steadyMs = this.#steadyMs()
    return nowMs - steadyMs > STEP_MS ? steadyMs : nowMs
  }

  #believe(nowMs: number): void {
    this.#anchorMs = nowMs
    this.#anchorNs = this.#clock.monotonicNs()
  }
}

/** Where the venue does not judge times, a minute. */
const windowOf = (policy: NoncePolicy): { readonly backMs: number; readonly aheadMs: number } =>
  'aheadMs' in policy ? policy : { backMs: 60_000, aheadMs: 60_000 }
