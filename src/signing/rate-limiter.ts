/** Token buckets by name: `perSecond` requests a second on average, and at most one second's worth at once. */
import { type Failure, failure } from '../domain/failure.ts'

type Bucket = { tokens: number; atMs: number }

/** Beyond this many buckets, those that are full again are forgotten: they say nothing. */
const PRUNE_ABOVE = 4_096

export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>()
  readonly #nowMs: () => number

  /** `nowMs`: a clock that never runs backwards. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Takes one request from a bucket. Throws RATE_LIMITED when it is empty, with the time until it is not. */
  take(name: string, perSecond: number): void {
    const refusal = this.tryTake(name, perSecond)
    if (refusal !== undefined) throw refusal
  }

  /** As `take`, but answers the refusal. */
  tryTake(name: string, perSecond: number): Failure<'RATE_LIMITED'> | undefined {
    const nowMs = this.#nowMs()
    const bucket = this.#buckets.get(name)
    const refilled = bucket === undefined ? perSecond : bucket.tokens + ((nowMs - bucket.atMs) * perSecond) / 1000
    const tokens = Math.min(refilled, perSecond)
    if (tokens < 1) {
      const retryAfterMs = Math.max(1, Math.ceil(((1 - tokens) * 1000) / perSecond))
      return failure('RATE_LIMITED', { limit: 'requests_per_second', retryAfterMs })
    }
    this.#buckets.set(name, { tokens: tokens - 1, atMs: nowMs })
    if (this.#buckets.size > PRUNE_ABOVE) this.#prune(nowMs)
    return undefined
  }

  #prune(nowMs: number): void {
    for (const [name, bucket] of this.#buckets) if (nowMs - bucket.atMs > 1_000) this.#buckets.delete(name)
  }
}
