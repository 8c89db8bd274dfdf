/** Solana messages for the daemon's wallets. */
import type { Address, Blockhash } from '@solana/kit'
import { getTransferSolInstruction } from '@solana-program/system'
import { addressOf, buildMessage, signerOf } from '../payload/solana-cases.ts'

export const RECIPIENT = addressOf(5)

export type TransferOptions = {
  readonly to?: Address
  readonly version?: 'legacy' | 0
  readonly blockhash?: Blockhash
}

/** A message that moves lamports from a wallet, which pays the fee too. */
export const transferOf = (
  wallet: { readonly address: string },
  lamports: bigint,
  { to = RECIPIENT, ...rest }: TransferOptions = {},
): Uint8Array => {
  const payer = wallet.address as Address
  const transfer = getTransferSolInstruction({ source: signerOf(payer), destination: to, amount: lamports })
  return buildMessage({ payer, instructions: [transfer], ...rest })
}
