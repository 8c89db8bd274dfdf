/**
 * One version of a send: signed like everything else, kept, and let out, in its sender's turn. Where it is certain that
 * nothing was let out, the nonce of a send is given back; where it is not, the version stays and is signed again as it is.
 */
import type { Call } from '../domain/call.ts'
import { type FailureReason, isFailure } from '../domain/failure.ts'
import type { SigningFacts, Spend } from '../payload/facts.ts'
import type { Permission } from '../policy/permissions.ts'
import { fencesOf } from '../signing/caller-stops.ts'
import { requireConsent } from '../signing/consent.ts'
import { sign, type Signed } from '../signing/sign.ts'
import { getSent } from '../vault/sent-queries.ts'
import { dropVersion, keepSigned, type SentTransaction } from '../vault/sent-transactions.ts'
import type { Tx } from '../vault/store.ts'
import type { Wallet } from '../vault/wallets.ts'
import type { ChainFamily, Lease } from './chain-family.ts'
import { intentIdOf, ownCall } from './own-call.ts'
import type { SendingNeeds } from './sending-needs.ts'
import type { SentChanges } from './sent-changes.ts'
import type { SentListeners } from './sent-listeners.ts'

export type SigningTurn = {
  readonly call: Call
  readonly family: ChainFamily
  readonly wallet: Wallet
  readonly sendId: string
  readonly version: number
  readonly lease: Lease
  readonly permission?: Permission | undefined
  readonly facts?: SigningFacts | undefined
  readonly charged?: readonly Spend[] | undefined
  /** In the transaction of the intent, once. */
  readonly record: (tx: Tx) => void
}

export type SignParts = {
  readonly needs: SendingNeeds
  readonly changes: SentChanges
  readonly listeners: SentListeners
  /** Begins to let a version out; resolves when somebody has taken it, or nobody has, or soon after `signal` aborts. Never rejects. */
  readonly letOut: (sent: SentTransaction, signal: AbortSignal) => Promise<void>
}

/** Refusals after which it is certain that no signature was let out, and that none is to be made. */
const FINAL: ReadonlySet<FailureReason> = new Set([
  'API_KEY_INVALID', 'API_KEY_EXPIRED', 'ACCESS_TOKEN_INVALID', 'ACCESS_TOKEN_EXPIRED', 'WALLET_SECRET_REQUIRED', 'WALLET_SECRET_NOT_FOUND',
  'WALLET_SECRET_EXPIRED', 'PERMISSION_MISSING', 'LIMIT_EXCEEDED', 'AUTHORIZATION_CHAIN_ZERO', 'WALLET_NOT_FOUND', 'WALLET_ARCHIVED',
  'WALLET_SUSPENDED', 'DELEGATION_NOT_ENABLED', 'GRANT_NOT_FOUND', 'GRANT_EXPIRED', 'GRANT_REVOKED', 'GRANT_NOT_AUTHORIZED', 'FROZEN',
  'SESSION_REQUIRED', 'COSIGNER_REFUSED', 'LINK_BURNED', 'TRANSACTION_INVALID',
])

const hasVersion = (sent: SentTransaction | undefined, version: number): sent is SentTransaction =>
  sent?.versions.some((one) => one.version === version) === true

export class VersionSigner {
  readonly #parts: SignParts

  constructor(parts: SignParts) {
    this.#parts = parts
  }

  /**
   * Answers when the version is signed and its broadcast has begun, or when nobody can tell whether it is signed. Refuses as
   * `sign`; then nothing of the version is left.
   */
  async run(turn: SigningTurn): Promise<void> {
    const { needs } = this.#parts
    const { sendId, version } = turn
    using own = ownCall(turn.call, needs.clock)
    const { vault } = needs
    try {
      const signed = await sign(needs, own.call, this.#request(turn, own.take))
      await this.#keep(turn, own.call, signed)
    } catch (error) {
      const sent = getSent(vault.read, sendId)
      if (!hasVersion(sent, version)) throw error
      // Whatever else went wrong, the signature may exist: the version stays as it is until it is signed again.
      if (!isFailure(error) || !FINAL.has(error.reason)) return
      await this.#takeBack(sent, version, error.reason)
      throw error
    }
  }

  #request(turn: SigningTurn, take: () => void) {
    const { family, wallet, sendId, version, lease, permission, facts, charged, record } = turn
    const { read } = this.#parts.needs.vault
    const recording = (tx: Tx): void => {
      if (!hasVersion(getSent(tx, sendId), version)) record(tx)
      take()
    }
    if (hasVersion(getSent(read, sendId), version)) take()
    return {
      walletRef: wallet.walletId,
      method: 'SignTransaction',
      content: lease.content,
      keyType: family.keyType,
      ...(permission === undefined ? {} : { permission }),
      sending: { sendId, intentId: intentIdOf(sendId, version), recording, facts, charged },
    } as const
  }

  /** Makes the signature durable; then, in the turn in which it may still leave, begins to let it out. */
  async #keep({ call, family, wallet, sendId, version }: SigningTurn, own: Call, signed: Signed): Promise<void> {
    const { needs, changes, listeners, letOut } = this.#parts
    const { vault, clock, fences } = needs
    const grant = requireConsent(vault.read, call.caller, wallet, clock.nowMs())
    const stopping = new AbortController()
    const passage = fences.enter(fencesOf(call, wallet, grant), () => stopping.abort())
    try {
      const form = { ...family.attach(signed), intent: signed.receipt.sequence }
      const sent = await vault.commit((tx) => {
        keepSigned(tx, sendId, version, form)
        const current = getSent(tx, sendId) as SentTransaction
        const state = current.state === 'SIGNING' ? ({ state: 'SIGNED' } as const) : {}
        return changes.make(tx, current, { ...state, reason: '' }, Math.trunc(clock.nowMs()))
      })
      for (const check of own.releaseChecks) check()
      passage.check()
      // A fence that rises from here on ends what is not out yet.
      void letOut(sent, stopping.signal).finally(passage.leave)
      listeners.tell(sent)
    } catch (error) {
      passage.leave()
      throw error
    }
  }

  async #takeBack(sent: SentTransaction, version: number, reason: FailureReason): Promise<void> {
    const { needs, changes, listeners } = this.#parts
    const nowMs = Math.trunc(needs.clock.nowMs())
    const after = await needs.vault.commit((tx) => {
      dropVersion(tx, sent.sendId, version)
      const current = getSent(tx, sent.sendId) as SentTransaction
      return version > 1 ? current : changes.make(tx, current, { state: 'FAILED', reason, givesNonceBack: true }, nowMs)
    })
    listeners.tell(after)
  }
}
