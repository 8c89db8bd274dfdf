/**
 * What a family of chains does for a send: everything in which EVM and Solana differ. It reads and tells chains; it signs
 * nothing and stores nothing.
 */
import type { SigningContent } from '../payload/signing-payload.ts'
import type { Signed } from '../signing/sign.ts'
import type { FamilyName, SentTransaction, SentVersion } from '../vault/sent-transactions.ts'
import type { Reader } from '../vault/store.ts'
import type { KeyType, Wallet } from '../vault/wallets.ts'

/** What an EVM transaction is to do; nonce, gas and fees are filled in. Amounts in wei. */
export type EvmSend = {
  readonly kind: 'evm'
  /** 20 bytes; absent where a contract is created. */
  readonly to: Uint8Array | undefined
  readonly value: bigint
  readonly data: Uint8Array
  readonly accessList?: readonly { readonly address: Uint8Array; readonly storageKeys: readonly Uint8Array[] }[]
  /** Estimated where it is absent. */
  readonly gasLimit?: bigint | undefined
  readonly fees?: FeeLimits | undefined
}

/** At most so much a unit of gas; more than the chain's own caps say is never paid. */
export type FeeLimits = { readonly maxFeePerGas?: bigint | undefined; readonly maxPriorityFeePerGas?: bigint | undefined }

/** A Solana message whose recent blockhash is filled in. */
export type SolanaSend = {
  readonly kind: 'solana'
  /** A legacy or version 0 message; its blockhash is replaced. */
  readonly message: Uint8Array
}

export type SendContent = EvmSend | SolanaSend

/** What is signed under a lease. `unsigned` is what `content` holds, and what a version keeps. */
export type Lease = {
  readonly content: SigningContent
  readonly unsigned: Uint8Array
  readonly nonce: bigint | undefined
  readonly anchor: string
  readonly lastValid: bigint | undefined
}

/** A send with everything filled in but what only its turn can tell. */
export type Draft = {
  /** CAIP-2. */
  readonly chain: string
  readonly keyType: KeyType
  /** How many transactions of the sender the chain has; undefined where nothing is counted. */
  readonly counted: bigint | undefined
  /** Called when it is the sender's turn; the lease is what the row that is then written holds. */
  readonly lease: (reader: Reader) => Lease
}

export type Replacing = {
  readonly kind: 'SPEED_UP' | 'CANCEL'
  readonly sent: SentTransaction
  readonly fees: FeeLimits | undefined
}

/** `why`: why no provider takes it, in one of our words. */
export type Taken = { readonly taken: true } | { readonly taken: false; readonly why: NotTaken }
export type NotTaken = 'INSUFFICIENT_FUNDS' | 'UNDERPRICED' | 'REFUSED_BY_NODE' | 'CHAIN_UNAVAILABLE'

/** What the chain says of a send. */
export type Observation =
  /** In no block. */
  | { readonly seen: 'waiting' }
  | {
      readonly seen: 'included'
      readonly version: number
      readonly block: bigint
      readonly blockHash: string
      readonly succeeded: boolean
      /** Blocks, its own included. */
      readonly depth: number
    }
  /** Something else has its nonce. `depth`: for how many blocks that has been so, since `block`. */
  | { readonly seen: 'displaced'; readonly block: bigint; readonly depth: number }
  /** Its anchor has lapsed, and no version is in a block. */
  | { readonly seen: 'lapsed' }

export type ChainFamily = {
  readonly name: FamilyName
  readonly keyType: KeyType
  /** How often what was sent is looked up. */
  readonly pollMs: (network: string) => number
  /** After which the broadcast of what is in no block is repeated. */
  readonly repeatMs: (network: string) => number
  /** Refuses with CHAIN_NOT_CONFIGURED, and as the chain does; TRANSACTION_WOULD_REVERT, FEE_ABOVE_CAP, GAS_ABOVE_CAP, INSUFFICIENT_FUNDS. */
  readonly draft: (wallet: Wallet, network: string, content: SendContent, signal: AbortSignal) => Promise<Draft>
  /** The same nonce again, paying more. Absent where a family has no such thing. */
  readonly replace?: (wallet: Wallet, replacing: Replacing, signal: AbortSignal) => Promise<Draft>
  readonly contentOf: (unsigned: Uint8Array) => SigningContent
  readonly attach: (signed: Signed) => { readonly raw: Uint8Array; readonly hash: string }
  /** Tells every provider; one that takes it is enough. Never rejects. */
  readonly broadcast: (network: string, version: SentVersion, signal?: AbortSignal) => Promise<Taken>
  /** What is to be said of each; a send that is left out could not be read. Never rejects. */
  readonly observe: (network: string, sent: readonly SentTransaction[], signal: AbortSignal) => Promise<ReadonlyMap<string, Observation>>
}
