/** Reads of one Solana cluster, and what is sent to it (Solana's JSON-RPC). Base58 and base64 stay in here. */
import { setTimeout as delay } from 'node:timers/promises'
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import type { Secret } from '../domain/secret.ts'
import type { SendHttp } from '../egress/http.ts'
import { CallReverted } from './call-reverted.ts'
import { createProvider } from './json-rpc.ts'
import { ProviderSet, type ReadResult, type Told } from './provider-set.ts'
import {
  type AtSlot,
  parseAccounts,
  parseTransaction,
  readAccounts,
  readAtSlot,
  readBlockhash,
  readCount,
  readPriorityFees,
  readSent,
  readSimulation,
  readStatuses,
  readTransaction,
  type SolanaAccount,
  SOLANA_COMMITMENTS,
  type SolanaStatus,
  type SolanaTransactionAnswer,
} from './solana-answers.ts'

export type SolanaChainSettings = {
  readonly network: string
  /** In base58; what tells one cluster from another. */
  readonly genesisHash: string
  /** What a block must be before it counts. */
  readonly commitment: 'confirmed' | 'finalized'
  /** In the order of preference. */
  readonly rpcUrls: readonly Secret<string>[]
  readonly sending?: SolanaSendingSettings | undefined
}

export type SolanaSendingSettings = {
  /** Lamports that a transaction pays at most beside its signature. */
  readonly maxPriorityFee: bigint
  /** How often what was sent is looked up. */
  readonly pollMs: number
}

const DEFAULT_SENDING: SolanaSendingSettings = { maxPriorityFee: 100_000n, pollMs: 1_000 }

/** What a transaction can be dated with. */
export type RecentBlockhash = {
  /** 32 bytes. */
  readonly blockhash: Uint8Array
  /** No block above this height takes a transaction that is dated with it. */
  readonly lastValidBlockHeight: bigint
}

export const MAX_ACCOUNTS = 100
const CAIP2_CHARACTERS = 32
/** More than any token account or mint has; of others nothing is read. */
const MAX_ACCOUNT_BYTES = 8_192
const KEY_BYTES = 32
/** Nodes are a few slots apart; what differs for longer is a disagreement. */
const TRIES = 4
const BETWEEN_TRIES_MS = 400
/** How long a blockhash lives, in blocks. */
const BLOCKHASH_BLOCKS = 150n
/** How far ahead of one node another may be when a blockhash is taken from it. */
const MARGIN_BLOCKS = 32n

const rankOf = ({ state }: SolanaStatus): number => (state === 'unknown' ? -1 : SOLANA_COMMITMENTS.indexOf(state))
const lowest = (heights: readonly bigint[]): bigint => heights.reduce((low, one) => (one < low ? one : low))
const highest = (heights: readonly bigint[]): bigint => heights.reduce((high, one) => (one > high ? one : high))

export class SolanaChain {
  readonly network: string
  readonly genesisHash: string
  readonly commitment: 'confirmed' | 'finalized'
  /** CAIP-2. */
  readonly chainId: string
  readonly sending: SolanaSendingSettings
  readonly #providers: ProviderSet

  constructor({ network, genesisHash, commitment, rpcUrls, sending }: SolanaChainSettings, send: SendHttp, clock: Clock) {
    this.network = network
    this.genesisHash = genesisHash
    this.chainId = `solana:${genesisHash.slice(0, CAIP2_CHARACTERS)}`
    this.commitment = commitment
    this.sending = sending ?? DEFAULT_SENDING
    this.#providers = new ProviderSet({
      network,
      identify: { method: 'getGenesisHash', params: [], expected: genesisHash },
      providers: rpcUrls.map((url) => createProvider(send, url)),
      clock,
    })
  }

  /**
   * Accounts as two nodes see them, at the lower of their slots; undefined for one that is not there. No node answers of a
   * slot that it is past, so nodes that differ are asked again before it is CHAIN_DISAGREEMENT. Throws CHAIN_UNAVAILABLE.
   */
  async accounts(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<AtSlot<readonly (SolanaAccount | undefined)[]>> {
    const asked = this.#agreeSoon(...this.#accountsQuestion(keys), readAtSlot(readAccounts(keys.length)), signal)
    const { slot, value } = await this.#orUnavailable(asked)
    return { slot, value: parseAccounts(value) }
  }

  /** Accounts as each of two nodes sees them just now, whether or not they agree: a hint. Throws CHAIN_UNAVAILABLE. */
  async glance(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<readonly (readonly (SolanaAccount | undefined)[])[]> {
    const heard = await this.#hear(...this.#accountsQuestion(keys), readAtSlot(readAccounts(keys.length)), signal)
    return heard.map(({ value }) => parseAccounts(value))
  }

  #accountsQuestion(keys: readonly Uint8Array[]): readonly [method: string, params: readonly unknown[]] {
    if (keys.length > MAX_ACCOUNTS) throw new Error(`assertion: at most ${MAX_ACCOUNTS} accounts`)
    const options = { encoding: 'base64', commitment: this.commitment, dataSlice: { offset: 0, length: MAX_ACCOUNT_BYTES } }
    return ['getMultipleAccounts', [keys.map(encodeBase58), options]]
  }

  /** Lamports, as the node says that knows of fewer. Throws CHAIN_UNAVAILABLE. */
  async balance(key: Uint8Array, signal?: AbortSignal): Promise<bigint> {
    const heard = await this.#hear('getBalance', [encodeBase58(key), { commitment: this.commitment }], readAtSlot(readCount), signal)
    return lowest(heard.map(({ value }) => BigInt(value)))
  }

  /**
   * A transaction with what it did, once it is in a block that counts; `unreadable` where it is of a version that nobody
   * here knows. Throws CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT.
   */
  async transaction(signature: Uint8Array, signal?: AbortSignal): Promise<SolanaTransactionAnswer | 'unreadable' | undefined> {
    const params = [encodeBase58(signature), { encoding: 'base64', commitment: this.commitment, maxSupportedTransactionVersion: 0 }]
    try {
      const read = (result: unknown) => ({ slot: 0, value: readTransaction(result) })
      return parseTransaction((await this.#agreeSoon('getTransaction', params, read, signal)).value)
    } catch (error) {
      if (error instanceof CallReverted) return 'unreadable'
      throw error
    }
  }

  /**
   * What became of transactions, each as the node knows it that knows least of it; at most 256. `isSeen`: any node has it in
   * a block, however young. Throws CHAIN_UNAVAILABLE, and CHAIN_DISAGREEMENT where nodes differ in whether one succeeded.
   */
  async statuses(signatures: readonly Uint8Array[], signal?: AbortSignal): Promise<readonly (SolanaStatus & { readonly isSeen: boolean })[]> {
    if (signatures.length === 0) return []
    const params = [signatures.map(encodeBase58), { searchTransactionHistory: true }]
    const heard = await this.#hear('getSignatureStatuses', params, readAtSlot(readStatuses(signatures.length)), signal)
    return signatures.map((_signature, index) => {
      const said = heard.map(({ value }) => value[index] ?? { state: 'unknown' as const })
      const outcomes = new Set(said.flatMap((one) => (one.state === 'unknown' ? [] : [one.succeeded])))
      if (outcomes.size > 1) throw failure('CHAIN_DISAGREEMENT', { network: this.network })
      const least = said.reduce((low, one) => (rankOf(one) < rankOf(low) ? one : low))
      return { ...least, isSeen: outcomes.size > 0 }
    })
  }

  /** `statuses` of one. */
  async status(signature: Uint8Array, signal?: AbortSignal): Promise<SolanaStatus & { readonly isSeen: boolean }> {
    return (await this.statuses([signature], signal))[0] ?? { state: 'unknown', isSeen: false }
  }

  /** Whether a block of that commitment counts here. */
  counts({ state }: SolanaStatus): boolean {
    return state === 'finalized' || state === this.commitment
  }

  /** The newest slot that counts, as the node says that is behind. Throws CHAIN_UNAVAILABLE. */
  async slot(signal?: AbortSignal): Promise<bigint> {
    return lowest((await this.#hear('getSlot', [{ commitment: this.commitment }], readCount, signal)).map(BigInt))
  }

  /**
   * A recent blockhash with a height above which it is over for certain: the highest that any of two nodes says, and a
   * margin for what they are apart; a node that says too little must not make a transaction look expired while it can
   * still land. Throws CHAIN_UNAVAILABLE, and CHAIN_DISAGREEMENT where they are further apart than a blockhash lives.
   */
  async latestBlockhash(signal?: AbortSignal): Promise<RecentBlockhash> {
    const heard = await this.#hear('getLatestBlockhash', [{ commitment: this.commitment }], readAtSlot(readBlockhash), signal)
    const heights = heard.map(({ value }) => BigInt(value.lastValidBlockHeight))
    const [low, high] = [lowest(heights), highest(heights)]
    if (high - low > BLOCKHASH_BLOCKS) throw failure('CHAIN_DISAGREEMENT', { network: this.network })
    // The older of the two is known to both.
    const { blockhash } = (heard.find(({ value }) => BigInt(value.lastValidBlockHeight) === low) ?? heard[0]).value
    return { blockhash: keyOf(blockhash), lastValidBlockHeight: high + MARGIN_BLOCKS }
  }

  /** The height of the newest final block, as the node that is behind says. Throws CHAIN_UNAVAILABLE. */
  async finalizedHeight(signal?: AbortSignal): Promise<bigint> {
    return lowest((await this.#hear('getBlockHeight', [{ commitment: 'finalized' }], readCount, signal)).map(BigInt))
  }

  /** Runs a transaction without signatures and on a fresh blockhash: the units that it used, or that it fails. */
  async simulate(wire: Uint8Array, signal?: AbortSignal): Promise<{ readonly units: number } | 'fails'> {
    const options = { encoding: 'base64', commitment: this.commitment, sigVerify: false, replaceRecentBlockhash: true }
    const params = [Buffer.from(wire).toString('base64'), options]
    return (await this.#orUnavailable(this.#providers.ask('simulateTransaction', params, readAtSlot(readSimulation), signal))).value
  }

  /** Hands a signed transaction to every node and answers what each says; nobody may have. The same one may be sent again. */
  broadcast(wire: Uint8Array, signature: Uint8Array, signal?: AbortSignal): Promise<readonly Told<true>[]> {
    // Whether it can succeed was asked before it was signed; a node that is behind would refuse what others take.
    const options = { encoding: 'base64', skipPreflight: true }
    return this.#providers.submit('sendTransaction', [Buffer.from(wire).toString('base64'), options], readSent(encodeBase58(signature)), signal)
  }

  /** What others paid of late for transactions that write these accounts, in micro-lamports a unit; the third quartile. */
  async priorityFee(written: readonly Uint8Array[], signal?: AbortSignal): Promise<bigint> {
    const keys = written.slice(0, MAX_ACCOUNTS).map(encodeBase58)
    const fees = await this.#orUnavailable(this.#providers.ask('getRecentPrioritizationFees', [keys], readPriorityFees, signal))
    const sorted = fees.toSorted((one, other) => one - other)
    return BigInt(sorted[Math.floor(sorted.length * 0.75)] ?? 0)
  }

  async #orUnavailable<T>(asked: Promise<T>): Promise<T> {
    return asked.catch((error: unknown) => {
      if (error instanceof CallReverted) throw failure('CHAIN_UNAVAILABLE', { network: this.network, why: 'a provider refuses the question' })
      throw error
    })
  }

  #hear<T>(method: string, params: readonly unknown[], read: ReadResult<T>, signal?: AbortSignal): Promise<readonly [T, ...T[]]> {
    return this.#orUnavailable(this.#providers.hear(method, params, read, signal))
  }

  /** What two nodes say, once they say the same; with the lower of their slots. */
  async #agreeSoon(method: string, params: readonly unknown[], read: ReadResult<AtSlot<string>>, signal?: AbortSignal): Promise<AtSlot<string>> {
    for (let attempt = 1; ; attempt++) {
      const heard = await this.#providers.hear(method, params, read, signal)
      const values = new Set(heard.map(({ value }) => value))
      if (values.size === 1) return { slot: Math.min(...heard.map(({ slot }) => slot)), value: heard[0].value }
      if (attempt === TRIES) throw failure('CHAIN_DISAGREEMENT', { network: this.network })
      await delay(BETWEEN_TRIES_MS, undefined, { signal })
    }
  }
}

const keyOf = (text: string): Uint8Array => {
  const key = decodeBase58(text)
  if (key?.length !== KEY_BYTES) throw new Error('assertion: a blockhash has 32 bytes')
  return key
}
