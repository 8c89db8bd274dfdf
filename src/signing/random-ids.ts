import { randomFillSync } from 'node:crypto'

const DRAWN_AT_ONCE = 256

/** Random ids, no secrets, drawn many at a time: asking the system for 16 bytes costs more than what they are used for. */
export class RandomIds {
  readonly #bytes: Uint8Array
  readonly #length: number
  #at: number

  /** `length`: bytes of an id. */
  constructor(length: number) {
    this.#length = length
    this.#bytes = new Uint8Array(length * DRAWN_AT_ONCE)
    this.#at = this.#bytes.length
  }

  /** In a buffer of its own. */
  draw(): Uint8Array {
    if (this.#at === this.#bytes.length) {
      randomFillSync(this.#bytes)
      this.#at = 0
    }
    const id = this.#bytes.slice(this.#at, this.#at + this.#length)
    this.#at += this.#length
    return id
  }
}
