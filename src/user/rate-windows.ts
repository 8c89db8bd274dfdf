/** At most so many in a stretch of time, by name: for what is rare and dear, where a rate by the second says nothing. */
import { failure } from '../domain/failure.ts'

const PRUNE_ABOVE = 10_000

type Window = { count: number; readonly endMs: number }

export class RateWindows {
  readonly #windows = new Map<string, Window>()
  readonly #nowMs: () => number

  /** `nowMs`: a clock that never runs backwards. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Throws RATE_LIMITED for more than `most` under one name within `windowMs` of the first. */
  take(name: string, most: number, windowMs: number): void {
    const nowMs = this.#nowMs()
    const known = this.#windows.get(name)
    const window = known === undefined || nowMs >= known.endMs ? { count: 0, endMs: nowMs + windowMs } : known
    if (window.count >= most) throw failure('RATE_LIMITED', { limit: name.split(' ', 1)[0] ?? '', retryAfterMs: Math.ceil(window.endMs - nowMs) })
    window.count += 1
    this.#windows.set(name, window)
    if (this.#windows.size > PRUNE_ABOVE) this.#prune(nowMs)
  }

  #prune(nowMs: number): void {
    for (const [name, { endMs }] of this.#windows) if (nowMs >= endMs) this.#windows.delete(name)
    // All of them live: the oldest go, so that many names cost no memory without end.
    for (const name of this.#windows.keys()) {
      if (this.#windows.size <= PRUNE_ABOVE) return
      this.#windows.delete(name)
    }
  }
}
