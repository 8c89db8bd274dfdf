/** Handing a private key over to its owner: two parts that each party sealed by itself, and that nobody here can open. */
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { walletIdToBytes } from '../domain/ids.ts'
import { type ExportAsked, requireRecipient, type SealedPart } from '../party/owner-calls.ts'
import { partyIdOf } from '../party/party-id.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { authorize, type AuthorizeNeeds, liveGrantsOf } from '../signing/authorize.ts'
import { fencesOf, freezesOf } from '../signing/caller-stops.ts'
import type { Fences, Passage } from '../signing/fences.ts'
import { resolveWallet } from '../signing/resolve-wallet.ts'
import { assertSigns } from '../signing/sign.ts'
import { appendAudit, type AuditHead } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { noteExport } from '../vault/exports.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { shareEpochOf } from '../vault/wallet-shares.ts'
import { requireWallet, type Wallet } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { viewWallet, walletEvent, type WalletView } from './wallet-view.ts'

export type ExportNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly engine: Pick<SigningEngine, 'owners'>
  readonly fences: Fences
  readonly clock: Clock
  /** Whether this daemon hands its shares over at all. */
  readonly allowExport: boolean
}

export type ExportArgs = Pick<ExportAsked, 'recipient' | 'expireMs' | 'nonce' | 'consent'> & {
  readonly walletRef: string
  readonly walletEpoch: number
}

export type PartyShare = SealedPart & { readonly partyId: Uint8Array }
export type ExportedKey = {
  readonly wallet: WalletView
  readonly daemonShare: PartyShare
  readonly cosignerShare: PartyShare
  readonly receipt: AuditHead & { readonly signature: Uint8Array; readonly keyId: string }
}

const CONSENT_MAX_MS = 300_000
const MAX_EXPORTS_PER_SECOND = 4

/**
 * Both parties' shares, sealed to a key of the owner's. The cosigner judges the consent by itself, first; the audit row
 * is durable before the answer leaves. Refuses: EXPORT_NOT_ENABLED, PERMISSION_MISSING, CALLER_NOT_ALLOWED (an API key,
 * for an end user's wallet, without the cosigner's operator), WALLET_ARCHIVED, WALLET_SUSPENDED, WALLET_NOT_READY,
 * CONSENT_EXPIRED, EXPORT_KEY_INVALID, WALLET_EPOCH_MISMATCH, RATE_LIMITED, FROZEN, DEADLINE_EXCEEDED, and as `OwnerCalls.exportShares`.
 */
export const exportPrivateKey = async (needs: ExportNeeds, call: Call, args: ExportArgs): Promise<ExportedKey> => {
  const { vault, fences, clock } = needs
  const wallet = resolveWallet(vault.read, call.caller, args.walletRef)
  authorize(vault.read, needs, call, 'wallet:admin', wallet.walletId)
  if (!needs.allowExport) throw failure('EXPORT_NOT_ENABLED', {})
  requireOwner(call, wallet, args)
  assertSigns(wallet)
  assertTimely(args.expireMs, clock.nowMs())
  requireRecipient(args)
  const epoch = shareEpochOf(vault.read, walletIdToBytes(wallet.walletId))
  if (epoch !== args.walletEpoch) throw failure('WALLET_EPOCH_MISMATCH', { walletEpoch: epoch })
  needs.rates.take(`export ${wallet.project}`, MAX_EXPORTS_PER_SECOND)
  const behind = fencesOf(call, wallet)
  const passage = fences.enter(behind)
  call.releaseChecks.push(() => {
    passage.check()
    const raised = fences.blocking(behind)
    if (raised !== undefined) throw failure('FROZEN', raised)
  })
  try {
    return await exportInside(needs, call, { wallet, args, passage })
  } finally {
    passage.leave()
  }
}

type Job = { readonly wallet: Wallet; readonly args: ExportArgs; readonly passage: Passage }

const exportInside = async (needs: ExportNeeds, call: Call, { wallet, args, passage }: Job): Promise<ExportedKey> => {
  const { vault, engine } = needs
  const { recipient, expireMs, nonce, consent, walletEpoch } = args
  const walletId = walletIdToBytes(wallet.walletId)
  const { keyType, publicKey } = wallet
  const asked = { walletId, keyType, publicKey, wEpoch: walletEpoch, recipient, expireMs, nonce, consent }
  const parts = await engine.owners.exportShares(asked, call.signal)
  const head = await vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    passage.check()
    if (call.signal.aborted || nowMs >= call.deadlineMs) throw failure('DEADLINE_EXCEEDED', {})
    liveGrantsOf(tx, needs, call.caller, nowMs)
    assertSigns(requireWallet(tx, wallet.walletId, wallet.project))
    requireNotFrozen(tx, freezesOf(call, wallet))
    noteExport(tx, walletId, nowMs)
    recordWebhookEvent(tx, { project: wallet.project, type: 'wallet.exported', data: walletEvent(wallet), nowMs })
    return appendAudit(tx, {
      timeMs: nowMs,
      kind: 'wallet.exported',
      project: wallet.project,
      actor: actorOf(call.caller),
      subject: { type: 'wallet', id: wallet.walletId },
      method: 'ExportPrivateKey',
      requestId: call.requestId,
      decision: 'allow',
      details: { shareEpoch: walletEpoch, consent: consent.kind, key: Buffer.from(recipient.key).toString('base64') },
    })
  })
  const { signer } = vault
  return {
    wallet: viewWallet(requireWallet(vault.read, wallet.walletId), vault.read),
    daemonShare: { ...parts.daemon, partyId: partyIdOf(signer.publicKey) },
    cosignerShare: { ...parts.cosigner, partyId: await engine.owners.cosignerId() },
    receipt: { ...head, signature: signer.signReceipt(head), keyId: signer.keyId },
  }
}

/** An end user's key is not their project's to take, unless the cosigner's operator says so. */
const requireOwner = ({ caller, method }: Call, { ownerType }: Wallet, { consent }: ExportArgs): void => {
  if (caller.kind === 'end_user' || ownerType === 'project' || consent.kind === 'operator') return
  throw failure('CALLER_NOT_ALLOWED', { method })
}

const assertTimely = (expireMs: number, nowMs: number): void => {
  if (expireMs <= nowMs) throw failure('CONSENT_EXPIRED', { why: 'its time is over' })
  if (expireMs > nowMs + CONSENT_MAX_MS) throw failure('CONSENT_EXPIRED', { why: 'it is good for more than five minutes' })
}
