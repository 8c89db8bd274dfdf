/** Reference prices that callers feed, for limits on notional. In memory: what is not fresh denies, as after a restart. */
import type { ProjectId } from '../domain/ids.ts'

export type MarkPlace = { readonly project: ProjectId; readonly profile: string; readonly network: string }
export type Mark = { readonly priceE18: bigint; readonly ageMs: number }
type Kept = { readonly priceE18: bigint; readonly atMs: number }

/** More than any daemon trades; beyond it all of a place are forgotten, which denies. */
const MAX_MARKETS = 20_000

const nameOf = ({ project, profile, network }: MarkPlace): string => `${project} ${profile} ${network}`

export class Marks {
  readonly #places = new Map<string, Map<string, Kept>>()
  readonly #monotonicMs: () => number

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs
  }

  set(place: MarkPlace, prices: ReadonlyMap<string, bigint>): void {
    const name = nameOf(place)
    const kept = this.#places.get(name) ?? new Map<string, Kept>()
    if (kept.size + prices.size > MAX_MARKETS) kept.clear()
    const atMs = this.#monotonicMs()
    for (const [market, priceE18] of prices) kept.set(market, { priceE18, atMs })
    this.#places.set(name, kept)
  }

  find(place: MarkPlace, market: string): Mark | undefined {
    const kept = this.#places.get(nameOf(place))?.get(market)
    return kept && { priceE18: kept.priceE18, ageMs: this.#monotonicMs() - kept.atMs }
  }
}
