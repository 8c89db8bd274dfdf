import type { Reader } from './store.ts'

/** Something that is remembered of each open vault, for as long as that is open. */
export class OfStore<T> {
  readonly #make: () => T
  readonly #known = new WeakMap<Reader['writesTo'], T>()

  constructor(make: () => T) {
    this.#make = make
  }

  of({ writesTo }: Reader): T {
    const known = this.#known.get(writesTo)
    if (known !== undefined) return known
    const made = this.#make()
    this.#known.set(writesTo, made)
    return made
  }
}
