import type { Clock } from '../domain/clock.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import type { Exchange } from './frame-exchange.ts'
import type { Link } from './link.ts'
import type { CosignerStore, PartyStore } from './party-store.ts'

/** What every operation that party C opens works with. */
export type OpeningDeps = {
  readonly link: Link
  readonly store: PartyStore
  readonly entropy: Entropy
  readonly exchange: Exchange
  /** Carries out what a fault costs before the caller hears of it. */
  readonly guarded: <T>(work: () => Promise<T>) => Promise<T>
  /** Brings both sides to one link epoch. */
  readonly align: () => Promise<void>
}

/** What every operation that party S answers works with. */
export type AnsweringDeps = {
  readonly link: Link
  readonly store: CosignerStore
  readonly entropy: Entropy
  readonly clock: Clock
  readonly alert: (what: string, detail: string) => void
}
