/** How often a delegate may make the daemon do what costs it more than an answer. */
import type { Clock } from '../domain/clock.ts'

/** So many in so long, by name. Names that were not seen for as long are forgotten. */
export class Paces {
  readonly #clock: Clock
  readonly #most: number
  readonly #withinMs: number
  readonly #seen = new Map<string, number[]>()

  constructor(clock: Clock, most: number, withinMs: number) {
    this.#clock = clock
    this.#most = most
    this.#withinMs = withinMs
  }

  /** Whether it may be done once more now; counts it if so. */
  admit(name: string): boolean {
    const nowMs = Number(this.#clock.monotonicNs() / 1_000_000n)
    for (const [other, times] of this.#seen) {
      if ((times.at(-1) ?? 0) > nowMs - this.#withinMs) break
      this.#seen.delete(other)
    }
    const recent = (this.#seen.get(name) ?? []).filter((at) => at > nowMs - this.#withinMs)
    if (recent.length >= this.#most) return false
    // The newest comes last, so the oldest are the first to be forgotten.
    this.#seen.delete(name)
    this.#seen.set(name, [...recent, nowMs])
    return true
  }
}
