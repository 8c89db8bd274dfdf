/**
 * What a signature does, as far as its bytes say it: the ground of every decision and the text of the audit row.
 * Facts are read from the payload alone; what cannot be read is said to be unreadable, never guessed.
 */
export type SigningOperation = 'message' | 'typed-data' | 'transaction' | 'authorization' | 'digest'

/**
 * How much of the effect the facts hold.
 * - `transfer`: everything that moves is in `spends`, everyone it reaches in `destinations`.
 * - `call`: a contract runs code that is not understood; `destinations` holds the contract called.
 * - `malformed-call`: the calldata names a known token operation but does not decode as one.
 * - `creation`: a contract is created.
 * - `delegation`: an EIP-7702 delegate gets the power of the account.
 * - `opaque`: the effect depends on whoever accepts the signature (messages, typed data, digests).
 */
export type SigningEffect = 'transfer' | 'call' | 'malformed-call' | 'creation' | 'delegation' | 'opaque'

/**
 * A CAIP-2 chain id and what is counted on it: `eip155:1/native` the chain's own coin, `eip155:1/fee` the most that gas
 * and blobs can cost, `eip155:1/0x…` the token at a contract in lower case (its base units; items for NFTs).
 */
export type TokenKey = `eip155:${string}/native` | `eip155:${string}/fee` | `eip155:${string}/0x${string}`

export type DestinationRole = 'to' | 'recipient' | 'spender' | 'delegate' | 'verifying-contract'

export type Destination = {
  readonly role: DestinationRole
  /** 20 bytes as lower-case 0x hex. */
  readonly address: string
}

/** An amount in base units that moves, or that somebody is allowed to move. */
export type Spend = { readonly token: TokenKey; readonly amount: bigint }

export type SigningFacts = {
  readonly operation: SigningOperation
  readonly effect: SigningEffect
  /** Every chain the signature names, chain 0 of an authorization included; empty when it names none. */
  readonly chainIds: readonly bigint[]
  readonly destinations: readonly Destination[]
  /** One entry a token, summed. Complete only when `effect` is `transfer`. */
  readonly spends: readonly Spend[]
  /** The EIP-7702 authorizations signed, or carried by the transaction that is signed. */
  readonly delegations: readonly { readonly chainId: bigint; readonly delegate: string }[]
  /** The first four bytes of the calldata as 0x hex. */
  readonly selector?: string
  /** The known operation the calldata decodes as: `erc20.transfer`, … */
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
  /** One line for people: no control characters, at most 200 characters. */
  readonly summary: string
}
