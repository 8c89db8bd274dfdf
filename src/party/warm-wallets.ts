/**
 * Which wallets' pools are kept filled, in the order of their use, and how deep. Only the most recently used whose
 * depths fit into the pool's capacity together are filled: otherwise each refill would push out what another made.
 */
import type { Urgency } from './filling-pace.ts'

type Entry = {
  readonly walletId: Uint8Array
  /** Filled up to this. */
  depth: number
  /** Filled again below this. */
  lowWater: number
  /** Fell below its low water and has not been full since. */
  isFilling: boolean
  /** Signed with since it was full. */
  isUsed: boolean
  /** Held its low water once since it was last reported low. */
  isArmed: boolean
  isLow: boolean
}

type Settings = { readonly lowWater: number; readonly highWater: number; readonly capacity: number }

type ToFill = Urgency & {
  readonly key: string
  readonly walletId: Uint8Array
  readonly missing: number
}

const WARM_WALLETS_MAX = 2_048

const alarmLevel = ({ lowWater }: Entry): number => Math.ceil(lowWater / 2)

export class WarmWallets {
  readonly #settings: Settings
  readonly #onForgotten: (walletId: Uint8Array) => void
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>()

  /** `onForgotten`: more wallets were used since than are kept track of. */
  constructor(settings: Settings, onForgotten: (walletId: Uint8Array) => void) {
    this.#settings = settings
    this.#onForgotten = onForgotten
  }

  /** Wallets that hold less than half of their low water, having held it all. */
  get lowCount(): number {
    let count = 0
    for (const { isLow } of this.#entries.values()) if (isLow) count += 1
    return count
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  isFilling(key: string): boolean {
    return this.#entries.get(key)?.isFilling ?? false
  }

  ids(): readonly Uint8Array[] {
    return [...this.#entries.values()].map(({ walletId }) => walletId)
  }

  /** It exists and may be signed with soon: a few are made. */
  note(key: string, walletId: Uint8Array): void {
    this.#touch(key, walletId, Math.max(1, this.#settings.lowWater))
  }

  /** It signs. */
  use(key: string, walletId: Uint8Array): void {
    this.#touch(key, walletId, this.#settings.highWater).isUsed = true
  }

  /** It is wanted this deep. */
  deepen(key: string, walletId: Uint8Array, depth: number): void {
    const entry = this.#touch(key, walletId, depth)
    entry.depth = depth
    entry.lowWater = Math.min(depth, Math.max(this.#settings.lowWater, Math.floor(depth / 4)))
    entry.isFilling = true
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }

  /** One was taken and `left` remain. Answers whether that is worth an alarm: once, until it has been filled again. */
  drained(key: string, left: number): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    if (left < entry.lowWater) entry.isFilling = true
    if (!entry.isArmed || left >= alarmLevel(entry)) return false
    entry.isArmed = false
    entry.isLow = true
    return true
  }

  filled(key: string, have: number): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    if (have >= entry.depth) {
      entry.isFilling = false
      entry.isUsed = false
    }
    if (have < entry.lowWater || have < 2) return
    entry.isArmed = true
    entry.isLow = false
  }

  /** Its pool was given up for others. */
  emptied(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.isArmed = false
    entry.isLow = false
  }

  /**
   * The wallet to fill next of those that are asked for, among the most recently used that fit together: one that is being signed from and nearly
   * empty, otherwise the one that was used last.
   */
  nextToFill(have: (key: string) => number, isAsked: (walletId: Uint8Array) => boolean = () => true): ToFill | undefined {
    let room = this.#settings.capacity
    let first: ToFill | undefined
    for (const [key, entry] of [...this.#entries].toReversed()) {
      const depth = Math.min(entry.depth, room)
      if (depth <= 0) break
      room -= depth
      if (!isAsked(entry.walletId)) continue
      const held = have(key)
      if (held < entry.lowWater) entry.isFilling = true
      if (!entry.isFilling || held >= depth) continue
      const isUrgent = entry.isUsed && held < alarmLevel(entry)
      const found = { key, walletId: entry.walletId, missing: depth - held, isUrgent, isLow: entry.isUsed && held < entry.lowWater }
      if (isUrgent) return found
      first ??= found
    }
    return first
  }

  /** Least recently used first. */
  leastRecent(): readonly Uint8Array[] {
    return this.ids()
  }

  #touch(key: string, walletId: Uint8Array, depth: number): Entry {
    const known = this.#entries.get(key)
    if (known !== undefined) {
      this.#entries.delete(key)
      this.#entries.set(key, known)
      known.depth = Math.max(known.depth, depth)
      return known
    }
    const lowWater = Math.min(this.#settings.lowWater, depth)
    const entry: Entry = {
      walletId,
      depth,
      lowWater,
      isFilling: false,
      isUsed: false,
      isArmed: false,
      isLow: false,
    }
    this.#entries.set(key, entry)
    const [oldest] = this.#entries.size > WARM_WALLETS_MAX ? this.#entries : []
    if (oldest !== undefined) {
      this.#onForgotten(oldest[1].walletId)
      this.#entries.delete(oldest[0])
    }
    return entry
  }
}
