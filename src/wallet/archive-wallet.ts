import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { walletIdToBytes } from '../domain/ids.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { authorize, type AuthorizeNeeds, liveGrantsOf } from '../signing/authorize.ts'
import { requireConsent } from '../signing/consent.ts'
import type { Fences } from '../signing/fences.ts'
import { resolveWallet } from '../signing/resolve-wallet.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { setShareState } from '../vault/wallet-shares.ts'
import { requireWallet, setWalletState } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { viewWallet, walletEvent, type WalletView } from './wallet-view.ts'

export type ArchiveNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly engine: Pick<SigningEngine, 'stopWallet' | 'dropPresignatures'>
  readonly fences: Fences
  readonly clock: Clock
}

/**
 * Archives a wallet for good: fenced first, so that nothing in flight is released, then durable on both sides, then
 * answered. Archiving an archived wallet answers it again. Refuses as `requireConsent` does.
 */
export const archiveWallet = async (
  needs: ArchiveNeeds,
  call: Call,
  args: { readonly walletRef: string },
): Promise<WalletView> => {
  const { vault, fences, engine, clock } = needs
  const wallet = resolveWallet(vault.read, call.caller, args.walletRef)
  const { walletId } = wallet
  authorize(vault.read, needs, call, 'wallet:admin', walletId)
  if (wallet.state === 'ARCHIVED') return viewWallet(wallet, vault.read)
  // What an end user owns is not their project's to put out of use for good.
  requireConsent(vault.read, call.caller, wallet, clock.nowMs())
  return fences.during({ scope: 'wallet', id: walletId }, async () => {
    const bytes = walletIdToBytes(walletId)
    await engine.stopWallet(bytes)
    const archived = await vault.commit((tx) => {
      const timeMs = Math.trunc(clock.nowMs())
      liveGrantsOf(tx, needs, call.caller, timeMs)
      requireConsent(tx, call.caller, wallet, timeMs)
      setShareState(tx, bytes, 'REVOKED', timeMs)
      appendAudit(tx, {
        timeMs,
        kind: 'wallet.archived',
        project: wallet.project,
        actor: actorOf(call.caller),
        subject: { type: 'wallet', id: walletId },
        method: 'ArchiveWallet',
        requestId: call.requestId,
        decision: 'allow',
      })
      // Two calls may have got this far: it is told once.
      if (requireWallet(tx, walletId).state !== 'ARCHIVED') {
        const data = walletEvent(wallet)
        recordWebhookEvent(tx, { project: wallet.project, type: 'wallet.archived', data, nowMs: timeMs })
      }
      return setWalletState(tx, walletId, 'ARCHIVED')
    })
    return viewWallet(archived, vault.read)
  })
}
