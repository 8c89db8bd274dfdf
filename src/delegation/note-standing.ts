/** What a chain says of an external wallet, kept: what is news becomes an audit row and is told. */
import { formatDecimalAmount } from '../payload/decimal-amount.ts'
import type { ExternalWalletEventData } from '../domain/webhook-events.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { type ExternalWallet, getExternalWallet, setExternalWalletState } from '../vault/external-wallets.ts'
import { findSeen, saveSeen, type SeenStanding } from '../vault/followed.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'

export type Noted = {
  readonly standing: SeenStanding
  /** Blocks that were seen before count for nothing any more: the chain has taken them back. */
  readonly isReorganised?: boolean
  /** Why nothing is approved, where it is known. */
  readonly why?: string | undefined
  readonly nowMs: number
}

type News = 'external_wallet.revoked' | 'external_wallet.approved_again' | 'external_wallet.limit_changed'

const eventOf = (wallet: ExternalWallet, { allowance, balance, block }: SeenStanding): ExternalWalletEventData => ({
  external_wallet_id: wallet.externalWalletId,
  user_id: wallet.userId,
  network: wallet.network,
  currency: wallet.currency,
  address: wallet.address,
  spender_address: wallet.spender,
  allowance: formatDecimalAmount(allowance, wallet.decimals),
  balance: formatDecimalAmount(balance, wallet.decimals),
  block_number: String(block),
})

const newsOf = (wallet: ExternalWallet, seen: SeenStanding | undefined, { allowance }: SeenStanding): News | undefined => {
  const state = allowance === 0n ? 'REVOKED' : 'ACTIVE'
  if (state !== wallet.state) return state === 'REVOKED' ? 'external_wallet.revoked' : 'external_wallet.approved_again'
  return seen !== undefined && seen.allowance !== allowance ? 'external_wallet.limit_changed' : undefined
}

const isOld = (seen: SeenStanding | undefined, { standing, isReorganised }: Noted): boolean =>
  seen !== undefined && standing.block < seen.block && isReorganised !== true

/** Whether there is anything to write down: most readings say what the one before said. */
export const isNews = (reader: Reader, wallet: ExternalWallet, noted: Noted): boolean => {
  const seen = findSeen(reader, wallet.externalWalletId)
  return !isOld(seen, noted) && (seen === undefined || newsOf(wallet, seen, noted.standing) !== undefined)
}

/** `wallet`: as it is in this transaction. An older reading than the one before says nothing. */
const noteStanding = (tx: Tx, wallet: ExternalWallet, noted: Noted): void => {
  const { externalWalletId, project } = wallet
  const { standing, nowMs, why } = noted
  const seen = findSeen(tx, externalWalletId)
  if (isOld(seen, noted)) return
  saveSeen(tx, externalWalletId, standing)
  const kind = newsOf(wallet, seen, standing)
  if (kind === undefined) return
  if (kind !== 'external_wallet.limit_changed') {
    const state = kind === 'external_wallet.revoked' ? 'REVOKED' : 'ACTIVE'
    if (!setExternalWalletState(tx, externalWalletId, state, nowMs)) return
  }
  const data = eventOf(wallet, standing)
  appendAudit(tx, {
    timeMs: nowMs,
    kind,
    project,
    actor: { kind: 'daemon', id: '' },
    subject: { type: 'external_wallet', id: externalWalletId },
    details: {
      userId: wallet.userId, network: wallet.network, currency: wallet.currency, allowance: data.allowance, block: data.block_number,
      ...(seen === undefined ? {} : { before: formatDecimalAmount(seen.allowance, wallet.decimals) }),
      ...(why === undefined ? {} : { why }),
    },
  })
  recordWebhookEvent(tx, { project, type: kind, data, nowMs })
}

/** As `noteStanding`, of the wallet as it is now; none where it was replaced since. */
export const noteCurrent = (tx: Tx, externalWalletId: string, noted: Noted): void => {
  const current = getExternalWallet(tx, externalWalletId)
  if (current !== undefined && current.state !== 'REPLACED') noteStanding(tx, current, noted)
}
