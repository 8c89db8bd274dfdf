/** The few instructions that the daemon makes itself. `solana-instructions.ts` reads them all. */
import { decodeBase58 } from '../domain/base58.ts'
import { findAssociatedTokenAccount } from './associated-token.ts'
import type { NewSolanaInstruction } from './solana-compile.ts'
import { ASSOCIATED_TOKEN_PROGRAM, COMPUTE_BUDGET_PROGRAM, SYSTEM_PROGRAM } from './solana-programs.ts'

const keyOf = (address: string): Uint8Array => {
  const key = decodeBase58(address)
  if (key?.length !== 32) throw new Error('assertion: an address has 32 bytes')
  return key
}

const u64 = (value: bigint): Uint8Array => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return bytes
}

const u32 = (value: number): Uint8Array => u64(BigInt(value)).subarray(0, 4)

/** The most compute units that the transaction may use. */
export const setComputeUnitLimit = (units: number): NewSolanaInstruction => ({
  program: keyOf(COMPUTE_BUDGET_PROGRAM), accounts: [], data: Uint8Array.of(2, ...u32(units)),
})

/** What each compute unit that is asked for costs, in micro-lamports. */
export const setComputeUnitPrice = (microLamports: bigint): NewSolanaInstruction => ({
  program: keyOf(COMPUTE_BUDGET_PROGRAM), accounts: [], data: Uint8Array.of(3, ...u64(microLamports)),
})

/** The most bytes of accounts that the transaction may load. */
export const setLoadedAccountsLimit = (bytes: number): NewSolanaInstruction => ({
  program: keyOf(COMPUTE_BUDGET_PROGRAM), accounts: [], data: Uint8Array.of(4, ...u32(bytes)),
})

export type TokenTransfer = {
  /** 32 bytes each: of the token program, the mint, the two token accounts, and who may move what is in the first. */
  readonly tokenProgram: Uint8Array
  readonly mint: Uint8Array
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly authority: Uint8Array
  readonly amount: bigint
  readonly decimals: number
}

/** `TransferChecked`: names the mint and its decimals, so that nothing else can be moved by mistake. */
export const transferChecked = ({ tokenProgram, mint, source, destination, authority, amount, decimals }: TokenTransfer): NewSolanaInstruction => ({
  program: tokenProgram,
  accounts: [
    { key: source, isWritten: true },
    { key: mint },
    { key: destination, isWritten: true },
    { key: authority, signs: true },
  ],
  data: Uint8Array.of(12, ...u64(amount), decimals),
})

/** Opens an owner's associated token account at the payer's cost; of one that is open it does nothing. */
export const createAssociatedTokenAccount = (
  payer: Uint8Array,
  owner: Uint8Array,
  { mint, tokenProgram }: { readonly mint: Uint8Array; readonly tokenProgram: Uint8Array },
): NewSolanaInstruction => ({
  program: keyOf(ASSOCIATED_TOKEN_PROGRAM),
  accounts: [
    { key: payer, signs: true, isWritten: true },
    { key: findAssociatedTokenAccount(owner, { mint, tokenProgram }), isWritten: true },
    { key: owner },
    { key: mint },
    { key: keyOf(SYSTEM_PROGRAM) },
    { key: tokenProgram },
  ],
  data: Uint8Array.of(1),
})
