/** What an EVM chain says of transactions that were sent: in which block each is, and how deep. */
import type { EvmChain } from '../chain/evm-chain.ts'
import { parseEvmAddress } from '../payload/address.ts'
import { assert } from '../domain/failure.ts'
import type { SentTransaction, SentVersion } from '../vault/sent-transactions.ts'
import type { Observation } from './chain-family.ts'
import { SharedFlight } from './shared-flight.ts'

/** How many are looked up at once. */
const AT_ONCE = 16

/** One look at a chain: what was asked once in it is not asked again. */
class Look {
  readonly #chain: EvmChain
  readonly #signal: AbortSignal
  readonly head: bigint
  readonly #hashes = new Map<bigint, Promise<string>>()
  readonly #counts = new Map<string, Promise<bigint>>()
  readonly #flights = new SharedFlight<string>()

  constructor(chain: EvmChain, head: bigint, signal: AbortSignal) {
    this.#chain = chain
    this.head = head
    this.#signal = signal
  }

  hashOf(block: bigint): Promise<string> {
    const known = this.#hashes.get(block) ?? this.#flights.ask(String(block), () => this.#chain.blockHash(block, this.#signal))
    this.#hashes.set(block, known)
    return known
  }

  minedOf(sender: string): Promise<bigint> {
    const address = parseEvmAddress(sender)
    assert(address, 'the sender is an address')
    const known = this.#counts.get(sender) ?? this.#chain.minedCount(address, this.#signal)
    this.#counts.set(sender, known)
    return known
  }

  depthOf(block: bigint): number {
    return this.head < block ? 0 : Number(this.head - block) + 1
  }

  /** Where one version is, if it is in a block of the chain. */
  async #find({ version, hash }: SentVersion): Promise<Extract<Observation, { readonly seen: 'included' }> | undefined> {
    const receipt = await this.#chain.receipt(Buffer.from(hash.slice(2), 'hex'), this.#signal)
    if (receipt === undefined || (await this.hashOf(receipt.block)) !== receipt.blockHash) return undefined
    const { block, blockHash, succeeded } = receipt
    return { seen: 'included', version, block, blockHash, succeeded, depth: this.depthOf(block) }
  }

  async observe(sent: SentTransaction): Promise<Observation> {
    const { state, block, blockHash, minedVersion, succeeded, nonce, sender } = sent
    if (state === 'INCLUDED' && block !== undefined && minedVersion !== undefined && this.depthOf(block) < sent.confirmations) {
      // While it only grows deeper, its block is all that is looked at.
      if ((await this.hashOf(block)) === blockHash)
        return { seen: 'included', version: minedVersion, block, blockHash, succeeded: succeeded === true, depth: this.depthOf(block) }
    }
    const isMined = nonce !== undefined && nonce < (await this.minedOf(sender))
    if (!isMined && state !== 'INCLUDED') return { seen: 'waiting' }
    for (const version of sent.versions.toReversed()) {
      const found = version.raw === undefined ? undefined : await this.#find(version)
      if (found !== undefined) return found
    }
    if (!isMined) return { seen: 'waiting' }
    const since = minedVersion === undefined ? (block ?? this.head) : this.head
    return { seen: 'displaced', block: since, depth: this.depthOf(since) }
  }
}

/** What could not be read, or is told differently by two providers, is left out. Never rejects. */
export const observeEvm = async (chain: EvmChain, sent: readonly SentTransaction[], signal: AbortSignal): Promise<ReadonlyMap<string, Observation>> => {
  const seen = new Map<string, Observation>()
  const head = await chain.blockNumber(signal).catch(() => undefined)
  if (head === undefined) return seen
  const look = new Look(chain, head, signal)
  for (let at = 0; at < sent.length; at += AT_ONCE) {
    const some = sent.slice(at, at + AT_ONCE)
    const found = await Promise.all(some.map((one) => look.observe(one).catch(() => undefined)))
    for (const [index, observation] of found.entries()) {
      const { sendId } = some[index] as SentTransaction
      if (observation !== undefined) seen.set(sendId, observation)
    }
  }
  return seen
}
