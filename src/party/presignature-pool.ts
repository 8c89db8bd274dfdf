/**
 * The main thread's view of ready presignatures: public ids only. Taking one is final. Live demands go before refills,
 * and one presign session is in flight at a time.
 */
import { type Failure, failure } from '../domain/failure.ts'
import type { ReadyPresignature } from './initiator.ts'
import { hexOf, MAX_PRESIGNATURES } from './presignature-map.ts'

export type PoolSettings = { readonly lowWater: number; readonly highWater: number; readonly ttlMs: number }
type Presign = (walletIds: readonly Uint8Array[]) => Promise<readonly ReadyPresignature[]>
type Demand = {
  readonly walletId: Uint8Array
  readonly resolve: (ready: ReadyPresignature) => void
  readonly reject: (error: unknown) => void
}

const BATCH_MAX = 16
/** Wallets that are kept warm, most recently used; all others presign on demand. */
const WARM_WALLETS_MAX = 2_048
/** Refilling ends here, whatever the water marks: the other half of what a link may hold is for live demands. */
const READY_MAX = MAX_PRESIGNATURES / 2
const RETRY_AFTER_MS = 100
/** Between two refills, so that live signing finds the workers free. */
const REFILL_PAUSE_MS = 2

export class PresignaturePool {
  readonly #presign: Presign
  readonly #settings: PoolSettings
  readonly #nowMs: () => number
  readonly #readyMax: number
  readonly #ready = new Map<string, ReadyPresignature[]>()
  readonly #warm = new Map<string, Uint8Array>()
  /** Fell below the low water and are not full yet. */
  readonly #filling = new Set<string>()
  #demands: Demand[] = []
  #running = false
  #shut: Failure | undefined

  constructor(presign: Presign, settings: PoolSettings, nowMs: () => number, readyMax = READY_MAX) {
    this.#presign = presign
    this.#readyMax = readyMax
    this.#settings = settings
    this.#nowMs = nowMs
  }

  get size(): number {
    let size = 0
    for (const list of this.#ready.values()) size += list.length
    return size
  }

  /** One presignature of the wallet, from the pool or made for it. Rejects with what kept it from being made. */
  async take(walletId: Uint8Array, signal: AbortSignal): Promise<ReadyPresignature> {
    const key = hexOf(walletId)
    this.keepWarm(walletId)
    const list = this.#ready.get(key) ?? []
    while (list.length > 0) {
      const ready = list.shift() as ReadyPresignature
      if (ready.expiresAtMs <= this.#nowMs()) continue
      if (list.length < this.#settings.lowWater) this.#kick()
      return ready
    }
    return this.#demand(walletId, signal)
  }

  /** Keeps the wallet's pool filled from now on, for as long as it is among the most recently used. */
  keepWarm(walletId: Uint8Array): void {
    const key = hexOf(walletId)
    this.#warm.delete(key)
    this.#warm.set(key, walletId)
    if (this.#warm.size > WARM_WALLETS_MAX) {
      const coldest = this.#warm.keys().next().value as string
      this.#warm.delete(coldest)
      this.#filling.delete(coldest)
    }
    if ((this.#ready.get(key)?.length ?? 0) < this.#settings.lowWater) this.#kick()
  }

  forget(walletId: Uint8Array): void {
    this.#ready.delete(hexOf(walletId))
    this.#warm.delete(hexOf(walletId))
    this.#filling.delete(hexOf(walletId))
  }

  /** The other side of every presignature is gone. */
  forgetAll(): void {
    this.#ready.clear()
  }

  /** Those who wait, and those who come, hear `reason`. */
  shut(reason: Failure = failure('SHUTTING_DOWN', {})): void {
    this.#shut = reason
    this.#ready.clear()
    this.#warm.clear()
    for (const demand of this.#demands) demand.reject(reason)
    this.#demands = []
  }

  #demand(walletId: Uint8Array, signal: AbortSignal): Promise<ReadyPresignature> {
    return new Promise((resolve, reject) => {
      if (this.#shut !== undefined) return reject(this.#shut)
      const demand: Demand = { walletId, resolve: settle(resolve), reject: settle(reject) }
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
      this.#kick()
    })
  }

  #kick(): void {
    if (this.#running || this.#shut !== undefined) return
    this.#running = true
    void this.#fill()
  }

  async #fill(): Promise<void> {
    try {
      for (;;) {
        const demanded = this.#demands.length > 0
        const slots = demanded ? this.#demandedSlots() : this.#refillSlots()
        if (slots.length === 0 || this.#shut !== undefined) return
        if (!(await this.#fillOnce(slots)) && !demanded) return
        if (!demanded) await new Promise((next) => setTimeout(next, REFILL_PAUSE_MS))
      }
    } finally {
      this.#running = false
    }
  }

  /** Answers whether the session gave anything. Those who wait hear why it did not. */
  async #fillOnce(slots: readonly Uint8Array[]): Promise<boolean> {
    try {
      const made = await this.#presign(slots)
      for (const ready of made) this.#hand(ready)
      const asked = new Set(slots.map(hexOf))
      const served = new Set(made.map(({ walletId }) => hexOf(walletId)))
      const refused = this.#demands.filter(({ walletId }) => asked.has(hexOf(walletId)) && !served.has(hexOf(walletId)))
      for (const demand of refused) demand.reject(failure('PRESIGNATURES_EXHAUSTED', { retryAfterMs: RETRY_AFTER_MS }))
      this.#demands = this.#demands.filter((demand) => !refused.includes(demand))
      return made.length > 0
    } catch (error) {
      const asked = new Set(slots.map(hexOf))
      const waiting = this.#demands.filter(({ walletId }) => asked.has(hexOf(walletId)))
      this.#demands = this.#demands.filter((demand) => !waiting.includes(demand))
      for (const demand of waiting) demand.reject(error)
      return false
    }
  }

  #hand(ready: ReadyPresignature): void {
    const key = hexOf(ready.walletId)
    const at = this.#demands.findIndex(({ walletId }) => hexOf(walletId) === key)
    const [demand] = at < 0 ? [] : this.#demands.splice(at, 1)
    if (demand !== undefined) {
      demand.resolve(ready)
      return
    }
    const expiresAtMs = Math.min(ready.expiresAtMs, this.#nowMs() + this.#settings.ttlMs)
    const list = this.#ready.get(key)
    if (list === undefined) this.#ready.set(key, [{ ...ready, expiresAtMs }])
    else list.push({ ...ready, expiresAtMs })
  }

  #demandedSlots(): Uint8Array[] {
    return this.#demands.slice(0, BATCH_MAX).map(({ walletId }) => walletId)
  }

  #refillSlots(): Uint8Array[] {
    const slots: Uint8Array[] = []
    if (this.size >= this.#readyMax) return slots
    for (const [key, walletId] of [...this.#warm].toReversed()) {
      const have = this.#ready.get(key)?.length ?? 0
      if (have < this.#settings.lowWater) this.#filling.add(key)
      if (have >= this.#settings.highWater) this.#filling.delete(key)
      if (!this.#filling.has(key) && slots.length === 0) continue
      const missing = Math.min(this.#settings.highWater - have, BATCH_MAX - slots.length)
      for (let i = 0; i < missing; i++) slots.push(walletId)
      if (slots.length === BATCH_MAX) break
    }
    return slots
  }
}
