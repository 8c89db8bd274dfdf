/**
 * The cosigner's own judgement on shares for delegates (docs/protocol.md §13): whom it makes one for, and whom it seals
 * it to. A daemon that could name the key would have the whole key of the wallet, so nothing here is its word: the user's
 * statement, under a wallet secret of the cosigner's own register, names the delegate and its key, or the operator has
 * registered both and approved this wallet.
 */
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { accessIdFromBytes, walletIdFromBytes } from '../domain/ids.ts'
import type { ExportConsent } from '../engine/dkls23/export.ts'
import { ProtocolFault } from '../engine/dkls23/fault.ts'
import type { ForkTerms } from '../engine/dkls23/fork.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { makeLinkParties } from '../engine/dkls23/contexts.ts'
import { partyIdOf } from '../engine/sealing/import-key.ts'
import { delegateStatement, digestOfDelegate } from '../engine/sealing/owner-consent.ts'
import { isRecipient, KIND_RSA } from '../engine/sealing/share-envelope.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import { decideFork, deleteFork, type Fork, forkBySid, forkByWallet, insertFork, listPendingForks } from '../vault/forks.ts'
import { getKnownDelegate } from '../vault/known-delegates.ts'
import { getWalletOwner } from '../vault/owner-register.ts'
import type { Tx } from '../vault/store.ts'
import { shareEpochOf } from '../vault/wallet-shares.ts'
import type { ForkKeeper, ForkPermit } from './fork-responder.ts'
import type { PendingWallet } from './party-store.ts'
import { hexOf } from './presignature-map.ts'
import { denied, requireExportable, requireTimely, takeOperatorConsent, takeOwnerConsent } from './share-consents.ts'
import { projectOfWallet } from './wallet-projects.ts'

/** What a daemon asks for, and why it may. */
export type ForkOrder = {
  readonly walletId: Uint8Array
  readonly wEpoch: number
  /** As the engine encodes it. */
  readonly publicKey: Uint8Array
  /** The delegate's identity, Ed25519, 32 bytes. */
  readonly identityKey: Uint8Array
  /** What the daemon has for the delegate's encryption key: counts where the consent covers it, and nowhere else. */
  readonly rsaKey: Uint8Array
  readonly expireMs: number
  readonly nonce: Uint8Array
  readonly consent: ExportConsent
}

export type ForkDeskNeeds = {
  readonly vault: CosignerVault
  readonly clock: Clock
  /** This party's id, which every statement names. */
  readonly partyId: Uint8Array
  /** It makes no shares for delegates at all. */
  readonly isOff?: boolean
  /** The wallet's own record, opened; the caller wipes its share. */
  readonly loadWallet: (walletId: Uint8Array) => Promise<WalletRecord | undefined>
  /** For this party's operator. */
  readonly alert: (what: string, detail: string) => void
}

type Permit = ForkPermit & { readonly wEpoch: number; readonly expireMs: number; readonly order: string }

/** Each hands a share out: more than anybody needs, and no flood. */
const FORKS_PER_MINUTE = 60
const FORKS_PER_WALLET_AND_HOUR = 12
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

export class ForkDesk implements ForkKeeper {
  readonly #needs: ForkDeskNeeds
  readonly #permits = new Map<string, Permit>()
  #recent: { readonly wallet: string; readonly timeMs: number }[] = []
  #peerId: Uint8Array | undefined

  constructor(needs: ForkDeskNeeds) {
    this.#needs = needs
  }

  /** The daemon that this party is joined with: what it is given for a delegate is over its link with that one. */
  joined(peerId: Uint8Array): void {
    this.#peerId = peerId
    this.#permits.clear()
  }

  /**
   * Allows one fork of one wallet, for five minutes at most, and uses up what allowed it, durably, before it resolves.
   * The same order again, before it was used, changes nothing. Refuses with DELEGATION_REFUSED; why is told to this
   * party's operator alone.
   */
  async permit(asked: ForkOrder): Promise<void> {
    try {
      await this.#permit(asked)
    } catch (error) {
      if (!(error instanceof ProtocolFault)) throw error
      this.#needs.alert('delegation_refused', `wallet ${hexOf(asked.walletId)}: ${error.message}`)
      throw failure('DELEGATION_REFUSED', {})
    }
  }

  async #permit(asked: ForkOrder): Promise<void> {
    const { vault, clock, isOff, partyId } = this.#needs
    const timeMs = this.#nowMs()
    const key = hexOf(asked.walletId)
    const order = orderText(asked)
    if (this.#permits.get(key)?.order === order) return
    if (isOff === true) throw denied('delegation is not switched on at the cosigner')
    requireTimely(asked.expireMs, clock.nowMs())
    if (!isRecipient({ kind: KIND_RSA, key: asked.rsaKey })) throw denied('nothing is sealed to such a key')
    const terms = this.#termsOf(asked.identityKey)
    const origin = await this.#originOf(asked)
    this.#requireTurn(key, timeMs)
    await vault.commit((tx) => {
      const owner = getWalletOwner(tx, asked.walletId)
      requireExportable(tx, asked, owner)
      const by = asked.consent.kind === 'operator'
        ? takeOperatorConsent(tx, asked, approvedDelegate(tx, asked, terms), timeMs)
        : takeOwnerConsent(tx, asked, { statement: delegateStatement({ ...asked, ...terms, partyId }), origin }, timeMs)
      appendAudit(tx, permittedEvent(asked, terms, projectOfWallet(tx, asked.walletId), by, timeMs))
    })
    this.#recent.push({ wallet: key, timeMs })
    const { wEpoch, expireMs, rsaKey } = asked
    this.#forgetPermits(timeMs)
    this.#permits.set(key, { ...terms, rsaKey: rsaKey.slice(), wEpoch, expireMs, order })
  }

  permitFor({ walletId, wEpoch }: { readonly walletId: Uint8Array; readonly wEpoch: number }): ForkPermit {
    const permit = this.#permits.get(hexOf(walletId))
    if (permit === undefined || permit.wEpoch !== wEpoch || permit.expireMs <= this.#nowMs()) {
      throw denied('nobody allowed a share of this wallet for a delegate')
    }
    return permit
  }

  async save(fork: Omit<Fork, 'state'>, permit: ForkPermit): Promise<void> {
    const { vault } = this.#needs
    const key = hexOf(fork.sourceId)
    if (this.#permits.get(key) !== permit) throw denied('what allowed it is used up')
    this.#permits.delete(key)
    const timeMs = this.#nowMs()
    await vault.commit((tx) => {
      const owner = getWalletOwner(tx, fork.sourceId)
      requireExportable(tx, { walletId: fork.sourceId, wEpoch: (permit as Permit).wEpoch }, owner)
      insertFork(tx, fork, timeMs)
      appendAudit(tx, {
        timeMs,
        kind: 'wallet.share_sealed',
        project: projectOfWallet(tx, fork.sourceId),
        actor: { kind: 'daemon', id: '' },
        subject: { type: 'wallet', id: walletIdFromBytes(fork.sourceId) },
        details: { access: accessIdFromBytes(fork.walletId), delegate: hexOf(permit.idG), key: hexOf(digestOfDelegate(permit)) },
      })
    })
  }

  find(sid: Uint8Array): Fork | undefined {
    const { read } = this.#needs.vault
    const fork = forkBySid(read, sid)
    if (fork === undefined) return undefined
    const owner = getWalletOwner(read, fork.sourceId)
    const wEpoch = shareEpochOf(read, fork.sourceId)
    // A freeze since holds the envelope back too; a refresh since does not.
    requireExportable(read, { walletId: fork.sourceId, wEpoch }, owner)
    return fork
  }

  pending(): readonly PendingWallet[] {
    return listPendingForks(this.#needs.vault.read).map(({ walletId, sid, linkId }) => ({ walletId, sid, linkId, wEpoch: 0 }))
  }

  has(walletId: Uint8Array): boolean {
    return forkByWallet(this.#needs.vault.read, walletId) !== undefined
  }

  async decide(walletId: Uint8Array): Promise<void> {
    await this.#needs.vault.commit((tx) => decideFork(tx, walletId))
  }

  async drop(walletId: Uint8Array): Promise<void> {
    await this.#needs.vault.commit((tx) => deleteFork(tx, walletId))
  }

  #termsOf(identityKey: Uint8Array): ForkTerms {
    const idG = partyIdOf(identityKey)
    if (this.#peerId === undefined) throw denied('no daemon is joined')
    return { idG, linkId: makeLinkParties(idG, this.#peerId, 0).linkId }
  }

  async #originOf({ walletId, publicKey }: ForkOrder): Promise<WalletRecord['origin']> {
    const record = await this.#needs.loadWallet(walletId)
    record?.share.fill(0)
    if (record === undefined) throw denied('no such wallet')
    if (hexOf(record.publicKey) !== hexOf(publicKey)) throw denied('another public key than asked for')
    return record.origin
  }

  /** Only what was allowed counts: nobody uses up another's turns. */
  #requireTurn(wallet: string, timeMs: number): void {
    this.#recent = this.#recent.filter((one) => Math.abs(timeMs - one.timeMs) < HOUR_MS)
    const lately = this.#recent.filter((one) => timeMs - one.timeMs < MINUTE_MS)
    const ofWallet = this.#recent.filter((one) => one.wallet === wallet)
    if (lately.length >= FORKS_PER_MINUTE || ofWallet.length >= FORKS_PER_WALLET_AND_HOUR) throw denied('too many at once')
  }

  #forgetPermits(timeMs: number): void {
    for (const [key, { expireMs }] of this.#permits) if (expireMs <= timeMs) this.#permits.delete(key)
  }

  #nowMs(): number {
    return Math.trunc(this.#needs.clock.nowMs())
  }
}

const orderText = ({ walletId, wEpoch, publicKey, identityKey, rsaKey, expireMs, nonce, consent }: ForkOrder): string => {
  const why = consent.kind === 'operator' ? [consent.approvalId] : [consent.secretId, consent.signature]
  return [walletId, publicKey, identityKey, rsaKey, nonce, ...why].map(hexOf).concat(`${wEpoch}`, `${expireMs}`).join()
}

/** What the operator has to have approved: this delegate, under the key that it is registered here with. */
const approvedDelegate = (tx: Tx, { rsaKey }: ForkOrder, { idG }: ForkTerms) => {
  const known = getKnownDelegate(tx, idG)
  if (known === undefined) throw denied('the delegate is not registered here')
  if (hexOf(known.rsaKey) !== hexOf(rsaKey)) throw denied('the delegate is registered here with another key')
  return { keyDigest: digestOfDelegate({ rsaKey, idG }), what: 'wallet, delegate or key' }
}

const permittedEvent = (
  asked: ForkOrder,
  { idG }: ForkTerms,
  project: ProjectId | undefined,
  actor: AuditEvent['actor'],
  timeMs: number,
): AuditEvent => ({
  timeMs,
  kind: 'wallet.delegation_allowed',
  project,
  actor,
  subject: { type: 'wallet', id: walletIdFromBytes(asked.walletId) },
  decision: 'allow',
  details: {
    shareEpoch: asked.wEpoch,
    delegate: hexOf(idG),
    key: hexOf(digestOfDelegate({ rsaKey: asked.rsaKey, idG })),
    nonce: hexOf(asked.nonce),
  },
})
