/** How far away the other party is, by what it answers without much work. */

const SMALL_BYTES = 2_048
/** Of an answer's time: what the other party does meanwhile. */
const WORK_MS = 2
const TIMINGS = 16

/** A frame that is answered at once, if its answer is as short. */
export const isSmall = (frame: Uint8Array): boolean => frame.length <= SMALL_BYTES

export class DistanceMeter {
  readonly #told: (ms: number) => void
  readonly #tookMs: number[] = []
  #timings = 0

  /** `told`: what a round trip took at least, of the last few; the rest was work. */
  constructor(told: (ms: number) => void) {
    this.#told = told
  }

  async timed<T>(work: Promise<T>): Promise<T> {
    const askedMs = performance.now()
    const answer = await work
    if (answer instanceof Uint8Array && !isSmall(answer)) return answer
    this.#tookMs[this.#timings % TIMINGS] = Math.max(0, performance.now() - askedMs - WORK_MS)
    this.#timings += 1
    if (this.#timings === 1 || this.#timings % TIMINGS === 0) this.#told(Math.min(...this.#tookMs))
    return answer
  }
}
