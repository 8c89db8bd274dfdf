/** Sends on EVM chains: nonces, gas and fees from the chain, and what it says of them afterwards. */
import { chainNameOf, type Chains } from '../chain/chains.ts'
import { CallReverted } from '../chain/call-reverted.ts'
import type { EvmChain, EvmFees } from '../chain/evm-chain.ts'
import { assert, failure, invalidField } from '../domain/failure.ts'
import { parseEvmAddress } from '../payload/address.ts'
import { toHex } from '../payload/bytes.ts'
import { decodeUnsignedTransaction } from '../payload/decode-transaction.ts'
import { attachSignature, encodeUnsignedTransaction, type EvmTransaction } from '../payload/transaction.ts'
import { lowestFreeNonce } from '../vault/sent-queries.ts'
import type { SentTransaction } from '../vault/sent-transactions.ts'
import type { Reader } from '../vault/store.ts'
import type { Wallet } from '../vault/wallets.ts'
import type { ChainFamily, Draft, EvmSend, Lease, NotTaken, Replacing, SendContent, Taken } from './chain-family.ts'
import { type ChosenFees, chooseFees, priceOf, raiseFees, withMargin } from './evm-fees.ts'
import { observeEvm } from './evm-observe.ts'
import { SharedFlight } from './shared-flight.ts'

type Account = { readonly latest: bigint; readonly pending: bigint; readonly balance: bigint }

/** Nodes keep what they were given. */
const REPEAT_MS = 15_000

const KNOWN_ALREADY = /already known|already imported|known transaction|already exists|already in mempool/i
/** Of a transaction that is in a block, or whose nonce another one has: the chain says which. */
const NONCE_USED = /nonce (?:is )?too low|old nonce|nonce has already been used/i
const NOT_TAKEN: readonly (readonly [RegExp, NotTaken])[] = [
  [/insufficient funds|insufficient balance|exceeds balance/i, 'INSUFFICIENT_FUNDS'],
  [/underpriced|fee too low|gas price too low|less than block base fee|max fee per gas less|min gas price/i, 'UNDERPRICED'],
]

const callOf = ({ accessList = [] }: EvmSend, fees: ChosenFees) => {
  if (fees.kind === 'dynamic') {
    const { maxFeePerGas, maxPriorityFeePerGas } = fees
    return { type: 'dynamic-fee', maxFeePerGas, maxPriorityFeePerGas, accessList } as const
  }
  const { gasPrice } = fees
  return accessList.length === 0 ? ({ type: 'legacy', gasPrice } as const) : ({ type: 'access-list', gasPrice, accessList } as const)
}

const transactionOf = (chainId: bigint, content: EvmSend, gasLimit: bigint, fees: ChosenFees) => (nonce: bigint): EvmTransaction => {
  const { to, value, data } = content
  return { chainId, nonce, gasLimit, to, value, data, ...callOf(content, fees) }
}

/** What a transaction does, in the words of a send. */
const sendOf = (transaction: EvmTransaction): EvmSend => {
  const { to, value, data, gasLimit } = transaction
  return { kind: 'evm', to, value, data, gasLimit, ...(transaction.type === 'legacy' ? {} : { accessList: transaction.accessList }) }
}

const leaseOf = (transaction: EvmTransaction): Lease => {
  const unsigned = encodeUnsignedTransaction(transaction)
  return { content: { kind: 'transaction', unsigned }, unsigned, nonce: transaction.nonce, anchor: '', lastValid: undefined }
}

const requireAddress = ({ address }: Wallet): Uint8Array => {
  const bytes = parseEvmAddress(address)
  assert(bytes, 'a secp256k1 wallet has an EVM address')
  return bytes
}

export class EvmFamily implements ChainFamily {
  readonly name = 'EVM'
  readonly keyType = 'secp256k1'
  readonly #chains: Chains
  readonly #accounts = new SharedFlight<Account>()
  readonly #fees = new SharedFlight<EvmFees>()

  constructor(chains: Chains) {
    this.#chains = chains
  }

  #chain(network: string): EvmChain {
    return this.#chains.evm(chainNameOf(this.#chains, network))
  }

  pollMs(network: string): number {
    return this.#chain(network).sending.pollMs
  }

  repeatMs(): number {
    return REPEAT_MS
  }

  async draft(wallet: Wallet, network: string, content: SendContent, signal: AbortSignal): Promise<Draft> {
    if (content.kind !== 'evm') throw invalidField('transaction', `is not of ${network}`)
    const chain = this.#chain(network)
    const from = requireAddress(wallet)
    const [account, now, gas] = await Promise.all([this.#account(chain, from), this.#feesOf(chain), this.#gas(chain, from, content, signal)])
    signal.throwIfAborted()
    const fees = chooseFees(now, content.fees, chain.sending.maxFeePerGas)
    await this.#requireFunds(chain, from, account, content.value + gas * priceOf(fees))
    const make = transactionOf(chain.chainId, content, gas, fees)
    const name = `eip155:${chain.chainId}`
    const lease = (reader: Reader): Lease => leaseOf(make(lowestFreeNonce(reader, name, wallet.address.toLowerCase(), account.pending)))
    return { chain: name, keyType: this.keyType, counted: account.latest, lease }
  }

  async replace(wallet: Wallet, { kind, sent, fees: asked }: Replacing, signal: AbortSignal): Promise<Draft> {
    const chain = this.#chain(sent.network)
    const from = requireAddress(wallet)
    const last = sent.versions.at(-1)
    assert(last && sent.nonce !== undefined, 'an EVM send has a version and a nonce')
    const before = decodeUnsignedTransaction(last.unsigned)
    const now = await this.#feesOf(chain)
    const fees = raiseFees(before, now, asked, chain.sending.maxFeePerGas)
    const nothing: EvmSend = { kind: 'evm', to: from, value: 0n, data: new Uint8Array(0) }
    const content = kind === 'CANCEL' ? nothing : sendOf(before)
    const gas = kind === 'CANCEL' ? await this.#gas(chain, from, content, signal) : before.gasLimit
    const replacement = transactionOf(chain.chainId, content, gas, fees)(sent.nonce)
    return { chain: sent.chain, keyType: this.keyType, counted: undefined, lease: () => leaseOf(replacement) }
  }

  #account(chain: EvmChain, address: Uint8Array): Promise<Account> {
    return this.#accounts.ask(`${chain.network} ${toHex(address)}`, async () => {
      const [counts, balance] = await Promise.all([chain.transactionCounts(address), chain.balance(address)])
      return { ...counts, balance }
    })
  }

  #feesOf(chain: EvmChain): Promise<EvmFees> {
    return this.#fees.ask(chain.network, () => chain.fees())
  }

  async #gas(chain: EvmChain, from: Uint8Array, content: EvmSend, signal: AbortSignal): Promise<bigint> {
    const { maxGas } = chain.sending
    const { to, value, data, accessList = [], gasLimit } = content
    if (gasLimit !== undefined) {
      if (gasLimit > maxGas) throw failure('GAS_ABOVE_CAP', { needed: String(gasLimit), cap: String(maxGas) })
      return gasLimit
    }
    try {
      return withMargin(await chain.estimateGas({ from, to, value, data, accessList }, signal), maxGas)
    } catch (error) {
      if (!(error instanceof CallReverted)) throw error
      // Nodes say the same of what cannot be paid.
      const balance = await chain.balance(from, signal)
      if (balance < value) throw failure('INSUFFICIENT_FUNDS', { needed: String(value), balance: String(balance) })
      throw failure('TRANSACTION_WOULD_REVERT', { network: chain.network })
    }
  }

  async #requireFunds(chain: EvmChain, address: Uint8Array, account: Account, needed: bigint): Promise<void> {
    if (account.balance >= needed) return
    // What was read for several may be a moment old.
    const balance = await chain.balance(address)
    if (balance < needed) throw failure('INSUFFICIENT_FUNDS', { needed: String(needed), balance: String(balance) })
  }

  contentOf(unsigned: Uint8Array) {
    return { kind: 'transaction', unsigned } as const
  }

  attach({ examined, ...signed }: Parameters<ChainFamily['attach']>[0]) {
    assert(signed.keyType === 'secp256k1' && 'transaction' in examined && examined.transaction, 'a transaction was signed')
    const { signed: raw, hash } = attachSignature(examined.transaction, signed.signature)
    return { raw, hash: toHex(hash) }
  }

  async broadcast(network: string, { raw, hash }: SentTransaction['versions'][number], signal?: AbortSignal): Promise<Taken> {
    assert(raw, 'what is broadcast was signed')
    const told = await this.#chain(network).broadcast(raw, signal).catch(() => [])
    const refusals = told.flatMap((one) => ('refusal' in one ? [one.refusal] : []))
    const isTaken =
      told.some((one) => 'value' in one && one.value === hash) || refusals.some((said) => KNOWN_ALREADY.test(said) || NONCE_USED.test(said))
    if (isTaken) return { taken: true }
    const known = NOT_TAKEN.find(([pattern]) => refusals.some((said) => pattern.test(said)))
    return { taken: false, why: known?.[1] ?? (refusals.length > 0 ? 'REFUSED_BY_NODE' : 'CHAIN_UNAVAILABLE') }
  }

  observe(network: string, sent: readonly SentTransaction[], signal: AbortSignal) {
    return observeEvm(this.#chain(network), sent, signal)
  }
}
