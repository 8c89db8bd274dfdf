/**
 * What a signature does, as far as its bytes say it: the ground of every decision and the text of the audit row.
 * Facts are read from the payload alone; what cannot be read is said to be unreadable, never guessed.
 */
export type SigningOperation = 'message' | 'typed-data' | 'transaction' | 'authorization' | 'digest'

/**
 * How much of the effect the facts hold.
 * - `transfer`: everything that moves, or that somebody is allowed to move, is in `spends`, everyone it reaches in
 *   `destinations`: native transfers, token calls, token permits.
 * - `call`: a contract runs code that is not understood; `destinations` holds the contract called.
 * - `malformed-call`: the calldata names a known token operation but does not decode as one.
 * - `creation`: a contract is created.
 * - `delegation`: an EIP-7702 delegate gets the power of the account.
 * - `opaque`: the effect depends on whoever accepts the signature (messages, other typed data, digests).
 * - `unresolved`: a Solana transaction whose accounts stand in address lookup tables, not in the message.
 *
 * On Solana a `call` runs a program that is not known, or moves what the message does not count (a closed
 * account's lamports); a `malformed-call` is an instruction of a known program that is not one of those read; a
 * `delegation` hands an account over (assign, set authority, nonce authority).
 */
export type SigningEffect =
  'transfer' | 'call' | 'malformed-call' | 'creation' | 'delegation' | 'opaque' | 'unresolved'

/**
 * A CAIP-2 chain id and what is counted on it: `eip155:1/native` the chain's own coin, `eip155:1/fee` the most
 * that gas and blobs can cost, `eip155:1/0x…` the token at a contract in lower case (its base units; items for
 * NFTs). On Solana `solana:5eyk…/native` lamports, `…/fee` the most that signatures and priority can cost, and
 * `…/<mint>` a token by its mint in base58.
 */
export type TokenKey =
  | `eip155:${string}/native`
  | `eip155:${string}/fee`
  | `eip155:${string}/0x${string}`
  | `solana:${string}/${string}`

export type DestinationRole = 'to' | 'recipient' | 'spender' | 'token' | 'delegate' | 'verifying-contract'

export type Destination = {
  readonly role: DestinationRole
  /** EVM: 20 bytes as lower-case 0x hex. Solana: 32 bytes in base58. */
  readonly address: string
  /** The address is a token account; whose, only the chain knows, unless it is an owner's associated account. */
  readonly tokenAccount?: { readonly mint: string; readonly tokenProgram: string }
}

/** What a Solana message says besides. Addresses are base58. */
export type SolanaFacts = {
  /** The CAIP-2 id that the message is judged and counted under; see `SOLANA_CHAIN`. */
  readonly chain: string
  readonly blockhash: string
  /** It begins by advancing a nonce account: the signature stays good until that nonce is used. */
  readonly durableNonce: boolean
  readonly feePayer: string
  readonly signers: readonly string[]
  /** Of the accounts in the message; those in lookup tables are not known. */
  readonly writable: readonly string[]
  readonly programs: readonly string[]
  /** In order: `system.transfer`, …, or the address of a program that is not read. */
  readonly instructions: readonly string[]
  readonly lookupTables: readonly string[]
}

/** An amount in base units that moves, or that somebody is allowed to move. */
export type Spend = { readonly token: TokenKey; readonly amount: bigint }

export type SigningFacts = {
  readonly operation: SigningOperation
  readonly effect: SigningEffect
  /** Every EVM chain the signature names, chain 0 of an authorization included; empty when it names none. */
  readonly chainIds: readonly bigint[]
  readonly destinations: readonly Destination[]
  /** One entry a token, summed. Complete only when `effect` is `transfer`. */
  readonly spends: readonly Spend[]
  /** The EIP-7702 authorizations signed, or carried by the transaction that is signed. */
  readonly delegations: readonly { readonly chainId: bigint; readonly delegate: string }[]
  /** The first four bytes of the calldata as 0x hex. */
  readonly selector?: string
  /** The token call the calldata decodes as: `transfer(address,uint256)`, … */
  readonly call?: string
  readonly blobCount?: number
  readonly transactionType?: string
  readonly nonce?: bigint
  readonly typedData?: {
    readonly primaryType: string
    readonly domainName?: string
    readonly chainId?: bigint
    readonly verifyingContract?: string
  }
  readonly solana?: SolanaFacts
  /** One line for people: no control characters, at most 400 characters. */
  readonly summary: string
}

/** The key under which something is counted: `native`, `fee`, or a token contract in lower case. */
export const tokenKey = (chainId: bigint, what: string): TokenKey => `eip155:${chainId}/${what}` as TokenKey

/** One entry a token: amounts of the same token are added. */
export const totalSpends = (amounts: Iterable<readonly [TokenKey, bigint]>): readonly Spend[] => {
  const totals = new Map<TokenKey, bigint>()
  for (const [token, amount] of amounts) totals.set(token, (totals.get(token) ?? 0n) + amount)
  return [...totals].map(([token, amount]) => ({ token, amount }))
}

/** Facts as JSON text for the audit row: integers as decimal strings. */
export const formatFacts = (facts: SigningFacts): string =>
  JSON.stringify(facts, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))
