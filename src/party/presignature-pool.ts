/**
 * The main thread's view of ready presignatures: public ids only. Taking one is final. One presign session is in flight
 * for each shard; who waits for a presignature goes first, and filling gives way to live signing (filling-pace.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Failure, failure } from '../domain/failure.ts'
import type { PoolLevels } from '../observe/metrics.ts'
import { LiveActivity, type Urgency } from './filling-pace.ts'
import { Lane } from './filling-lane.ts'
import type { ReadyPresignature } from './initiator.ts'
import { hexOf } from './presignature-map.ts'
import { WarmWallets } from './warm-wallets.ts'

export type PoolSettings = {
  readonly lowWater: number
  readonly highWater: number
  readonly ttlMs: number
  /** The most presignatures of all wallets together; each takes memory at both parties. */
  readonly capacity: number
  /** The most that one session with the cosigner makes. */
  readonly batch: number
}

export type PoolEvents = {
  /** A wallet's presignatures were given up; the parties are to forget them too. */
  readonly dropped: (walletId: Uint8Array) => void
  /** A pool that had been filled is about to run dry: signing outpaces filling. */
  readonly low: (walletId: Uint8Array, left: number) => void
}

type Presign = (walletIds: readonly Uint8Array[], shard: number) => Promise<readonly ReadyPresignature[]>
/** The shard that a wallet's presignatures are made over. */
export type ShardOf = (walletId: Uint8Array) => number
type Demand = {
  readonly lane: Lane
  readonly key: string
  readonly walletId: Uint8Array
  readonly resolve: (ready: ReadyPresignature) => void
  readonly reject: (error: unknown) => void
}
type Refill = Urgency & { readonly walletId: Uint8Array; readonly missing: number }

const RETRY_AFTER_MS = 100
const WARM_POLL_MS = 3
const POOL_DEPTH_MAX = 4_096

export class PresignaturePool {
  readonly #presign: Presign
  readonly #settings: PoolSettings
  readonly #nowMs: () => number
  readonly #events: PoolEvents
  readonly #ready = new Map<string, ReadyPresignature[]>()
  readonly #warm: WarmWallets
  readonly #live: LiveActivity
  readonly #shardOf: ShardOf
  readonly #lanes = new Map<number, Lane>()
  #demands: Demand[] = []
  #size = 0
  #shut: Failure | undefined
  /** It is shut until `resume`: what is made still counts. */
  #isPaused = false
  #madeTotal = 0
  #evictedTotal = 0
  #lastError: unknown

  constructor(
    presign: Presign,
    settings: PoolSettings,
    nowMs: () => number,
    events: PoolEvents = { dropped: () => {}, low: () => {} },
    live: LiveActivity = new LiveActivity(),
    shardOf: ShardOf = () => 0,
  ) {
    this.#live = live
    this.#shardOf = shardOf
    this.#presign = presign
    this.#settings = settings
    this.#nowMs = nowMs
    this.#events = events
    this.#warm = new WarmWallets(settings, (walletId) => this.#giveUp(walletId))
  }

  get size(): number {
    return this.#size
  }

  /** The deepest that one wallet's pool can be. */
  get walletCapacity(): number {
    return Math.min(POOL_DEPTH_MAX, this.#settings.capacity)
  }

  /** Signatures that are being made, by this pool or one that shares its parties. */
  get liveCount(): number {
    return this.#live.count
  }

  get fillRate(): number {
    return [...this.#lanes.values()].reduce((sum, { pace }) => sum + pace.fillRate, 0)
  }

  view(): PoolLevels {
    return {
      ready: this.#size,
      capacity: this.#settings.capacity,
      wallets: this.#ready.size,
      walletsLow: this.#warm.lowCount,
      waiting: this.#demands.length,
      madeTotal: this.#madeTotal,
      evictedTotal: this.#evictedTotal,
      fillRate: this.fillRate,
    }
  }

  depthOf(walletId: Uint8Array): number {
    return this.#list(hexOf(walletId)).length
  }

  /** Wallets that hold presignatures or are kept warm. */
  wallets(): readonly Uint8Array[] {
    return this.#warm.ids()
  }

  /**
   * One presignature of the wallet, from the pool or made for it; with `fail`, PRESIGNATURES_EXHAUSTED when none is
   * ready. Rejects with what kept it from being made.
   */
  async take(walletId: Uint8Array, signal: AbortSignal, whenEmpty: 'wait' | 'fail' = 'wait'): Promise<ReadyPresignature> {
    const key = hexOf(walletId)
    if (this.#shut !== undefined) throw this.#shut
    this.#warm.use(key, walletId)
    const list = this.#list(key)
    const ready = list.shift()
    if (ready !== undefined) {
      this.#size -= 1
      this.#live.note()
      if (this.#warm.drained(key, list.length)) this.#events.low(walletId, list.length)
      if (this.#warm.isFilling(key)) this.#kick(this.#laneOf(walletId))
      return ready
    }
    this.#kick(this.#laneOf(walletId))
    if (whenEmpty === 'fail') throw failure('PRESIGNATURES_EXHAUSTED', { retryAfterMs: RETRY_AFTER_MS })
    return this.#demand(key, walletId, signal)
  }

  /** How long a request for this wallet would wait for its presignature behind those who wait now. */
  estimateWaitMs(walletId: Uint8Array): number {
    if (this.#list(hexOf(walletId)).length > 0) return 0
    const lane = this.#laneOf(walletId)
    const { isRunning, remainingMs, sessionMs } = lane.pace
    return isRunning ? remainingMs + (1 + Math.floor(this.#waitingFor(lane).length / this.#settings.batch)) * sessionMs : 0
  }

  /** Keeps the wallet's pool filled from now on, for as long as it is among the most recently used. */
  keepWarm(walletId: Uint8Array): void {
    this.#warm.note(hexOf(walletId), walletId)
    this.#kick(this.#laneOf(walletId))
  }

  /**
   * As `keepWarm`, to a depth of its own. Resolves with what is ready once it is there, or when `signal` aborts; rejects
   * with what keeps it from being made.
   */
  async warm(walletId: Uint8Array, depth: number, signal: AbortSignal): Promise<number> {
    const key = hexOf(walletId)
    const wanted = Math.min(depth === 0 ? this.#settings.highWater : depth, this.walletCapacity)
    this.#warm.deepen(key, walletId, wanted)
    this.#lastError = undefined
    for (;;) {
      const have = this.#list(key).length
      if (have >= wanted || signal.aborted || this.#shut !== undefined || !this.#warm.has(key)) return have
      if (this.#lastError !== undefined) throw this.#lastError
      this.#kick(this.#laneOf(walletId))
      await sleep(WARM_POLL_MS)
    }
  }

  /** A signature begins; filling gives way until its `end` is called. */
  beginLive(): () => void {
    return this.#live.begin()
  }

  /** Gives up what a wallet has, what is being made for it included. The caller tells the parties. */
  forget(walletId: Uint8Array): void {
    const key = hexOf(walletId)
    this.#discard(key)
    this.#warm.delete(key)
    const lane = this.#laneOf(walletId)
    if (lane.pace.isRunning) lane.forgotten.add(key)
  }

  /** The other side of every presignature is gone. */
  forgetAll(): void {
    this.#ready.clear()
    this.#size = 0
    for (const lane of this.#lanes.values()) lane.generation = {}
  }

  /** As `forgetAll`, of the wallets of one shard. */
  forgetShard(shard: number): void {
    for (const [key, [ready]] of this.#ready) {
      if (ready === undefined || this.#shardOf(ready.walletId) === shard) this.#discard(key)
    }
    const lane = this.#lanes.get(shard)
    if (lane !== undefined) lane.generation = {}
  }

  /** Those who wait, and those who come, hear `reason`. */
  shut(reason: Failure = failure('SHUTTING_DOWN', {})): void {
    this.pause(reason)
    this.#isPaused = false
    this.forgetAll()
    this.#warm.clear()
  }

  /** As `shut`, until `resume`; what is ready stays. */
  pause(reason: Failure): void {
    this.#shut = reason
    this.#isPaused = true
    for (const demand of this.#demands) demand.reject(reason)
    this.#demands = []
  }

  resume(): void {
    this.#shut = undefined
    for (const walletId of this.#warm.ids()) this.#kick(this.#laneOf(walletId))
  }

  /** What is ready and has not expired. Ordered by expiry, so the oldest are in front. */
  #list(key: string): ReadyPresignature[] {
    const list = this.#ready.get(key)
    if (list === undefined) return []
    const nowMs = this.#nowMs()
    while (list[0] !== undefined && list[0].expiresAtMs <= nowMs) {
      list.shift()
      this.#size -= 1
    }
    return list
  }

  #discard(key: string): void {
    this.#size -= this.#ready.get(key)?.length ?? 0
    this.#ready.delete(key)
  }

  #demand(key: string, walletId: Uint8Array, signal: AbortSignal): Promise<ReadyPresignature> {
    return new Promise((resolve, reject) => {
      const lane = this.#laneOf(walletId)
      const demand: Demand = { lane, key, walletId, resolve: settle(resolve), reject: settle(reject) }
      const abandon = (): void => {
        this.#demands = this.#demands.filter((one) => one !== demand)
        reject(failure('DEADLINE_EXCEEDED', {}))
      }
      function settle<A>(then: (value: A) => void): (value: A) => void {
        return (value) => {
          signal.removeEventListener('abort', abandon)
          then(value)
        }
      }
      if (signal.aborted) return abandon()
      signal.addEventListener('abort', abandon, { once: true })
      this.#demands.push(demand)
      lane.wake()
      this.#kick(lane)
    })
  }

  #laneOf(walletId: Uint8Array): Lane {
    const shard = this.#shardOf(walletId)
    const known = this.#lanes.get(shard)
    if (known !== undefined) return known
    const lane = new Lane(shard, this.#live)
    this.#lanes.set(shard, lane)
    return lane
  }

  #waitingFor(lane: Lane): readonly Demand[] {
    return this.#demands.filter((demand) => demand.lane === lane)
  }

  #kick(lane: Lane): void {
    if (lane.isRunning || this.#shut !== undefined) return
    lane.isRunning = true
    void this.#fill(lane)
  }

  async #fill(lane: Lane): Promise<void> {
    try {
      for (;;) {
        if (this.#shut !== undefined) return
        const waiting = this.#waitingFor(lane).slice(0, this.#settings.batch)
        if (waiting.length > 0) {
          await this.#fillOnce(lane, waiting.map(({ walletId }) => walletId))
          continue
        }
        const refill = this.#nextRefill(lane)
        if (refill === undefined) return
        const restMs = lane.pace.restMs(refill)
        // Even one that is urgent lets the event loop turn: what live signing has to say goes first.
        await lane.rest(restMs)
        if (restMs > 0 || this.#waitingFor(lane).length > 0) continue
        const count = Math.min(refill.missing, lane.pace.batch(refill, this.#settings.batch))
        if (!this.#makeRoom(hexOf(refill.walletId), count)) return
        if (!(await this.#fillOnce(lane, Array.from({ length: count }, () => refill.walletId)))) return
      }
    } finally {
      lane.isRunning = false
      if (this.#waitingFor(lane).length > 0) this.#kick(lane)
    }
  }

  #nextRefill(lane: Lane): Refill | undefined {
    return this.#warm.nextToFill(
      (key) => this.#list(key).length,
      (walletId) => this.#shardOf(walletId) === lane.shard,
    )
  }

  /** Gives up the pools of the wallets that were not used for longest, until `count` more fit. */
  #makeRoom(key: string, count: number): boolean {
    const making = [...this.#lanes.values()].reduce((sum, lane) => sum + lane.making, count)
    for (const other of this.#warm.leastRecent()) {
      if (this.#size + making <= this.#settings.capacity) return true
      if (hexOf(other) !== key) this.#giveUp(other)
    }
    return this.#size + making <= this.#settings.capacity
  }

  #giveUp(walletId: Uint8Array): void {
    const depth = this.depthOf(walletId)
    if (depth === 0) return
    this.#evictedTotal += depth
    this.#discard(hexOf(walletId))
    this.#warm.emptied(hexOf(walletId))
    this.#events.dropped(walletId)
  }

  /** Answers whether the session gave anything. Those who waited when it began hear why it did not. */
  async #fillOnce(lane: Lane, slots: readonly Uint8Array[]): Promise<boolean> {
    const before = lane.generation
    let count = 0
    lane.making = slots.length
    lane.pace.beginSession()
    const asked = new Set(slots.map(hexOf))
    const waiting = new Set(this.#demands)
    try {
      const made = await this.#presign(slots, lane.shard)
      count = made.length
      this.#madeTotal += count
      if (before === lane.generation) for (const ready of made) this.#hand(lane, ready)
      const served = new Set(made.map(({ walletId }) => hexOf(walletId)))
      const refused = this.#takeDemands((one) => waiting.has(one) && asked.has(one.key) && !served.has(one.key))
      for (const demand of refused) demand.reject(failure('PRESIGNATURES_EXHAUSTED', { retryAfterMs: RETRY_AFTER_MS }))
      if (made.length === 0) this.#lastError = failure('PRESIGNATURES_EXHAUSTED', { retryAfterMs: RETRY_AFTER_MS })
      return made.length > 0
    } catch (error) {
      this.#lastError = error
      for (const demand of this.#takeDemands((one) => waiting.has(one) && asked.has(one.key))) demand.reject(error)
      return false
    } finally {
      lane.making = 0
      lane.pace.endSession(count)
      lane.forgotten.clear()
    }
  }

  #takeDemands(which: (demand: Demand) => boolean): readonly Demand[] {
    const taken = this.#demands.filter(which)
    this.#demands = this.#demands.filter((demand) => !taken.includes(demand))
    return taken
  }

  #hand(lane: Lane, ready: ReadyPresignature): void {
    const key = hexOf(ready.walletId)
    const at = this.#demands.findIndex((demand) => demand.key === key)
    const [demand] = at < 0 ? [] : this.#demands.splice(at, 1)
    if (demand !== undefined) return demand.resolve(ready)
    if ((this.#shut !== undefined && !this.#isPaused) || lane.forgotten.has(key)) {
      return this.#events.dropped(ready.walletId)
    }
    const expiresAtMs = Math.min(ready.expiresAtMs, this.#nowMs() + this.#settings.ttlMs)
    const list = this.#ready.get(key)
    if (list === undefined) this.#ready.set(key, [{ ...ready, expiresAtMs }])
    else list.push({ ...ready, expiresAtMs })
    this.#size += 1
    this.#warm.filled(key, this.#list(key).length)
  }
}
