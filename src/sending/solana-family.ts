/** Sends on Solana: a recent blockhash and a priority fee from the cluster, and what it says of the transactions afterwards. */
import { randomInt } from 'node:crypto'
import type { Chains } from '../chain/chains.ts'
import type { RecentBlockhash, SolanaChain } from '../chain/solana-chain.ts'
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import { assert, failure, invalidField, isFailure } from '../domain/failure.ts'
import { setComputeUnitLimit, setComputeUnitPrice, setLoadedAccountsLimit } from '../payload/solana-build.ts'
import { prependInstructions } from '../payload/solana-compile.ts'
import { describeSolanaMessage, LAMPORTS_PER_SIGNATURE, MAX_UNITS, MICRO_LAMPORTS } from '../payload/solana-facts.ts'
import { readComputeBudget } from '../payload/solana-instructions.ts'
import { decodeSolanaMessage, encodeSolanaMessage, isWritable, type SolanaMessage } from '../payload/solana-message.ts'
import { COMPUTE_BUDGET_PROGRAM } from '../payload/solana-programs.ts'
import { attachSolanaSignature, unsignedSolanaTransaction } from '../payload/solana-transaction.ts'
import type { SentTransaction } from '../vault/sent-transactions.ts'
import type { Wallet } from '../vault/wallets.ts'
import type { ChainFamily, Draft, Lease, SendContent, Taken } from './chain-family.ts'
import { SharedFlight } from './shared-flight.ts'
import { observeSolana } from './solana-observe.ts'

/** What a transaction may load unless it says less; how far below is what keeps two of them apart. */
const LOADED_BYTES = 64 * 1024 * 1024
const APART = 1 << 24

const ALREADY_IN = /already (?:been )?processed|AlreadyProcessed/i

/** What the message says itself of its budget: nothing of that is said again. */
const budgetOf = (message: SolanaMessage) => {
  let [hasLimit, hasPrice, hasLoaded] = [false, false, false]
  for (const { programIndex, data } of message.instructions) {
    if (encodeBase58(message.staticKeys[programIndex] ?? new Uint8Array()) !== COMPUTE_BUDGET_PROGRAM) continue
    const budget = readComputeBudget(data)
    hasLimit ||= budget?.unitLimit !== undefined
    hasPrice ||= budget?.unitPrice !== undefined
    hasLoaded ||= data[0] === 4
  }
  return { hasLimit, hasPrice, hasLoaded }
}

/** Refuses a message that the wallet alone cannot send. */
const requireSendable = (bytes: Uint8Array, wallet: Wallet): SolanaMessage => {
  const message = decodeSolanaMessage(bytes)
  const refuse = (why: string) => failure('TRANSACTION_INVALID', { field: 'solana_message', why })
  const [payer = new Uint8Array()] = message.staticKeys
  if (encodeBase58(payer) !== wallet.address) throw refuse('is not paid for by the wallet')
  if (message.requiredSignatures !== 1) throw refuse('needs signatures of others')
  // Its value is no blockhash that lapses, so nobody could tell when it is over.
  if (describeSolanaMessage(message).solana?.durableNonce === true) throw refuse('uses a durable nonce')
  return message
}

const writtenBy = (message: SolanaMessage): readonly Uint8Array[] => message.staticKeys.filter((_key, index) => isWritable(message, index))

/** With the budget in front where that fits: without it a transaction is taken as well, if less gladly. */
const assemble = (message: SolanaMessage, budget: Parameters<typeof prependInstructions>[1], blockhash: Uint8Array): Uint8Array => {
  try {
    return prependInstructions(message, budget, blockhash)
  } catch (error) {
    if (!isFailure(error)) throw error
    return encodeSolanaMessage({ ...message, blockhash })
  }
}

export class SolanaFamily implements ChainFamily {
  readonly name = 'SOLANA'
  readonly keyType = 'ed25519'
  readonly #chains: Chains
  readonly #blockhashes = new SharedFlight<RecentBlockhash>()

  constructor(chains: Chains) {
    this.#chains = chains
  }

  pollMs(network: string): number {
    return this.#chains.solana(network).sending.pollMs
  }

  /** A leader that has it not in its own slots forgets it; it lives for a minute. */
  repeatMs(network: string): number {
    return 3 * this.pollMs(network)
  }

  async draft(wallet: Wallet, network: string, content: SendContent, signal: AbortSignal): Promise<Draft> {
    if (content.kind !== 'solana') throw invalidField('transaction', `is not of ${network}`)
    const chain = this.#chains.solana(network)
    const message = requireSendable(content.message, wallet)
    const units = await this.#simulate(chain, message, wallet, signal)
    const budget = await this.#budget(chain, message, units, signal)
    const { blockhash, lastValidBlockHeight } = await this.#blockhashes.ask(network, () => chain.latestBlockhash())
    signal.throwIfAborted()
    const form = assemble(message, budget, blockhash)
    const lease = (): Lease => ({
      content: { kind: 'solana-message', message: form },
      unsigned: form,
      nonce: undefined,
      anchor: encodeBase58(blockhash),
      lastValid: lastValidBlockHeight,
    })
    return { chain: chain.chainId, keyType: this.keyType, counted: undefined, lease }
  }

  /** Refuses what the cluster would not do now, before anything is signed. */
  async #simulate(chain: SolanaChain, message: SolanaMessage, wallet: Wallet, signal: AbortSignal): Promise<number> {
    const result = await chain.simulate(unsignedSolanaTransaction(encodeSolanaMessage(message)), signal)
    if (result !== 'fails') return result.units
    const lamports = await chain.balance(wallet.publicKey, signal)
    if (lamports < LAMPORTS_PER_SIGNATURE) {
      throw failure('INSUFFICIENT_FUNDS', { needed: String(LAMPORTS_PER_SIGNATURE), balance: String(lamports) })
    }
    throw failure('TRANSACTION_WOULD_REVERT', { network: chain.network })
  }

  /**
   * What is put in front: a limit a fifth above what it used just now, the price that is usual within the cap, and a bound
   * that is another one each time. A cluster takes the same message once, however often it is signed: two that ask for the
   * same must not be one.
   */
  async #budget(chain: SolanaChain, message: SolanaMessage, units: number, signal: AbortSignal) {
    const { hasLimit, hasPrice, hasLoaded } = budgetOf(message)
    const limit = Math.min(Math.ceil(units * 1.2) + 1_000, Number(MAX_UNITS))
    const usual = hasPrice || hasLimit ? 0n : await chain.priorityFee(writtenBy(message), signal)
    const most = (chain.sending.maxPriorityFee * MICRO_LAMPORTS) / BigInt(limit)
    const price = usual < most ? usual : most
    return [
      ...(hasLimit ? [] : [setComputeUnitLimit(limit)]),
      ...(price > 0n ? [setComputeUnitPrice(price)] : []),
      ...(hasLoaded ? [] : [setLoadedAccountsLimit(LOADED_BYTES - randomInt(APART))]),
    ]
  }

  contentOf(message: Uint8Array) {
    return { kind: 'solana-message', message } as const
  }

  attach({ wallet, ...signed }: Parameters<ChainFamily['attach']>[0]) {
    assert(signed.keyType === 'ed25519' && signed.examined.solana, 'a Solana message was signed')
    const { signed: raw, transactionId } = attachSolanaSignature(signed.examined.solana, signed.signature.raw, wallet.publicKey)
    assert(transactionId, 'the wallet pays for what it sends')
    return { raw, hash: transactionId }
  }

  async broadcast(network: string, { raw, hash }: SentTransaction['versions'][number], signal?: AbortSignal): Promise<Taken> {
    assert(raw, 'what is broadcast was signed')
    const told = await this.#chains.solana(network).broadcast(raw, decodeBase58(hash) ?? new Uint8Array(), signal).catch(() => [])
    const isTaken = told.some((one) => 'value' in one || ALREADY_IN.test(one.refusal))
    return isTaken ? { taken: true } : { taken: false, why: told.length > 0 ? 'REFUSED_BY_NODE' : 'CHAIN_UNAVAILABLE' }
  }

  observe(network: string, sent: readonly SentTransaction[], signal: AbortSignal) {
    return observeSolana(this.#chains.solana(network), sent, signal)
  }
}
