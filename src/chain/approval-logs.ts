/** ERC-20 approvals of a range of blocks. */
import type { EvmChain } from './evm-chain.ts'
import { APPROVAL, addressOfTopic, topicOf } from './token-approval.ts'

export type ApprovalsQuestion = {
  /** 20 bytes each. */
  readonly tokens: readonly Uint8Array[]
  readonly spenders: readonly Uint8Array[]
  /** Both included. */
  readonly from: bigint
  readonly to: bigint
}

/** Whose approval, of which token, for whom, was changed: lower-case hexadecimal without 0x. */
export type ApprovalChange = { readonly token: string; readonly owner: string; readonly spender: string }

/** Throws CHAIN_UNAVAILABLE, for more than 2000 of them too, and CHAIN_DISAGREEMENT. */
export const readApprovals = async (chain: EvmChain, { tokens, spenders, from, to }: ApprovalsQuestion, signal?: AbortSignal): Promise<readonly ApprovalChange[]> => {
  const topics = [[APPROVAL], undefined, spenders.map(topicOf)]
  const logs = await chain.logs({ addresses: tokens, topics, from, to }, signal)
  return logs.flatMap(({ address, topics: [event, owner, spender] }) =>
    event === APPROVAL && owner !== undefined && spender !== undefined
      ? [{ token: address, owner: addressOfTopic(owner), spender: addressOfTopic(spender) }]
      : [],
  )
}
