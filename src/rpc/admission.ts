/**
 * How much is worked on at once. The normal lane admits `maxInFlight` calls and lets a few more wait a moment; the
 * reserved lane has places of its own, so that a freeze is answered when nothing else is. What does not get in is
 * OVERLOADED before it has done anything.
 */
import { failure } from '../domain/failure.ts'
import type { Lane } from './access.ts'

export type AdmissionLimits = {
  readonly maxInFlight: number
  readonly maxReservedInFlight: number
  readonly maxQueued: number
  readonly queueWaitMs: number
}

export const DEFAULT_ADMISSION: Omit<AdmissionLimits, 'maxInFlight'> = {
  maxReservedInFlight: 64,
  maxQueued: 128,
  queueWaitMs: 250,
}

/** Reserved places that cancels do not take. */
const KEPT_PLACES = 16

type Waiting = { readonly admit: () => void; readonly timer: NodeJS.Timeout }

const overloaded = (retryAfterMs: number) => failure('OVERLOADED', { retryAfterMs })

export class Admission {
  readonly #limits: AdmissionLimits
  readonly #queue: Waiting[] = []
  #inFlight = 0
  #reservedInFlight = 0

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
  }

  get inFlight(): number {
    return this.#inFlight + this.#reservedInFlight
  }

  /** Where a cancel goes: a reserved place, as long as enough of those are left for what stops more than an order. */
  laneOfUrgent(): Lane {
    return this.#reservedInFlight < this.#limits.maxReservedInFlight - KEPT_PLACES ? 'reserved' : 'normal'
  }

  /** Resolves, or returns undefined at once, when the call may run; `leave` must follow. Throws OVERLOADED. */
  enter(lane: Lane): Promise<void> | undefined {
    if (lane === 'reserved') {
      if (this.#reservedInFlight >= this.#limits.maxReservedInFlight) throw overloaded(this.#limits.queueWaitMs)
      this.#reservedInFlight += 1
      return undefined
    }
    if (this.#inFlight < this.#limits.maxInFlight) {
      this.#inFlight += 1
      return undefined
    }
    if (this.#queue.length >= this.#limits.maxQueued) throw overloaded(2 * this.#limits.queueWaitMs)
    return this.#wait()
  }

  leave(lane: Lane): void {
    if (lane === 'reserved') {
      this.#reservedInFlight -= 1
      return
    }
    // When many wait, the newest goes first: the oldest will miss its time whatever is done, and all would after
    // it.
    const next = this.#queue.length > this.#limits.maxQueued / 2 ? this.#queue.pop() : this.#queue.shift()
    if (next === undefined) this.#inFlight -= 1
    else next.admit()
  }

  #wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#queue.splice(this.#queue.indexOf(waiting), 1)
        reject(overloaded(2 * this.#limits.queueWaitMs))
      }, this.#limits.queueWaitMs)
      const admit = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const waiting: Waiting = { admit, timer }
      this.#queue.push(waiting)
    })
  }
}
