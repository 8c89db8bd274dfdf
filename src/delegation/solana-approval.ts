/** SPL approvals in transactions: `Approve` and `ApproveChecked` of both token programs, called by anybody. */
import type { SolanaChain } from '../chain/solana-chain.ts'
import type { SolanaTransactionAnswer } from '../chain/solana-answers.ts'
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import { failure, isFailure } from '../domain/failure.ts'
import { equalBytes } from '../payload/bytes.ts'
import { isEd25519Signature } from '../payload/ed25519-signature.ts'
import { countLookedUp, decodeSolanaMessage, type SolanaMessage } from '../payload/solana-message.ts'

export type SolanaApprovalQuestion = {
  /** 64 bytes. */
  readonly signature: Uint8Array
  /** 32 bytes each: the token account, its owner, who may spend, the mint, and the token program that keeps it. */
  readonly account: Uint8Array
  readonly owner: Uint8Array
  readonly spender: Uint8Array
  readonly mint: Uint8Array
  readonly tokenProgram: Uint8Array
}

export type SolanaApprovalFound =
  | { readonly found: 'nothing' | 'reverted' | 'no_approval' }
  | { readonly found: 'young'; readonly state: string }
  | { readonly found: 'approval'; readonly amount: bigint; readonly slot: bigint }

/** As it was run: the program, its accounts in base58, and the data. */
type RunInstruction = { readonly program: string; readonly accounts: readonly string[]; readonly data: Uint8Array }

const APPROVE = 4
const REVOKE = 5
const APPROVE_CHECKED = 13
/** What an approval takes, or more; what is longer is none of these. */
const MAX_DATA_CHARACTERS = 64

/**
 * The message of a transaction, if it is the one that the signature names: its first signature is that, and the fee payer's.
 * What a node makes up does not have it.
 */
const readMessage = (wire: Uint8Array, signature: Uint8Array): SolanaMessage | undefined => {
  const count = wire[0] ?? 0
  const bytes = wire.subarray(1 + 64 * count)
  if (count === 0 || count > 12 || !equalBytes(wire.subarray(1, 65), signature)) return undefined
  try {
    const message = decodeSolanaMessage(bytes)
    const [payer] = message.staticKeys
    return payer !== undefined && isEd25519Signature(signature, bytes, payer) ? message : undefined
  } catch (error) {
    if (isFailure(error)) return undefined
    throw error
  }
}

/** All that was run, in the order in which it began, calls of programs by programs included. */
const listRun = (message: SolanaMessage, { loaded, inner }: SolanaTransactionAnswer): readonly RunInstruction[] => {
  const keys = [...message.staticKeys.map(encodeBase58), ...loaded]
  const at = (index: number): string => keys[index] ?? ''
  const calls = new Map(inner)
  return message.instructions.flatMap(({ programIndex, accountIndexes, data }, index) => [
    { program: at(programIndex), accounts: Array.from(accountIndexes, at), data },
    ...(calls.get(index) ?? []).map(([program, accounts, text]) => ({
      program: at(program),
      accounts: accounts.map(at),
      data: (text.length > MAX_DATA_CHARACTERS ? undefined : decodeBase58(text)) ?? new Uint8Array(),
    })),
  ])
}

type Approval = { readonly amount: bigint; readonly isOurs: boolean }

const u64At = (data: Uint8Array, at: number): bigint => new DataView(data.buffer, data.byteOffset, data.byteLength).getBigUint64(at, true)

/** What an instruction makes of the account's delegate; undefined where it leaves it. */
const readApproval = ({ program, accounts, data }: RunInstruction, asked: SolanaApprovalQuestion): Approval | undefined => {
  const [tokenProgram, account, owner, spender, mint] = [asked.tokenProgram, asked.account, asked.owner, asked.spender, asked.mint].map(encodeBase58)
  if (program !== tokenProgram || accounts[0] !== account) return undefined
  const nothing = { amount: 0n, isOurs: false }
  if (data[0] === REVOKE && data.length === 1) return nothing
  if (data[0] === APPROVE && data.length === 9)
    return accounts[1] === spender && accounts[2] === owner ? { amount: u64At(data, 1), isOurs: true } : nothing
  if (data[0] === APPROVE_CHECKED && data.length === 10) {
    const isOurs = accounts[1] === mint && accounts[2] === spender && accounts[3] === owner
    return isOurs ? { amount: u64At(data, 1), isOurs } : nothing
  }
  return undefined
}

/**
 * What a transaction approved: its last word on the account, which may stand behind a call of another program, because the
 * token program asks for the owner's signature there too. Throws CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT.
 */
export const readSolanaApproval = async (chain: SolanaChain, asked: SolanaApprovalQuestion, signal?: AbortSignal): Promise<SolanaApprovalFound> => {
  const transaction = await chain.transaction(asked.signature, signal)
  if (transaction === undefined) {
    const status = await chain.status(asked.signature, signal)
    return status.state === 'unknown' ? { found: 'nothing' } : { found: 'young', state: status.state }
  }
  if (transaction === 'unreadable') return { found: 'no_approval' }
  if (!transaction.succeeded) return { found: 'reverted' }
  const message = readMessage(transaction.wire, asked.signature)
  // A node that answers with another transaction is not one to believe anything.
  if (message === undefined || countLookedUp(message).all !== transaction.loaded.length)
    throw failure('CHAIN_UNAVAILABLE', { network: chain.network, why: 'a provider answers with another transaction' })
  const last = listRun(message, transaction).map((one) => readApproval(one, asked)).findLast((one) => one !== undefined)
  return last?.isOurs === true ? { found: 'approval', amount: last.amount, slot: BigInt(transaction.slot) } : { found: 'no_approval' }
}
