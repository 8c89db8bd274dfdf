/**
 * What a kind of chain does for spending: everything in which EVM and Solana differ. It reads chains and builds transfers; it
 * decides, signs and stores nothing. Everything throws CHAIN_UNAVAILABLE and CHAIN_DISAGREEMENT where the chain cannot be
 * read for sure.
 */
import type { SendContent } from '../sending/chain-family.ts'
import type { ExternalWallet } from '../vault/external-wallets.ts'
import type { Cursor } from '../vault/followed.ts'
import type { SentTransaction } from '../vault/sent-transactions.ts'
import type { Standing } from './external-wallet-view.ts'

/** Of an external wallet, what a chain is asked by. */
export type Delegated = Pick<ExternalWallet, 'network' | 'currency' | 'address' | 'tokenAddress' | 'decimals' | 'spender'>

/** What is watched: (token, owner, spender) as they stand in the rows of external wallets. */
export type Watched = Pick<ExternalWallet, 'externalWalletId' | 'address' | 'tokenAddress' | 'spender'>

export type News = {
  /** Where to go on. */
  readonly cursor: Cursor
  /** Of which wallets something was said; `all` where that cannot be told, as after a reorganisation. */
  readonly changed: ReadonlySet<string> | 'all'
  /** There is more to hear at once. */
  readonly hasMore: boolean
}

export type Transfer = {
  readonly wallet: Delegated
  /** As `parseDestination` answered it. */
  readonly destination: string
  /** Base units. */
  readonly units: bigint
  /** Solana: a token account is opened for the destination, at the spender's cost, where it has none. */
  readonly opensAccount?: boolean | undefined
}

export type SpendingChain = {
  /** CAIP-2: `eip155:1`. */
  readonly chain: string
  /** What a spender may take and what there is to take, at the newest block that two providers know. */
  readonly standing: (wallet: Delegated, signal?: AbortSignal) => Promise<Standing>
  /** Whether the transaction that approved is still in the chain. */
  readonly hasTransaction: (transactionHash: string, signal?: AbortSignal) => Promise<boolean>
  /** What was said since the cursor; undefined where nothing new can be heard just now. */
  readonly news: (watched: readonly Watched[], since: Cursor | undefined, signal?: AbortSignal) => Promise<News | undefined>
  /** The destination in the one form that it is stored and compared in. Refuses with INVALID_REQUEST. */
  readonly parseDestination: (text: string) => string
  readonly transferOf: (transfer: Transfer) => SendContent | Promise<SendContent>
  /** Why the token would not make the transfer; undefined when it would. */
  readonly objection: (transfer: Transfer, standing: Standing, signal?: AbortSignal) => Promise<string | undefined>
  /** Those of the sends whose effect, or the lack of one for good, is in what `standing` says. The ids. */
  readonly reflected: (standing: Standing, sends: readonly SentTransaction[], signal?: AbortSignal) => Promise<ReadonlySet<string>>
  /** What a send that counts brought to the destination; undefined while that cannot be read. */
  readonly delivered: (transfer: Transfer, sent: SentTransaction, signal?: AbortSignal) => Promise<bigint | undefined>
}
