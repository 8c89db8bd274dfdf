/** Readings that are never older than the question: whoever asks while one is under way gets the next one, together. */
export class FreshReadings<T> {
  readonly #running = new Map<string, Promise<T>>()
  readonly #next = new Map<string, Promise<T>>()

  read(key: string, question: () => Promise<T>): Promise<T> {
    const next = this.#next.get(key)
    if (next !== undefined) return next
    const running = this.#running.get(key)
    if (running === undefined) return this.#begin(key, question)
    const later = running.then(
      () => this.#begin(key, question),
      () => this.#begin(key, question),
    )
    this.#next.set(key, later)
    return later
  }

  #begin(key: string, question: () => Promise<T>): Promise<T> {
    this.#next.delete(key)
    const begun = question().finally(() => {
      if (this.#running.get(key) === begun) this.#running.delete(key)
    })
    this.#running.set(key, begun)
    return begun
  }
}
