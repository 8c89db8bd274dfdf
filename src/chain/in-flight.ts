/**
 * So many at a time; the others wait their turn. What is asked of a provider in a burst would otherwise wait there, and its
 * time would run out.
 */
export class InFlight {
  readonly #most: number
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
  }

  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#running >= this.#most) await this.#turn(signal)
    else this.#running += 1
    try {
      return await work()
    } finally {
      // The place goes to the next, or is free.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(enter), 1)
      reject(signal?.reason as Error)
    }
    const enter = (): void => {
      signal?.removeEventListener('abort', leave)
      resolve()
    }
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    signal?.addEventListener('abort', leave, { once: true })
    this.#waiting.push(enter)
    return promise
  }
}
