/** A mean in which older measurements count less and less. 0 before the first. */
export class MovingMean {
  #mean = 0

  get value(): number {
    return this.#mean
  }

  note(measured: number): void {
    this.#mean = this.#mean === 0 ? measured : 0.9 * this.#mean + 0.1 * measured
  }
}
