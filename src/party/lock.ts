/** A mutex in order of arrival. The link lock and the wallet locks of docs/protocol.md §17 are made of it. */
export class Lock {
  #tail: Promise<void> = Promise.resolve()
  #held = 0

  /** Somebody holds it or waits for it. */
  get busy(): boolean {
    return this.#held > 0
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#tail
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#tail = promise
    this.#held += 1
    await before
    try {
      return await work()
    } finally {
      this.#held -= 1
      resolve()
    }
  }
}
