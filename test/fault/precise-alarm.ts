/** An alarm that rings within a tenth of a millisecond, for delays of a few: Node's own timers know whole ones only. */
import { Worker } from 'node:worker_threads'

/** Monotonic milliseconds, the same in every thread of the process. */
export const preciseNowMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** Sleeps until the time in `due`, rings, and waits for another one. Wakes up when `turn` changes. */
const RINGER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const turn = new Int32Array(workerData, 0, 1)
  const due = new Float64Array(workerData, 8, 1)
  const nowMs = () => Number(process.hrtime.bigint()) / 1e6
  for (;;) {
    const seen = Atomics.load(turn, 0)
    if (seen < 0) break
    if (due[0] === 0) { Atomics.wait(turn, 0, seen); continue }
    const leftMs = due[0] - nowMs()
    if (leftMs > 0) { Atomics.wait(turn, 0, seen, leftMs); continue }
    due[0] = 0
    parentPort.postMessage(0)
  }
`

export class PreciseAlarm {
  readonly #shared = new SharedArrayBuffer(16)
  readonly #turn = new Int32Array(this.#shared, 0, 1)
  readonly #due = new Float64Array(this.#shared, 8, 1)
  readonly #ringer: Worker

  constructor(ring: () => void) {
    this.#ringer = new Worker(RINGER, { eval: true, workerData: this.#shared, env: {} })
    this.#ringer.on('message', ring)
    this.#ringer.unref()
  }

  /** Rings once at this time, in place of what was set before. */
  set(atMs: number): void {
    this.#due[0] = atMs
    Atomics.add(this.#turn, 0, 1)
    Atomics.notify(this.#turn, 0)
  }

  async close(): Promise<void> {
    Atomics.store(this.#turn, 0, -(2 ** 31))
    Atomics.notify(this.#turn, 0)
    await this.#ringer.terminate()
  }
}
