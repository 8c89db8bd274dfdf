/** Spending on an EVM chain: ERC-20 `transferFrom`. */
import { readApprovals } from '../chain/approval-logs.ts'
import { CallReverted } from '../chain/call-reverted.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { readAllowance, readBalance, topicOf, TRANSFER } from '../chain/token-approval.ts'
import { failure, invalidField, isFailure } from '../domain/failure.ts'
import { formatEvmAddress, parseEvmAddress } from '../payload/address.ts'
import type { Cursor } from '../vault/followed.ts'
import type { SentTransaction } from '../vault/sent-transactions.ts'
import { requireDecimals } from './evm-token.ts'
import type { Standing } from './external-wallet-view.ts'
import type { Delegated, News, SpendingChain, Transfer, Watched } from './spending-chain.ts'

const GAS = 1_000_000n
const WORD = 32
/** `transferFrom(address,address,uint256)` */
const TRANSFER_FROM = '23b872dd'
/** Providers answer no more at once, or less: a range that is refused is cut short, and the next ones are no longer. */
const MAX_BLOCKS = 1_000n
const CUT = 8n
/** How many blocks a chain's providers answer at once, as far as that was found out. */
const REACHES = new WeakMap<EvmChain, bigint>()
/** More topics in one question than providers take. */
const MAX_SPENDERS = 100

const bytesOf = (address: string): Uint8Array => {
  const bytes = parseEvmAddress(address)
  if (bytes === undefined) throw new Error('assertion: a stored address is one')
  return bytes
}
const bare = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const keyOf = (token: string, owner: string, spender: string): string => `${token} ${owner} ${spender}`

const callOf = ({ wallet, destination, units }: Transfer): Uint8Array => {
  const amount = units.toString(16).padStart(WORD * 2, '0')
  const words = [bytesOf(wallet.address), bytesOf(destination)].map(topicOf)
  return new Uint8Array(Buffer.from(TRANSFER_FROM + words.join('') + amount, 'hex'))
}

const readStanding = async (chain: EvmChain, wallet: Delegated, signal?: AbortSignal): Promise<Standing> => {
  const [token, owner, spender] = [bytesOf(wallet.tokenAddress), bytesOf(wallet.address), bytesOf(wallet.spender)]
  await requireDecimals(chain, wallet, signal)
  const block = await chain.blockNumber(signal)
  const [allowance, balance] = await Promise.all([
    readAllowance(chain, token, owner, spender, block, signal),
    readBalance(chain, token, owner, block, signal),
  ])
  if (allowance === undefined || balance === undefined) {
    throw failure('CHAIN_UNAVAILABLE', { network: wallet.network, why: 'the token does not say what it holds' })
  }
  return { allowance, balance, block }
}

/** Nodes behind one address are a few blocks apart; what is further behind, or does not have so old a block, has lost it. */
const BEHIND_BLOCKS = 64n

/** Whether the chain is still the one that was followed up to here; `later` where a node that is behind cannot tell. */
const standsAt = async (chain: EvmChain, { block, hash }: Cursor, head: bigint, signal?: AbortSignal): Promise<'on' | 'off' | 'later'> => {
  const found = await chain.blockHash(block, signal)
  const apart = head < block ? block - head : head - block
  if (found === '' && apart <= BEHIND_BLOCKS) return 'later'
  return found === hash ? 'on' : 'off'
}

const cursorAt = async (chain: EvmChain, block: bigint, signal?: AbortSignal): Promise<Cursor> => ({
  block,
  hash: await chain.blockHash(block, signal),
})

const readNews = async (chain: EvmChain, watched: readonly Watched[], since: Cursor | undefined, signal?: AbortSignal): Promise<News | undefined> => {
  const head = await chain.blockNumber(signal)
  const spenders = [...new Set(watched.map(({ spender }) => spender))]
  const place = since === undefined || spenders.length > MAX_SPENDERS ? 'off' : await standsAt(chain, since, head, signal)
  if (place === 'later') return undefined
  if (since === undefined || place === 'off') return { cursor: await cursorAt(chain, head, signal), changed: 'all', hasMore: false }
  if (head <= since.block) return undefined
  const from = since.block + 1n
  const reach = REACHES.get(chain) ?? MAX_BLOCKS
  const furthest = head < since.block + reach ? head : since.block + reach
  const tokens = [...new Set(watched.map(({ tokenAddress }) => tokenAddress))].map(bytesOf)
  const ids = new Map<string, string[]>()
  for (const { externalWalletId, tokenAddress, address, spender } of watched) {
    const key = keyOf(...([tokenAddress, address, spender].map((text) => bare(bytesOf(text))) as [string, string, string]))
    ids.set(key, [...(ids.get(key) ?? []), externalWalletId])
  }
  for (let to = furthest; ; to = from + (to - from) / CUT) {
    try {
      const changes = await readApprovals(chain, { tokens, spenders: spenders.map(bytesOf), from, to }, signal)
      // What was refused over something else is tried again.
      if (to === since.block + reach) REACHES.set(chain, reach * 2n < MAX_BLOCKS ? reach * 2n : MAX_BLOCKS)
      const changed = changes.flatMap(({ token, owner, spender }) => ids.get(keyOf(token, owner, spender)) ?? [])
      return { cursor: await cursorAt(chain, to, signal), changed: new Set(changed), hasMore: to < head }
    } catch (error) {
      if (!isFailure(error) || error.reason !== 'CHAIN_UNAVAILABLE') throw error
      REACHES.set(chain, (to - from) / CUT + 1n)
      // Providers that tell no logs at all are asked for every wallet instead.
      if (to === from) return { cursor: await cursorAt(chain, head, signal), changed: 'all', hasMore: false }
    }
  }
}

/** `false`, and nothing else, is a no of a token that does not revert; USDT answers nothing. */
const isRefusal = (answer: Uint8Array): boolean => answer.length === WORD && answer.every((byte) => byte === 0)

const objectionOf = async (chain: EvmChain, transfer: Transfer, { block }: Standing, signal?: AbortSignal): Promise<string | undefined> => {
  const { tokenAddress, spender } = transfer.wallet
  try {
    const call = { from: bytesOf(spender), to: bytesOf(tokenAddress), data: callOf(transfer), gas: GAS }
    return isRefusal(await chain.call(call, block, signal)) ? 'it answers that it does not' : undefined
  } catch (error) {
    if (error instanceof CallReverted) return 'it reverts'
    throw error
  }
}

/** A nonce that is used up has had what effect it could have, whatever used it. */
const readReflected = async (chain: EvmChain, { block }: Standing, sends: readonly SentTransaction[], signal?: AbortSignal) => {
  const senders = [...new Set(sends.map(({ sender }) => sender))]
  const counts = new Map(
    await Promise.all(senders.map(async (sender) => [sender, await chain.transactionCountAt(bytesOf(sender), block, signal)] as const)),
  )
  const isUsed = ({ sender, nonce }: SentTransaction): boolean => nonce !== undefined && nonce < (counts.get(sender) ?? 0n)
  return new Set(sends.filter(isUsed).map(({ sendId }) => sendId))
}

/** By the token's own logs of the transaction that counts: what was sent is not always what arrives. */
const readDelivered = async (chain: EvmChain, { wallet, destination }: Transfer, sent: SentTransaction, signal?: AbortSignal): Promise<bigint | undefined> => {
  const mined = sent.versions.find(({ version }) => version === sent.minedVersion)
  const receipt = mined === undefined ? undefined : await chain.receipt(new Uint8Array(Buffer.from(mined.hash.slice(2), 'hex')), signal)
  if (receipt === undefined) return undefined
  const [token, from, to] = [bare(bytesOf(wallet.tokenAddress)), topicOf(bytesOf(wallet.address)), topicOf(bytesOf(destination))]
  const arrived = receipt.logs.filter(
    ({ address, topics, data }) =>
      address === token && topics.length === 3 && topics[0] === TRANSFER && topics[1] === from && topics[2] === to && data.length === WORD * 2,
  )
  return arrived.reduce((sum, { data }) => sum + BigInt(`0x${data}`), 0n)
}

export const evmSpendingChain = (chain: EvmChain): SpendingChain => ({
  chain: `eip155:${chain.chainId}`,
  standing: (wallet, signal) => readStanding(chain, wallet, signal),
  hasTransaction: async (hash, signal) => (await chain.receipt(new Uint8Array(Buffer.from(hash.slice(2), 'hex')), signal)) !== undefined,
  news: (watched, since, signal) => readNews(chain, watched, since, signal),
  parseDestination: (text) => {
    const address = parseEvmAddress(text)
    if (address === undefined) throw invalidField('destination', 'is not an EVM address, or its checksum is wrong')
    if (address.every((byte) => byte === 0)) throw invalidField('destination', 'is the zero address')
    return formatEvmAddress(address)
  },
  transferOf: (transfer) => ({ kind: 'evm', to: bytesOf(transfer.wallet.tokenAddress), value: 0n, data: callOf(transfer) }),
  objection: (transfer, standing, signal) => objectionOf(chain, transfer, standing, signal),
  reflected: (standing, sends, signal) => readReflected(chain, standing, sends, signal),
  delivered: (transfer, sent, signal) => readDelivered(chain, transfer, sent, signal),
})
