/** One question at a time for each key: whoever asks while it is under way hears the same answer. */
export class SharedFlight<T> {
  readonly #under = new Map<string, Promise<T>>()

  ask(key: string, question: () => Promise<T>): Promise<T> {
    const known = this.#under.get(key)
    if (known !== undefined) return known
    const asked = question().finally(() => this.#under.delete(key))
    this.#under.set(key, asked)
    return asked
  }
}
