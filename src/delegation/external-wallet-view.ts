import { formatDecimalAmount } from '../payload/decimal-amount.ts'
import type { ExternalWallet } from '../vault/external-wallets.ts'

export type ExternalWalletView = {
  readonly externalWalletId: string
  readonly userId: string
  readonly network: string
  readonly currency: string
  readonly address: string
  readonly spenderAddress: string
  readonly tokenAddress: string
  readonly state: 'active' | 'revoked'
  readonly priority: number
  /** Decimal texts. */
  readonly limit: string
  /** As the chain says at `block`; undefined while it cannot be read. */
  readonly standing: { readonly allowance: string; readonly balance: string; readonly block: bigint } | undefined
  readonly createTimeMs: number
}

export type Standing = { readonly allowance: bigint; readonly balance: bigint; readonly block: bigint }

export const viewExternalWallet = (wallet: ExternalWallet, standing: Standing | undefined): ExternalWalletView => {
  const text = (units: bigint): string => formatDecimalAmount(units, wallet.decimals)
  return {
    externalWalletId: wallet.externalWalletId,
    userId: wallet.userId,
    network: wallet.network,
    currency: wallet.currency,
    address: wallet.address,
    spenderAddress: wallet.spender,
    tokenAddress: wallet.tokenAddress,
    state: wallet.state === 'ACTIVE' ? 'active' : 'revoked',
    priority: wallet.priority,
    limit: text(wallet.limitUnits),
    standing: standing && { allowance: text(standing.allowance), balance: text(standing.balance), block: standing.block },
    createTimeMs: wallet.createMs,
  }
}

