import type { Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { walletIdToBytes } from '../domain/ids.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { authorize, type AuthorizeNeeds } from '../signing/authorize.ts'
import { requireConsent } from '../signing/consent.ts'
import { fencesOf } from '../signing/caller-stops.ts'
import type { Fences } from '../signing/fences.ts'
import { resolveWallet } from '../signing/resolve-wallet.ts'
import { assertSigns } from '../signing/sign.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'

export type WarmNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly engine: Pick<SigningEngine, 'warmPool'>
  readonly fences: Fences
  readonly clock: Clock
}

export type WarmPool = { readonly depth: number; readonly capacity: number; readonly fillRate: number }

/**
 * Fills a wallet's pool to `depth` (0: as deep as the settings say) and keeps it there. Answers when it is, or when half
 * of the call's time is over, with what is ready then. Refuses as signing with the wallet does before a presignature
 * is taken.
 */
export const warmPresignatures = async (
  needs: WarmNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly depth: number },
): Promise<WarmPool> => {
  const { vault, fences, engine, clock } = needs
  const wallet = resolveWallet(vault.read, call.caller, args.walletRef)
  authorize(vault.read, needs, call, 'wallet:sign', wallet.walletId)
  assertSigns(wallet)
  const grant = requireConsent(vault.read, call.caller, wallet, clock.nowMs())
  const passage = fences.enter(fencesOf(call, wallet, grant))
  // Nothing is released here that a freeze would have to wait for: it empties the pool that this fills.
  passage.leave()
  const patienceMs = Math.max(0, (call.deadlineMs - clock.nowMs()) / 2)
  const signal = AbortSignal.any([call.signal, AbortSignal.timeout(Math.ceil(patienceMs))])
  const pool = await engine.warmPool({ walletId: walletIdToBytes(wallet.walletId), keyType: wallet.keyType }, args.depth, signal)
  passage.check()
  return pool
}
