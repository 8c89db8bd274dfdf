/**
 * When filling gives way to live signing, and for how long. A session starts when nothing has been signed for a few
 * milliseconds; where something was signed lately, filling rests after each session for four times as long as it took, or
 * as long as it took for a wallet that is signed from and below its low water. Where signing never pauses it starts all
 * the same, smaller, having rested twice that, so that pools do not starve. A pool that is signed from and nearly empty
 * is filled without a rest, because those who find it empty would wait longer than for a session that fills.
 *
 * A session takes two round trips to the cosigner. Where it is far away sessions are larger, so that most of their time is
 * work; what they wait for the distance keeps nobody from anything and counts for no rest.
 */
export type Urgency = {
  /** Signed from, and nearly empty. */
  readonly isUrgent: boolean
  /** Signed from, and below its low water. */
  readonly isLow: boolean
}

/** Four presignatures cost hardly more each than sixteen do, and hold each party for a quarter of the time. */
const REFILL_BATCH = 4
/** While something is signed: costs a third more for each, and holds the parties for a third less. */
const BUSY_BATCH = 2
/** Live signing has paused when nothing was signed for this long. */
const QUIET_MS = 3
/** Somebody is trading when something was signed within this time. */
const RECENT_MS = 500
const PATIENCE = 4
const PATIENCE_MAX_MS = 250
/** Round trips of a session. */
const ROUND_TRIPS = 2
/** What a session works is to be this many times what it waits for the distance. */
const WORK_TO_DISTANCE = 4
/** A session that took longer than the mean by this factor counts as if it had taken that. */
const OUTLIER = 4
/** Of two measurements the newer counts this much. */
const FRESH = 0.2

/** The signatures that are being made. Pools whose parties work in the same threads share one. */
export class LiveActivity {
  /** A round trip to the cosigner; 0 where it is in this process. */
  distanceMs = 0
  #count = 0
  #lastMs = Number.NEGATIVE_INFINITY

  get count(): number {
    return this.#count
  }

  /** When something was last signed, on the clock of `performance.now()`. */
  get lastMs(): number {
    return this.#lastMs
  }

  /** A signature begins. Answers what to call when it has ended. */
  begin(): () => void {
    this.#count += 1
    return () => {
      this.#count -= 1
      this.note()
    }
  }

  note(): void {
    this.#lastMs = performance.now()
  }
}

const mean = (before: number, fresh: number): number =>
  before === 0 ? fresh : (1 - FRESH) * before + FRESH * fresh

export class FillingPace {
  readonly #live: LiveActivity
  #startMs = 0
  #endMs = Number.NEGATIVE_INFINITY
  #isRunning = false
  #measured = 0
  #sessionMs = 0
  /** What one presignature takes, the distance not counted. */
  #slotMs = 0
  #fillRate = 0

  constructor(live: LiveActivity) {
    this.#live = live
  }

  /** Presignatures a second while filling, lately. */
  get fillRate(): number {
    return this.#fillRate
  }

  /** How long a session takes, lately. */
  get sessionMs(): number {
    return this.#sessionMs
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  beginSession(): void {
    this.#isRunning = true
    this.#startMs = performance.now()
  }

  endSession(made: number): void {
    this.#isRunning = false
    this.#endMs = performance.now()
    if (made === 0) return
    // The first waits for the link to be set up, and says little of those that follow; nor does one after a renewal.
    if (this.#measured === 1) this.#sessionMs = this.#slotMs = this.#fillRate = 0
    this.#measured += 1
    const tookMs = Math.min(Math.max(this.#endMs - this.#startMs, 0.1), this.#sessionMs * OUTLIER || Infinity)
    const rate = (made * 1_000) / tookMs
    const slotMs = Math.max(tookMs - this.#distanceMs, tookMs / 10) / made
    this.#sessionMs = mean(this.#sessionMs, tookMs)
    this.#slotMs = mean(this.#slotMs, slotMs)
    this.#fillRate = mean(this.#fillRate, rate)
  }

  /** How long the session that runs is likely to take still. */
  get remainingMs(): number {
    return this.#isRunning ? Math.max(0, this.#sessionMs - (performance.now() - this.#startMs)) : 0
  }

  /** The largest session that may fill now: at most `most`. */
  batch({ isUrgent }: Urgency, most: number): number {
    const near = this.#isBusy(performance.now()) && !isUrgent ? BUSY_BATCH : REFILL_BATCH
    const far = this.#slotMs === 0 ? 0 : Math.ceil((WORK_TO_DISTANCE * this.#distanceMs) / this.#slotMs)
    return Math.min(most, Math.max(near, far))
  }

  /** 0 when a session may fill now; otherwise how long to wait before asking again. */
  restMs({ isUrgent, isLow }: Urgency): number {
    const nowMs = performance.now()
    if (isUrgent || (this.#live.count === 0 && nowMs - this.#live.lastMs >= RECENT_MS)) return 0
    const workMs = Math.max(0, this.#sessionMs - this.#distanceMs)
    const turnMs = Math.max(QUIET_MS, Math.min(PATIENCE_MAX_MS, workMs * (isLow ? 1 : PATIENCE)))
    const restedMs = nowMs - this.#endMs
    if (restedMs >= (this.#isBusy(nowMs) ? 2 : 1) * turnMs) return 0
    return Math.max(QUIET_MS, turnMs - restedMs)
  }

  /** What every session waits. */
  get #distanceMs(): number {
    return ROUND_TRIPS * this.#live.distanceMs
  }

  #isBusy(nowMs: number): boolean {
    return this.#live.count > 0 || nowMs - this.#live.lastMs < QUIET_MS
  }
}
