/**
 * One stream of a delegate: who it is, then frames to party S and back. What leaves is asked for once more in the turn in
 * which it leaves: nothing does once the access has ended.
 */
import { randomBytes } from 'node:crypto'
import { actorOf, type DelegateCaller } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { type Failure, failure, isFailure } from '../domain/failure.ts'
import { accessIdToBytes } from '../domain/ids.ts'
import {
  COSIGN_NONCE_BYTES,
  type CosignParties,
  cosignStatement,
  isCosignProven,
} from '../party/delegate-proof.ts'
import { answerBytesOf, isSignFrame } from '../party/delegate-gate.ts'
import type { DelegatedWallet, DelegateParties, FrameAnswer, SignedReceipt } from '../party/delegate-parties.ts'
import { partyIdOf } from '../party/party-id.ts'
import { fencesOfAccess, isStopped, requireStanding } from '../signing/delegated-standing.ts'
import { failureOfFence, type FenceKey, type Fences, type Passage } from '../signing/fences.ts'
import type { RateLimiter } from '../signing/rate-limiter.ts'
import { assertSigns } from '../signing/sign.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { type DelegatedAccess, getDelegatedAccess } from '../vault/delegated-access.ts'
import { getDelegate } from '../vault/delegates.ts'
import { requireWallet } from '../vault/wallets.ts'

/** What the daemon may want of a delegate while its stream is open. */
export type CosignPeer = {
  /** A question of party S: a frame. Rejects when it is not answered in time. */
  readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  /** Its stream ends now. */
  readonly end: (why: Failure) => void
}

export type CosignChallenge = {
  readonly publicKey: Uint8Array
  readonly nonce: Uint8Array
  readonly signature: Uint8Array
}

export type CosignJoined = {
  readonly projectId: string
  readonly walletId: string
  readonly expireTimeMs: number
}

export type CosignAnswer = {
  readonly frame: Uint8Array | undefined
  /** Why the daemon refuses, where that is its own decision. */
  readonly refusal?: Failure | undefined
  readonly receipt?: SignedReceipt | undefined
}

/** One stream of a delegate. What it throws ends the stream. */
export type CosignSession = {
  readonly hello: (said: {
    readonly accessId: string
    readonly publicKey: Uint8Array
    readonly nonce: Uint8Array
  }) => CosignChallenge
  readonly prove: (signature: Uint8Array) => Promise<CosignJoined>
  /** About what the answer to a frame may take, where that is much. */
  readonly answerBytes: (frame: Uint8Array) => number
  /** The answer is made in the turn in which it leaves. */
  readonly frame: (frame: Uint8Array) => Promise<() => CosignAnswer>
  readonly close: () => void
}

export type CosignNeeds = {
  readonly vault: DaemonVault
  readonly fences: Fences
  readonly clock: Clock
  readonly rates: Pick<RateLimiter, 'tryTake'>
  readonly onAlert: (what: string, detail: string) => void
  readonly delegates: Pick<DelegateParties, 'frame' | 'join' | 'linkIdOf' | 'partyId'>
}

type Met = { readonly parties: CosignParties; readonly publicKey: Uint8Array }

/** Reasons for which the stream ends: the access is over, and nothing on it is answered any more. */
const ENDS: ReadonlySet<Failure['reason']> = new Set<Failure['reason']>([
  'DELEGATED_ACCESS_REVOKED',
  'DELEGATED_ACCESS_EXPIRED',
  'DELEGATED_ACCESS_NOT_FOUND',
  'GRANT_REVOKED',
  'GRANT_EXPIRED',
])

/** Of what began behind a raised fence: it is not released, whatever becomes of the fence. */
const stoppedBy = (fence: FenceKey): Passage => ({
  check: () => {
    throw failureOfFence(fence)
  },
  leave: () => undefined,
})

class Session implements CosignSession {
  readonly #needs: CosignNeeds
  readonly #caller: DelegateCaller
  readonly #peer: CosignPeer
  /** Who said hello, and after the proof, who it is. */
  #met: Met | undefined
  #wallet: DelegatedWallet | undefined
  #leave: (() => void) | undefined

  constructor(needs: CosignNeeds, caller: DelegateCaller, peer: CosignPeer) {
    this.#needs = needs
    this.#caller = caller
    this.#peer = peer
  }

  /** As it is now. Refuses as `requireStanding`. */
  #access(): DelegatedAccess {
    const { vault, clock } = this.#needs
    const access = getDelegatedAccess(vault.read, this.#caller.accessId)
    if (access === undefined) throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
    requireStanding(vault.read, access, clock.nowMs())
    return access
  }

  /** Refuses with DELEGATE_NOT_PROVEN the key of another access, and a party that is not the one it was given to. */
  hello({ accessId, publicKey, nonce }: Parameters<CosignSession['hello']>[0]): CosignChallenge {
    const { vault, delegates } = this.#needs
    const access = this.#access()
    const identity = getDelegate(vault.read, access.delegateId)?.identityKey
    const idC = partyIdOf(publicKey)
    const isIts = identity !== undefined && Buffer.compare(identity, publicKey) === 0
    const isOnLink = Buffer.compare(delegates.linkIdOf(idC), access.linkId) === 0
    if (accessId !== access.accessId || !isIts || !isOnLink) throw this.#notProven(access, publicKey)
    const parties = {
      idC,
      idS: delegates.partyId,
      accessId: accessIdToBytes(access.accessId),
      nonceC: nonce.slice(),
      nonceS: new Uint8Array(randomBytes(COSIGN_NONCE_BYTES)),
    }
    this.#met = { parties, publicKey: publicKey.slice() }
    const { signer } = vault
    return { publicKey: signer.publicKey, nonce: parties.nonceS, signature: signer.signStatement(cosignStatement('daemon', parties)) }
  }

  async prove(signature: Uint8Array): Promise<CosignJoined> {
    const met = this.#met
    if (met === undefined) throw failure('DELEGATE_NOT_PROVEN', {})
    const access = this.#access()
    const { project, walletId, expireMs } = access
    const { idC, accessId } = met.parties
    if (!isCosignProven('delegate', met.parties, met.publicKey, signature)) throw this.#notProven(access, met.publicKey)
    this.#leave = this.#needs.delegates.join(idC, project, this.#peer)
    this.#wallet = { idC, walletId: accessId }
    return { projectId: project, walletId, expireTimeMs: expireMs }
  }

  /** Whoever holds the wallet API key and is not its delegate: the key is in other hands. One row a second says so. */
  #notProven({ accessId, project, delegateId }: DelegatedAccess, shown: Uint8Array): Failure {
    const { vault, clock, rates, onAlert } = this.#needs
    const refusal = failure('DELEGATE_NOT_PROVEN', {})
    if (rates.tryTake(`unproven ${accessId}`, 1) !== undefined) return refusal
    const row: AuditEvent = {
      timeMs: Math.trunc(clock.nowMs()),
      kind: 'delegated_access.not_proven',
      project,
      actor: actorOf(this.#caller),
      subject: { type: 'delegated_access', id: accessId },
      method: 'Cosign',
      decision: 'refuse',
      reason: refusal.reason,
      details: { delegate: delegateId, shown: Buffer.from(shown).toString('hex') },
    }
    vault.commit((tx) => void appendAudit(tx, row)).catch((error: unknown) => onAlert('delegated_access', String(error)))
    return refusal
  }

  answerBytes(frame: Uint8Array): number {
    return answerBytesOf(frame)
  }

  /**
   * What a fence stops is refused before party S hears of it; a request to sign still reaches it, because the presignature
   * it names is used up whatever follows, and is refused there.
   */
  async frame(frame: Uint8Array): Promise<() => CosignAnswer> {
    const { fences } = this.#needs
    const access = this.#access()
    const keys = fencesOfAccess(access)
    const blocking = fences.blocking(keys)
    if (blocking !== undefined && !isSignFrame(frame)) {
      const refusal = failureOfFence(blocking)
      return () => ({ frame: undefined, refusal: this.#orEnd(refusal) })
    }
    // A party stopped it; until an operator has looked nothing is done with it.
    if (isStopped(this.#needs.vault.read, access)) {
      const refusal = failure('WALLET_SUSPENDED', { walletId: access.walletId })
      return () => ({ frame: undefined, refusal })
    }
    const passage = blocking === undefined ? fences.enter(keys) : stoppedBy(blocking)
    try {
      const answer = await this.#answerOf(frame)
      const { raises } = fences
      return () => this.#release(answer, passage, raises)
    } finally {
      passage.leave()
    }
  }

  async #answerOf(frame: Uint8Array): Promise<FrameAnswer> {
    const wallet = this.#wallet
    if (wallet === undefined) throw failure('DELEGATE_NOT_PROVEN', {})
    try {
      return await this.#needs.delegates.frame(wallet, frame)
    } catch (error) {
      // The thread ended, or is late: the frame is not answered, and the next one is.
      if (isFailure(error)) return { frame: undefined, refused: error }
      throw error
    }
  }

  #release({ frame, refused, receipt }: FrameAnswer, passage: Passage, raises: number): CosignAnswer {
    const { fences } = this.#needs
    if (refused !== undefined) {
      const refusal = this.#orEnd(refused)
      this.#access()
      return { frame, refusal }
    }
    try {
      passage.check()
      const access = this.#access()
      if (fences.raises !== raises) this.#requireUnstopped(access)
    } catch (error) {
      if (!isFailure(error)) throw error
      return { frame: undefined, refusal: this.#orEnd(error) }
    }
    return { frame, receipt }
  }

  /** What was raised while the answer waited for its delegate to read: it may be down again, and what it was for stands. */
  #requireUnstopped(access: DelegatedAccess): void {
    const { fences, vault } = this.#needs
    const fence = fences.blocking(fencesOfAccess(access))
    if (fence !== undefined) throw failureOfFence(fence)
    assertSigns(requireWallet(vault.read, access.walletId, access.project))
  }

  #orEnd(refusal: Failure): Failure {
    if (ENDS.has(refusal.reason)) throw refusal
    return refusal
  }

  close(): void {
    this.#leave?.()
    this.#leave = undefined
    this.#wallet = undefined
  }
}

/** The caller has shown the wallet API key of an access; who it is, it proves on the stream. */
export const openCosign = (needs: CosignNeeds, caller: DelegateCaller, peer: CosignPeer): CosignSession =>
  new Session(needs, caller, peer)
