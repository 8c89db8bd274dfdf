/** ERC-20 approvals as the chain has them: the log, the transaction around it, and what is left of it now. */
import { CallReverted } from './call-reverted.ts'
import type { EvmChain, Receipt } from './evm-chain.ts'

export type ApprovalQuestion = {
  /** 20 bytes each. */
  readonly token: Uint8Array
  readonly owner: Uint8Array
  readonly spender: Uint8Array
  /** 32 bytes. */
  readonly txHash: Uint8Array
  /** Blocks, the transaction's own included. */
  readonly confirmations: bigint
}

/** `amount`: what the log says. All amounts are in base units. */
export type ApprovalFound =
  | { readonly found: 'nothing' }
  | { readonly found: 'young'; readonly confirmations: bigint }
  | { readonly found: 'reverted' }
  | { readonly found: 'no_approval' }
  | {
      readonly found: 'approval'
      readonly amount: bigint
      /** `allowance(owner, spender)` and `balanceOf(owner)` at `headBlock`. */
      readonly allowance: bigint
      readonly balance: bigint
      readonly block: bigint
      readonly headBlock: bigint
      readonly logIndex: bigint
    }

/** keccak256('Transfer(address,address,uint256)') */
export const TRANSFER = 'ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'
/** keccak256('Approval(address,address,uint256)') */
export const APPROVAL = '8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925'
const GAS = 1_000_000n
const WORD = 32

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const topicOf = (address: Uint8Array): string => hexOf(address).padStart(WORD * 2, '0')
export const addressOfTopic = (topic: string): string => topic.slice(-40)

/** The last one counts: `approve` overwrites. */
const findApproval = ({ logs }: Receipt, { token, owner, spender }: ApprovalQuestion) =>
  logs.findLast(
    ({ address, topics, data }) =>
      address === hexOf(token) &&
      topics.length === 3 &&
      topics[0] === APPROVAL &&
      topics[1] === topicOf(owner) &&
      topics[2] === topicOf(spender) &&
      data.length === WORD * 2,
  )

const callData = (selector: string, ...addresses: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(Buffer.from(selector + addresses.map(topicOf).join(''), 'hex'))

/** Undefined where the token has no such number. */
export const readTokenNumber = async (
  chain: EvmChain,
  token: Uint8Array,
  data: Uint8Array,
  block: bigint,
  signal?: AbortSignal,
): Promise<bigint | undefined> => {
  try {
    const said = await chain.call({ to: token, data, gas: GAS }, block, signal)
    return said.length === WORD ? BigInt(`0x${hexOf(said)}`) : undefined
  } catch (error) {
    if (error instanceof CallReverted) return undefined
    throw error
  }
}

export const readAllowance = (chain: EvmChain, token: Uint8Array, owner: Uint8Array, spender: Uint8Array, block: bigint, signal?: AbortSignal) =>
  readTokenNumber(chain, token, callData('dd62ed3e', owner, spender), block, signal)

export const readBalance = (chain: EvmChain, token: Uint8Array, owner: Uint8Array, block: bigint, signal?: AbortSignal) =>
  readTokenNumber(chain, token, callData('70a08231', owner), block, signal)

/**
 * What a transaction approved. It counts when its block is still the chain's, deep enough, and it succeeded; what it was
 * sent to does not matter, the log says whose approval it is (contract accounts and batches send elsewhere). Allowance and
 * balance are of the newest block, because an approval may be spent or taken back since. Throws CHAIN_UNAVAILABLE,
 * CHAIN_DISAGREEMENT.
 */
export const readApproval = async (chain: EvmChain, question: ApprovalQuestion, signal?: AbortSignal): Promise<ApprovalFound> => {
  const receipt = await chain.receipt(question.txHash, signal)
  if (receipt === undefined) return { found: 'nothing' }
  const headBlock = await chain.blockNumber(signal)
  const confirmations = headBlock < receipt.block ? 0n : headBlock - receipt.block + 1n
  const isCanonical = (await chain.blockHash(receipt.block, signal)) === receipt.blockHash
  if (!isCanonical || confirmations < question.confirmations) return { found: 'young', confirmations: isCanonical ? confirmations : 0n }
  if (!receipt.succeeded) return { found: 'reverted' }
  const log = findApproval(receipt, question)
  if (log === undefined) return { found: 'no_approval' }
  const { token, owner, spender } = question
  const allowance = await readAllowance(chain, token, owner, spender, headBlock, signal)
  const balance = await readBalance(chain, token, owner, headBlock, signal)
  if (allowance === undefined || balance === undefined) return { found: 'no_approval' }
  return { found: 'approval', amount: BigInt(`0x${log.data}`), allowance, balance, block: receipt.block, headBlock, logIndex: log.index }
}
