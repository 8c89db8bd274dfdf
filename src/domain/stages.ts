/**
 * Where the time of one signature goes. `queue`: waiting to be let in; `decode`: what is being signed; `decide`:
 * permission and limits; `presign`: waiting for a presignature; `commit`: the audit row, on disk; `rounds`: the two
 * parties. What is between them is in `total` alone.
 */
export const STAGES = ['queue', 'decode', 'decide', 'presign', 'commit', 'rounds'] as const
export type Stage = (typeof STAGES)[number]

/** Milliseconds by stage. A stage that was never entered has none; one that was repeated has the sum. */
export class StageTimes {
  readonly #spentMs = new Map<Stage, number>()

  add(stage: Stage, ms: number): void {
    this.#spentMs.set(stage, (this.#spentMs.get(stage) ?? 0) + ms)
  }

  measure<T>(stage: Stage, work: () => T): T {
    const start = performance.now()
    try {
      return work()
    } finally {
      this.add(stage, performance.now() - start)
    }
  }

  async wait<T>(stage: Stage, work: () => Promise<T>): Promise<T> {
    const start = performance.now()
    try {
      return await work()
    } finally {
      this.add(stage, performance.now() - start)
    }
  }

  /** In the order in which they pass. */
  entries(): readonly (readonly [Stage, number])[] {
    return STAGES.flatMap((stage) => {
      const ms = this.#spentMs.get(stage)
      return ms === undefined ? [] : [[stage, ms] as const]
    })
  }

  /** As Server-Timing writes it: `queue;dur=0.021, …, total;dur=1.204`. */
  format(totalMs: number): string {
    return [...this.entries(), ['total', totalMs] as const].map(([name, ms]) => `${name};dur=${ms.toFixed(3)}`).join(', ')
  }
}
