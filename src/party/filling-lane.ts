import { FillingPace, type LiveActivity } from './filling-pace.ts'

/** The presign sessions of one shard, one at a time, as the pool that asks for them keeps account of them. */
export class Lane {
  readonly shard: number
  readonly pace: FillingPace
  /** Given up while a session was making more of them: those are given up too. */
  readonly forgotten = new Set<string>()
  isRunning = false
  /** Slots of the session in flight. */
  making = 0
  /** Another one after every loss of all that the shard had. */
  generation: object = {}
  #wake: () => void = () => {}

  constructor(shard: number, live: LiveActivity) {
    this.shard = shard
    this.pace = new FillingPace(live)
  }

  /** Sleeps, but not while somebody waits. */
  rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Somebody waits now. */
  wake(): void {
    this.#wake()
  }
}
