/** What a Solana chain says of a token account that somebody lets a spender spend from. */
import type { SolanaAccount } from '../chain/solana-answers.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import { failure } from '../domain/failure.ts'
import { findAssociatedTokenAccount } from '../payload/associated-token.ts'
import { equalBytes } from '../payload/bytes.ts'
import { decodeMint, decodeTokenAccount } from '../payload/solana-accounts.ts'
import { TOKEN_2022_PROGRAM, TOKEN_PROGRAM } from '../payload/solana-programs.ts'
import { decodeBase58 } from '../domain/base58.ts'

export type SolanaTokenQuestion = {
  readonly network: string
  readonly currency: string
  readonly decimals: number
  /** 32 bytes each. */
  readonly mint: Uint8Array
  readonly owner: Uint8Array
  readonly spender: Uint8Array
}

export type SolanaStanding = {
  /** What the spender may still take, and what is there to take; a frozen account gives nothing. */
  readonly allowance: bigint
  readonly balance: bigint
  readonly slot: bigint
  /** 32 bytes each: the token program that keeps the mint, and the owner's associated account under it. */
  readonly tokenProgram: Uint8Array
  readonly account: Uint8Array
}

/** In the order in which places under them are listed. */
export const TOKEN_PROGRAMS = [TOKEN_PROGRAM, TOKEN_2022_PROGRAM].map((address) => decodeBase58(address) as Uint8Array)

/** Which of the two programs keeps the mint. Refuses with TOKEN_UNSUPPORTED what cannot be moved as it says. */
export const requireTokenProgram = (account: SolanaAccount | undefined, { network, currency, decimals }: Pick<SolanaTokenQuestion, 'network' | 'currency' | 'decimals'>): number => {
  const refuse = (why: string) => failure('TOKEN_UNSUPPORTED', { network, currency, why })
  const program = [TOKEN_PROGRAM, TOKEN_2022_PROGRAM].findIndex((address) => address === account?.owner)
  const mint = account === undefined || program < 0 ? undefined : decodeMint(account.data)
  if (mint === undefined) throw refuse('there is no such mint on the chain')
  if (mint.decimals !== decimals) throw refuse(`the mint has ${mint.decimals} decimals, the configuration says ${decimals}`)
  if (mint.oddity !== undefined) throw refuse(mint.oddity)
  return program
}

/**
 * What a spender may take of an owner's tokens now. Only the owner's associated token account counts: of it there is one,
 * whoever looks. It must still be the owner's, because accounts can be handed over. Refuses with TOKEN_UNSUPPORTED,
 * CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT.
 */
export const readSolanaStanding = async (chain: SolanaChain, question: SolanaTokenQuestion, signal?: AbortSignal): Promise<SolanaStanding> => {
  const { mint, owner, spender } = question
  const places = TOKEN_PROGRAMS.map((tokenProgram) => findAssociatedTokenAccount(owner, { mint, tokenProgram }))
  const { slot, value } = await chain.accounts([mint, ...places], signal)
  const [mintAccount, ...found] = value
  const program = requireTokenProgram(mintAccount, question)
  const tokenProgram = TOKEN_PROGRAMS[program] as Uint8Array
  const place = { tokenProgram, account: places[program] as Uint8Array, slot: BigInt(slot) }
  const held = found[program]
  const account = held === undefined || !equalBytes(decodeBase58(held.owner) as Uint8Array, tokenProgram) ? undefined : decodeTokenAccount(held.data)
  const isOwn = account !== undefined && equalBytes(account.owner, owner) && equalBytes(account.mint, mint)
  if (!isOwn) return { ...place, allowance: 0n, balance: 0n }
  const isDelegate = account.delegate !== undefined && equalBytes(account.delegate, spender)
  return { ...place, allowance: isDelegate ? account.delegatedAmount : 0n, balance: account.isFrozen ? 0n : account.amount }
}
