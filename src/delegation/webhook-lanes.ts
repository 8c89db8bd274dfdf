/**
 * Who is sent to next. An endpoint begins with one attempt at a time, has several at once after one that was taken, and
 * one again after one that was not. Endpoints that failed last share places of their own, so that any number of dead
 * ones, each holding its place until its time is up, leaves the others theirs. Pure.
 */
export type Standing = 'new' | 'healthy' | 'failing'

export type LaneLimits = {
  /** Attempts at once, of endpoints that did not fail last. */
  readonly places: number
  /** Attempts at once, of endpoints that failed last. */
  readonly failingPlaces: number
  readonly perHealthyEndpoint: number
}

const LANE_LIMITS: LaneLimits = { places: 32, failingPlaces: 8, perHealthyEndpoint: 4 }

export type Place = { readonly webhook: bigint; readonly isFailing: boolean }

export class WebhookLanes {
  readonly #limits: LaneLimits
  readonly #standings = new Map<bigint, Standing>()
  readonly #held = new Map<bigint, number>()
  #taken = 0
  #takenFailing = 0
  #lastServed = -1n

  constructor(limits: LaneLimits = LANE_LIMITS) {
    this.#limits = limits
  }

  get inFlight(): number {
    return this.#taken + this.#takenFailing
  }

  /** Those that may be sent to, beginning behind the one that was served last. */
  inTurn(webhooks: readonly bigint[]): readonly bigint[] {
    const sorted = webhooks.toSorted((one, other) => (one < other ? -1 : 1))
    const behind = sorted.filter((webhook) => webhook > this.#lastServed)
    return [...behind, ...sorted.filter((webhook) => webhook <= this.#lastServed)]
  }

  /** A place for one more attempt; undefined when there is none now. */
  take(webhook: bigint): Place | undefined {
    const standing = this.#standings.get(webhook) ?? 'new'
    const isFailing = standing === 'failing'
    const held = this.#held.get(webhook) ?? 0
    if (held >= (standing === 'healthy' ? this.#limits.perHealthyEndpoint : 1)) return undefined
    if (isFailing ? this.#takenFailing >= this.#limits.failingPlaces : this.#taken >= this.#limits.places) return undefined
    if (isFailing) this.#takenFailing += 1
    else this.#taken += 1
    this.#held.set(webhook, held + 1)
    this.#lastServed = webhook
    return { webhook, isFailing }
  }

  /** `taken`: what the receiver did with it; undefined when it was not asked. */
  release({ webhook, isFailing }: Place, taken: boolean | undefined): void {
    if (isFailing) this.#takenFailing -= 1
    else this.#taken -= 1
    const held = (this.#held.get(webhook) ?? 1) - 1
    if (held === 0) this.#held.delete(webhook)
    else this.#held.set(webhook, held)
    if (taken !== undefined) this.#standings.set(webhook, taken ? 'healthy' : 'failing')
  }

  /** Forgets who is not among these. */
  keepOnly(webhooks: ReadonlySet<bigint>): void {
    for (const webhook of this.#standings.keys())
      if (!webhooks.has(webhook) && !this.#held.has(webhook)) this.#standings.delete(webhook)
  }
}
