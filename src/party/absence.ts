/**
 * A cosigner on another host that cannot be reached for a while: both parties keep what they have, nothing is signed or
 * made, and when it is back each hears first what it missed.
 */
import { failure, isFailure } from '../domain/failure.ts'
import type { KeyPools } from './key-pools.ts'
import { asFailure } from './party-failure.ts'

/** `''`: it is back. */
type Told = { readonly onAway?: (why: string) => void }

export class Absence {
  readonly #pools: Pick<KeyPools, 'pause' | 'resume'>
  readonly #align: () => Promise<void>
  readonly #told: Told
  readonly #lost: (why: string) => void
  /** How often it went away: what an absence before had to be told does not end this one. */
  #count = 0

  /** `align`: tells both what they missed. `lost`: they do not fit any more. */
  constructor(
    pools: Pick<KeyPools, 'pause' | 'resume'>,
    align: () => Promise<void>,
    told: Told,
    lost: (why: string) => void,
  ) {
    this.#pools = pools
    this.#align = align
    this.#told = told
    this.#lost = lost
  }

  begin(why: string): void {
    this.#count += 1
    this.#pools.pause(failure('COSIGNER_UNAVAILABLE', { why }))
    this.#told.onAway?.(why)
  }

  end(): void {
    const count = this.#count
    void this.#align().then(
      () => {
        if (count !== this.#count) return
        this.#pools.resume()
        this.#told.onAway?.('')
      },
      (error: unknown) => {
        // It went away again, and comes back again.
        if (count !== this.#count) return
        const known = asFailure(error)
        this.#lost(isFailure(known) ? known.message : 'what it missed could not be told to it')
      },
    )
  }
}
