/**
 * The links of a daemon and its cosigner: one a shard, each with OT material, a lock and crypto workers of its own. A
 * wallet's shares belong to the link that they were generated over for life, so a shard that has wallets is served
 * whatever the settings say.
 */
import { makeLinkParties } from '../engine/dkls23/contexts.ts'
import { getLink } from '../vault/links.ts'
import type { Reader } from '../vault/store.ts'
import { getShare, hasShares } from '../vault/wallet-shares.ts'
import { hexOf } from './presignature-map.ts'

export const MAX_SHARDS = 16
/** Wallets whose shard is kept in memory; looking one up costs a read. */
const MAX_KNOWN = 65_536

export class Shards {
  readonly #read: Reader
  readonly #linkIds: readonly Uint8Array[]
  readonly #byLink: ReadonlyMap<string, number>
  readonly #known = new Map<string, number>()
  /** Those that take new wallets: the lowest numbers. */
  readonly configured: number

  constructor(read: Reader, idC: Uint8Array, idS: Uint8Array, configured: number) {
    this.#read = read
    this.configured = configured
    this.#linkIds = Array.from({ length: MAX_SHARDS }, (_, shard) => makeLinkParties(idC, idS, shard, MAX_SHARDS).linkId)
    this.#byLink = new Map(this.#linkIds.map((linkId, shard) => [hexOf(linkId), shard]))
  }

  /** The configured ones, and every other that has wallets. */
  served(): readonly number[] {
    const isServed = (linkId: Uint8Array, shard: number): boolean =>
      shard < this.configured || (getLink(this.#read, linkId) !== undefined && hasShares(this.#read, linkId))
    return this.#linkIds.flatMap((linkId, shard) => (isServed(linkId, shard) ? [shard] : []))
  }

  /** Whether the link is between these two parties. */
  has(linkId: Uint8Array): boolean {
    return this.#byLink.has(hexOf(linkId))
  }

  /** Where the wallet's shares are. */
  of(walletId: Uint8Array): number {
    const key = hexOf(walletId)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const share = getShare(this.#read, walletId)
    const shard = share === undefined ? undefined : this.#byLink.get(hexOf(share.linkId))
    if (shard === undefined) return 0
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.set(key, shard)
    return shard
  }
}
