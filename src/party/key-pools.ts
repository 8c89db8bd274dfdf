/**
 * The pools of ready presignatures, one for each kind of key: their sessions are different and do not wait for each
 * other. Each holds up to the capacity that the settings say.
 */
import type { Failure } from '../domain/failure.ts'
import type { PoolLevels } from '../observe/metrics.ts'
import type { KeyType } from '../vault/wallets.ts'
import { LiveActivity } from './filling-pace.ts'
import type { ReadyPresignature } from './initiator.ts'
import { type PoolEvents, type PoolSettings, PresignaturePool, type ShardOf } from './presignature-pool.ts'

/** A wallet as its pool knows it. */
export type PooledWallet = { readonly walletId: Uint8Array; readonly keyType: KeyType }

type Presign = (walletIds: readonly Uint8Array[], shard: number) => Promise<readonly ReadyPresignature[]>

export class KeyPools {
  readonly #pools: { readonly [K in KeyType]: PresignaturePool }
  readonly #all: readonly PresignaturePool[]
  readonly #live = new LiveActivity()

  constructor(
    presign: { readonly [K in KeyType]: Presign },
    settings: PoolSettings,
    nowMs: () => number,
    events: PoolEvents,
    shardOf: ShardOf,
  ) {
    // Filling one kind gives way to signing with the other: the same threads do both.
    const live = this.#live
    this.#pools = {
      secp256k1: new PresignaturePool(presign.secp256k1, settings, nowMs, events, live, shardOf),
      ed25519: new PresignaturePool(presign.ed25519, settings, nowMs, events, live, shardOf),
    }
    this.#all = [this.#pools.secp256k1, this.#pools.ed25519]
  }

  get size(): number {
    return this.#all.reduce((sum, pool) => sum + pool.size, 0)
  }

  /** A round trip to the cosigner takes this long. */
  setDistance(ms: number): void {
    this.#live.distanceMs = ms
  }

  of(keyType: KeyType): PresignaturePool {
    return this.#pools[keyType]
  }

  wallets(): readonly Uint8Array[] {
    return this.#all.flatMap((pool) => pool.wallets())
  }

  forget(walletId: Uint8Array): void {
    for (const pool of this.#all) pool.forget(walletId)
  }

  forgetAll(): void {
    for (const pool of this.#all) pool.forgetAll()
  }

  /** Every presignature of a shard is gone; `what`: of one kind of key only. */
  forgetShard(shard: number, what?: KeyType): void {
    if (what !== undefined) return this.#pools[what].forgetShard(shard)
    for (const pool of this.#all) pool.forgetShard(shard)
  }

  /** Those who wait, and those who come, hear `reason`; absent, that the daemon stops. */
  shut(reason?: Failure): void {
    for (const pool of this.#all) pool.shut(reason)
  }

  /** As `shut`, until `resume`; what is ready stays. */
  pause(reason: Failure): void {
    for (const pool of this.#all) pool.pause(reason)
  }

  resume(): void {
    for (const pool of this.#all) pool.resume()
  }

  /** Of all wallets of both kinds. */
  view(): PoolLevels {
    const { secp256k1, ed25519 } = this.#pools
    const [a, b] = [secp256k1.view(), ed25519.view()]
    return {
      ready: a.ready + b.ready,
      capacity: a.capacity + b.capacity,
      wallets: a.wallets + b.wallets,
      walletsLow: a.walletsLow + b.walletsLow,
      waiting: a.waiting + b.waiting,
      madeTotal: a.madeTotal + b.madeTotal,
      evictedTotal: a.evictedTotal + b.evictedTotal,
      fillRate: a.fillRate + b.fillRate,
    }
  }
}
