/**
 * The cosigner's own judgement on owners and their wallet secrets: what it takes into its register, and when it hands a
 * share over. Nothing here is the daemon's word: a secret comes with the user's first wallet or under the signature of
 * one that is there, and a share leaves under such a signature or by the cosigner's own operator.
 */
import { hash } from 'node:crypto'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { isReservedUserId, parseProjectId, parseUserId, type ProjectId, walletIdFromBytes } from '../domain/ids.ts'
import type { ExportRequest } from '../engine/dkls23/export.ts'
import { benign } from '../engine/dkls23/fault.ts'
import { type ImportOwner, OWNER_END_USER, type PendingImport } from '../engine/dkls23/import.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { IMPORT_KEY_MAX_MS } from '../engine/sealing/import-key.ts'
import {
  exportStatement,
  firstSecretStatement,
  isSignedBy,
  isWalletSecret,
  secretChangeStatement,
  secretIdOf,
} from '../engine/sealing/owner-consent.ts'
import type { Recipient } from '../engine/sealing/share-envelope.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import { spendConsent } from '../vault/consents.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import {
  deleteOwnerSecret,
  getOwnerSecret,
  getWalletOwner,
  insertOwnerSecret,
  insertWalletOwner,
  listOwnerSecrets,
  OWNER_SECRETS_MAX,
  NOBODY,
  ownsWallets,
  type BoundBy,
  type Owner,
} from '../vault/owner-register.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { useImport, walletOfImport } from '../vault/used-imports.ts'
import { getShare } from '../vault/wallet-shares.ts'
import { findAnyFreeze } from './cosigner-freezes.ts'
import { hexOf } from './presignature-map.ts'
import {
  denied,
  exportsFromMs,
  isTimely,
  requireExportable,
  requireTimely,
  SECRET_WAIT_MS,
  takeOperatorConsent,
  takeOwnerConsent,
} from './share-consents.ts'
import { bindToProject } from './wallet-projects.ts'

/** A wallet that is being made, and the first secret of its owner where there is none yet. */
export type WalletClaim = Owner & {
  readonly walletId: Uint8Array
  readonly secret?: { readonly publicKey: Uint8Array; readonly signature: Uint8Array } | undefined
}

/** A wallet of the project's own that is being made. */
export type ProjectClaim = { readonly walletId: Uint8Array; readonly project: string }

/** A change of the register, signed by a secret that is in it. */
export type SecretOrder = Owner & {
  readonly change: 'bind' | 'remove'
  readonly publicKey: Uint8Array
  readonly expireMs: number
  readonly nonce: Uint8Array
  /** Who signed, 32 bytes. */
  readonly signedBy: Uint8Array
  readonly signature: Uint8Array
}

export type OwnerDeskNeeds = {
  readonly vault: CosignerVault
  readonly clock: Clock
  /** This party's id, which every statement names. */
  readonly partyId: Uint8Array
  readonly allowExport: boolean
  readonly allowImport: boolean
  /** For this party's operator. */
  readonly alert: (what: string, detail: string) => void
}

/** What an operator's approval is for: one kind and key. */
export const digestOfKey = ({ kind, key }: Recipient): Uint8Array =>
  new Uint8Array(hash('sha256', Buffer.concat([Uint8Array.of(kind), key]), 'buffer'))

const refused = (why: string) => failure('WALLET_SECRET_REFUSED', { why })
const notTaken = (why: string) => benign('import_refused', why)

export class OwnerDesk {
  readonly #needs: OwnerDeskNeeds

  constructor(needs: OwnerDeskNeeds) {
    this.#needs = needs
  }

  /**
   * Whose a wallet is that is being made: before the daemon decides, so before anybody learns its address. Durable when
   * it resolves; the same claim again changes nothing. Refuses with WALLET_SECRET_REFUSED.
   */
  async claimWallet(claim: WalletClaim): Promise<void> {
    const timeMs = this.#nowMs()
    const { vault, alert } = this.#needs
    const { walletId, project, userId } = claim
    requireNames(claim)
    await vault.commit((tx) => {
      const isSame = requireFree(tx, claim)
      const isFirst = !ownsWallets(tx, claim, walletId)
      if (claim.secret !== undefined) this.#bindFirst(tx, claim, isFirst, timeMs)
      if (isSame) return
      insertWalletOwner(tx, { walletId, project, userId, createMs: timeMs })
      appendAudit(tx, ownerEvent('wallet.claimed', claim, { type: 'wallet', id: walletIdFromBytes(walletId) }, timeMs))
    })
    if (claim.secret !== undefined) alert('wallet_secret', `bound for ${claim.project}/${claim.userId} with a wallet`)
  }

  /** As `claimWallet`, of a wallet that is the project's own. */
  async claimForProject({ walletId, project }: ProjectClaim): Promise<void> {
    if (parseProjectId(project) === undefined) throw refused('whose it is to be')
    const timeMs = this.#nowMs()
    await this.#needs.vault.commit((tx) => {
      if (!requireFree(tx, { walletId, project, userId: NOBODY })) bindToProject(tx, walletId, project, timeMs)
    })
  }

  /**
   * A later secret, or the end of one; what is so already stays so. Durable when it resolves. Refuses with
   * WALLET_SECRET_REFUSED.
   */
  async changeSecret(order: SecretOrder): Promise<void> {
    const { partyId, vault, clock, alert } = this.#needs
    const timeMs = this.#nowMs()
    await vault.commit((tx) => {
      const signer = getOwnerSecret(tx, order, order.signedBy)
      const signed = secretChangeStatement({ ...order, partyId }, order)
      if (signer === undefined || !isSignedBy(signer.publicKey, signed, order.signature)) {
        throw refused('no wallet secret of this user signed it')
      }
      // The same order again, by whom the answer did not reach.
      const held = getOwnerSecret(tx, order, secretIdOf(order.publicKey))
      if ((held !== undefined) === (order.change === 'bind')) return
      // Else the day that a new one waits is nobody's to use who would end it.
      const isYoung = signer.boundBy !== 'first_wallet' && signer.bindMs + SECRET_WAIT_MS > timeMs
      if (held !== undefined && isYoung && held.bindMs < signer.bindMs) {
        throw refused('a wallet secret that is younger than a day takes out no older one')
      }
      if (!isTimely(order.expireMs, clock.nowMs())) throw refused('it has expired, or is good for more than five minutes')
      if (!spendConsent(tx, order.nonce, order.expireMs)) throw refused('its nonce was used before')
      if (order.change === 'bind') bindSecret(tx, order, order.publicKey, 'wallet_secret', timeMs)
      else removeSecret(tx, order, order.publicKey, { kind: 'end_user', timeMs })
    })
    alert('wallet_secret', `${order.change} for ${order.project}/${order.userId} by one of theirs`)
  }

  /**
   * Allows the export of one share, and uses up what allowed it, durably, before it resolves.
   * @throws ProtocolFault class A policy_denied; its text is for this party's operator alone.
   */
  async authorizeExport(asked: ExportRequest, origin: WalletRecord['origin']): Promise<void> {
    const { vault, allowExport, clock, partyId } = this.#needs
    if (!allowExport) throw denied('export is not switched on at the cosigner')
    requireTimely(asked.expireMs, clock.nowMs())
    const timeMs = this.#nowMs()
    await vault.commit((tx) => {
      const owner = getWalletOwner(tx, asked.walletId)
      requireExportable(tx, asked, owner)
      const by = asked.consent.kind === 'operator'
        ? takeOperatorConsent(tx, asked, { keyDigest: digestOfKey(asked.recipient), what: 'wallet or key' }, timeMs)
        : takeOwnerConsent(tx, asked, { statement: exportStatement({ ...asked, partyId }), origin }, timeMs)
      appendAudit(tx, exportEvent(asked, owner, by, timeMs))
    })
  }

  /**
   * Whether a key may be taken in for this owner. @throws ProtocolFault class A import_refused; its text is for this
   * party's operator alone.
   */
  admitImport(importId: Uint8Array, owner: ImportOwner): void {
    const { vault, allowImport } = this.#needs
    if (!allowImport) throw notTaken('import is not switched on at the cosigner')
    const leftMs = owner.expireMs - this.#nowMs()
    if (!(leftMs > 0 && leftMs <= IMPORT_KEY_MAX_MS)) throw notTaken('it has expired, or is good for more than an hour')
    const project = parseProjectId(owner.project)
    if (project === undefined || !isUser(owner.userId)) throw notTaken('whose it is to be')
    if (walletOfImport(vault.read, importId) !== undefined) throw notTaken('its id was used before')
    if (findAnyFreeze(vault.read, [{ scope: 'all', id: '' }, { scope: 'project', id: project }])) throw notTaken('frozen')
  }

  /** In the transaction that stores the PENDING record: its id is used up, and an end user's wallet is theirs. */
  recordImport(tx: Tx, { importId, owner, records }: PendingImport): void {
    const timeMs = this.#nowMs()
    this.admitImport(importId, owner)
    for (const { walletId } of records) {
      if (!useImport(tx, importId, walletId)) throw notTaken('its id was used before')
      const { project, userId } = owner
      // The project's is so for good: what its holder sealed, no daemon claims for somebody else.
      const ownerId = owner.ownerType === OWNER_END_USER ? userId : NOBODY
      insertWalletOwner(tx, { walletId, project, userId: ownerId, createMs: timeMs })
      const subject = { type: 'wallet', id: walletIdFromBytes(walletId) }
      appendAudit(tx, ownerEvent('wallet.imported', { project, userId }, subject, timeMs))
    }
  }

  #bindFirst(tx: Tx, claim: WalletClaim, isFirst: boolean, timeMs: number): void {
    const { publicKey, signature } = claim.secret as NonNullable<WalletClaim['secret']>
    const signed = firstSecretStatement({ ...claim, partyId: this.#needs.partyId }, publicKey)
    if (!isSignedBy(publicKey, signed, signature)) throw refused('the wallet secret did not sign for itself')
    if (getOwnerSecret(tx, claim, secretIdOf(publicKey)) !== undefined) return
    const isLater = !isFirst || listOwnerSecrets(tx, claim).length > 0
    if (isLater) throw refused('a later wallet secret is signed by one that is in the register')
    bindSecret(tx, claim, publicKey, 'first_wallet', timeMs)
  }

  #nowMs(): number {
    return Math.trunc(this.#needs.clock.nowMs())
  }
}

const isUser = (userId: string): boolean => parseUserId(userId) !== undefined && !isReservedUserId(userId)

/** Whether it was claimed for this owner before. Refuses with WALLET_SECRET_REFUSED what is not being made, or not for them. */
const requireFree = (tx: Reader, { walletId, project, userId }: Owner & { readonly walletId: Uint8Array }): boolean => {
  const held = getWalletOwner(tx, walletId)
  const isSame = held?.project === project && held.userId === userId
  if (held !== undefined && !isSame) throw refused('the wallet has another owner')
  if (getShare(tx, walletId) !== undefined || getShare(tx, walletId, 'pending')?.wEpoch !== 0) {
    throw refused('the wallet is not being made')
  }
  return isSame
}

/** Refuses with WALLET_SECRET_REFUSED names that no project and no user has. */
const requireNames = ({ project, userId }: Owner): void => {
  if (parseProjectId(project) === undefined || !isUser(userId)) throw refused('whose it is to be')
}

/** Refuses with WALLET_SECRET_REFUSED: not a key on P-256, there already, or no room for it. */
export const bindSecret = (tx: Tx, owner: Owner, publicKey: Uint8Array, boundBy: BoundBy, timeMs: number): void => {
  const { project, userId } = owner
  if (!isWalletSecret(publicKey)) throw refused('a wallet secret is a key on P-256')
  const secretId = secretIdOf(publicKey)
  const held = listOwnerSecrets(tx, owner)
  if (held.some((secret) => hexOf(secret.secretId) === hexOf(secretId))) throw refused('it is in the register already')
  if (held.length >= OWNER_SECRETS_MAX) throw refused(`a user has at most ${OWNER_SECRETS_MAX} wallet secrets`)
  insertOwnerSecret(tx, { project, userId, secretId, publicKey, boundBy, bindMs: timeMs })
  const actor = boundBy === 'operator' ? { kind: 'operator', id: '' } as const : endUser(owner)
  const details = { boundBy, exportsAfter: new Date(exportsFromMs({ boundBy, bindMs: timeMs }, 'dkg')).toISOString() }
  appendAudit(tx, { ...ownerEvent('wallet_secret.bound', owner, secretSubject(secretId), timeMs), actor, details })
}

/** Refuses with WALLET_SECRET_REFUSED when it is not there. */
export const removeSecret = (
  tx: Tx,
  owner: Owner,
  publicKey: Uint8Array,
  { kind, timeMs }: { readonly kind: 'end_user' | 'operator'; readonly timeMs: number },
): void => {
  const secretId = secretIdOf(publicKey)
  if (!deleteOwnerSecret(tx, owner, secretId, timeMs)) throw refused('it is not in the register')
  const actor = kind === 'operator' ? { kind, id: '' } : endUser(owner)
  appendAudit(tx, { ...ownerEvent('wallet_secret.removed', owner, secretSubject(secretId), timeMs), actor })
}

const endUser = ({ project, userId }: Owner): AuditEvent['actor'] => ({ kind: 'end_user', id: `${project}/${userId}` })
const secretSubject = (secretId: Uint8Array) => ({ type: 'wallet_secret', id: hexOf(secretId) })

const ownerEvent = (
  kind: string,
  owner: Owner,
  subject: { readonly type: string; readonly id: string },
  timeMs: number,
): AuditEvent => ({
  timeMs,
  kind,
  project: owner.project as ProjectId,
  actor: { kind: 'daemon', id: '' },
  subject,
  decision: 'allow',
  details: { userId: owner.userId },
})

const exportEvent = (
  asked: ExportRequest,
  owner: Owner | undefined,
  actor: AuditEvent['actor'],
  timeMs: number,
): AuditEvent => ({
  timeMs,
  kind: 'wallet.exported',
  ...(owner === undefined ? {} : { project: owner.project as ProjectId }),
  actor,
  subject: { type: 'wallet', id: walletIdFromBytes(asked.walletId) },
  decision: 'allow',
  details: { shareEpoch: asked.wEpoch, key: hexOf(digestOfKey(asked.recipient)), nonce: hexOf(asked.nonce) },
})
