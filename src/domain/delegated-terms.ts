/** What a delegate may have signed under one access. Nothing listed, nothing allowed. */
const DELEGATED_OPERATIONS = ['message', 'typed_data', 'transaction', 'digest'] as const

/** `digest`: a hash that says nothing of itself, `is_formatted` included. Never there unless it was asked for by name. */
export type DelegatedOperation = (typeof DELEGATED_OPERATIONS)[number]

/** Of an access that does not say. */
export const DEFAULT_OPERATIONS: readonly DelegatedOperation[] = ['message', 'typed_data', 'transaction']

/**
 * As stored, and as `narrowing` of a permission reads it: names of chains (CAIP-2), destinations, base units by token key.
 * A member that is absent does not narrow.
 */
export type DelegatedTerms = {
  readonly operations: readonly DelegatedOperation[]
  readonly narrowing: {
    readonly chains?: readonly string[]
    readonly destinations?: readonly string[]
    readonly max_per_transaction?: { readonly [token: string]: string }
    readonly max_per_day?: { readonly [token: string]: string }
    readonly requests_per_second?: number
  }
}
