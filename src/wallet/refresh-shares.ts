/** Refreshing a wallet's shares: both parties change theirs, the key and the address stay. */
import { actorOf, type Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { authorize, type AuthorizeNeeds, liveGrantsOf } from '../signing/authorize.ts'
import { fencesOf, freezesOf } from '../signing/caller-stops.ts'
import { resolveWallet } from '../signing/resolve-wallet.ts'
import { assertSigns } from '../signing/sign.ts'
import { appendAudit, type AuditHead, type AuditRow, findAuditOfRequest } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import type { Tx } from '../vault/store.ts'
import { requireWallet, type Wallet } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { type ChangeNeeds, changeShares } from './change-shares.ts'
import { viewWallet, walletEvent, type WalletView } from './wallet-view.ts'

export type RefreshNeeds = AuthorizeNeeds & ChangeNeeds & {
  readonly vault: DaemonVault
  /** How many are under way, by project. */
  readonly refreshing: Map<ProjectId, number>
}

export type Refreshed = {
  readonly wallet: WalletView
  /** How often its shares were changed since it was made. */
  readonly refreshCount: number
  readonly refreshTimeMs: number
  readonly receipt: AuditHead & { readonly signature: Uint8Array; readonly keyId: string }
}

const KIND = 'wallet.refreshed'
/** Each makes both parties compute, write and empty their write-ahead logs. */
const MAX_REFRESHES_PER_SECOND = 8
const MAX_REFRESHES_AT_ONCE = 32

/**
 * Changes both shares of a wallet; what either party's older share is worth afterwards is nothing. Signatures under way
 * end first, and those that come meanwhile wait. Refuses, and has changed nothing: PERMISSION_MISSING, RATE_LIMITED,
 * API_KEY_INVALID, WALLET_ARCHIVED, WALLET_SUSPENDED, WALLET_NOT_READY, FROZEN, DEADLINE_EXCEEDED, and as `runRefresh` does.
 */
export const refreshShares = async (
  needs: RefreshNeeds,
  call: Call,
  args: { readonly walletRef: string },
): Promise<Refreshed> => {
  const { vault, fences } = needs
  const wallet = resolveWallet(vault.read, call.caller, args.walletRef)
  authorize(vault.read, needs, call, 'wallet:admin', wallet.walletId)
  const before = call.isRepeat ? madeBefore(needs, call, wallet) : undefined
  if (before !== undefined) return answerOf(needs, wallet, before)
  assertSigns(wallet)
  fences.enter(fencesOf(call, wallet)).leave()
  needs.rates.take(`refresh ${wallet.project}`, MAX_REFRESHES_PER_SECOND)
  let row: Recorded | undefined
  await takingPlace(needs.refreshing, wallet.project, () =>
    changeShares(needs, call, wallet, (tx, shareEpoch) => {
      row = recordRefresh(needs, call, tx, { wallet, shareEpoch })
    }),
  )
  if (row === undefined) throw new Error('shares changed without an audit row')
  return answerOf(needs, wallet, row)
}

/** A refresh may wait half a minute for its link: one project does not take the places of all others for that long. */
const takingPlace = async (
  refreshing: RefreshNeeds['refreshing'],
  project: ProjectId,
  work: () => Promise<void>,
): Promise<void> => {
  const others = refreshing.get(project) ?? 0
  if (others >= MAX_REFRESHES_AT_ONCE) throw failure('RATE_LIMITED', { limit: 'refreshes at once', retryAfterMs: 1_000 })
  refreshing.set(project, others + 1)
  try {
    await work()
  } finally {
    const left = (refreshing.get(project) ?? 1) - 1
    if (left > 0) refreshing.set(project, left)
    else refreshing.delete(project)
  }
}

type Recorded = AuditHead & { readonly shareEpoch: number; readonly timeMs: number }

/** In the transaction that decides: what is true there counts. */
const recordRefresh = (
  { clock, grants }: RefreshNeeds,
  call: Call,
  tx: Tx,
  { wallet, shareEpoch }: { readonly wallet: Wallet; readonly shareEpoch: number },
): Recorded => {
  const { walletId, project } = wallet
  // Its key may have been revoked while the refresh waited for its link, and the fence of that is down again.
  liveGrantsOf(tx, { grants }, call.caller, clock.nowMs())
  assertSigns(requireWallet(tx, walletId, project))
  requireNotFrozen(tx, freezesOf(call, wallet))
  const timeMs = Math.trunc(clock.nowMs())
  const head = appendAudit(tx, {
    timeMs,
    kind: KIND,
    project,
    actor: actorOf(call.caller),
    subject: { type: 'wallet', id: walletId },
    method: 'RefreshShares',
    requestId: call.requestId,
    decision: 'allow',
    details: { shareEpoch },
  })
  const data = { ...walletEvent(wallet), refresh_count: shareEpoch }
  recordWebhookEvent(tx, { project, type: KIND, data, nowMs: timeMs })
  return { ...head, shareEpoch, timeMs }
}

/** The change that an interrupted run of the same request made, when it came that far. */
const madeBefore = ({ vault }: RefreshNeeds, call: Call, { walletId }: Wallet): Recorded | undefined => {
  const { requestId, caller } = call
  if (requestId === undefined) return undefined
  const row = findAuditOfRequest(vault.read, { subjectId: walletId, kind: KIND, actorId: caller.principal, requestId })
  return row === undefined ? undefined : { ...row, shareEpoch: shareEpochIn(row) }
}

const shareEpochIn = ({ details }: AuditRow): number => Number((details as { readonly shareEpoch?: number }).shareEpoch)

const answerOf = ({ vault }: RefreshNeeds, wallet: Wallet, row: Recorded): Refreshed => {
  const { signer, read } = vault
  const { sequence, hash, shareEpoch, timeMs } = row
  return {
    wallet: viewWallet(requireWallet(read, wallet.walletId), read),
    refreshCount: shareEpoch,
    refreshTimeMs: timeMs,
    receipt: { sequence, hash, signature: signer.signReceipt({ sequence, hash }), keyId: signer.keyId },
  }
}
