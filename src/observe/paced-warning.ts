/** Lets one warning through in `everyMs` and counts those it keeps back, so that trouble cannot flood the log. */
export class PacedWarning {
  readonly #everyMs: number
  #lastMs = Number.NEGATIVE_INFINITY
  #keptBack = 0

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** How many were kept back since the last one let through; undefined when this one is kept back. */
  admit(nowMs: number): number | undefined {
    if (nowMs - this.#lastMs < this.#everyMs) {
      this.#keptBack += 1
      return undefined
    }
    const keptBack = this.#keptBack
    this.#keptBack = 0
    this.#lastMs = nowMs
    return keptBack
  }
}
