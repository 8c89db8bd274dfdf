/**
 * What another daemon, or another system, delegated to this one: opened by the thread that does that, held to what is
 * pinned, stored sealed; and what of it was taken back, whichever of the two came first.
 */
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { accessIdFromBytes, addressKeyOf, type ProjectId, type RequestId, walletIdFromBytes } from '../domain/ids.ts'
import { encodeBase58 } from '../domain/base58.ts'
import type { DeliveryOpener } from '../party/delegate/delivery-opener.ts'
import type { Delivery, OpenedDelivery } from '../party/delegate/open-delivery.ts'
import { partyIdOf } from '../party/party-id.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../payload/address.ts'
import type { Fences } from '../signing/fences.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import {
  getImportedAccess,
  type ImportedAccess,
  insertImportedAccess,
  noteRevocation,
  revokedAt,
  setImportedState,
} from '../vault/imported-accesses.ts'
import { deleteImportedSecrets, putImportedSecret } from '../vault/imported-secrets.ts'
import { listOwnDelegateKeys, openOwnDelegateKey } from '../vault/own-delegate-keys.ts'
import { takeEvent } from '../vault/received-events.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { activateShare, deleteShares, getShare } from '../vault/wallet-shares.ts'
import { getWallet, type KeyType } from '../vault/wallets.ts'
import { type DelegationWebhook, speaksFor } from './delegation-webhook.ts'
import { findGranting, type GrantingDaemon } from './imported-view.ts'

export type TakeNeeds = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly fences: Fences
  readonly opener: Pick<DeliveryOpener, 'open'>
  /** Whose webhooks are taken. */
  readonly webhooks: readonly DelegationWebhook[]
  /** Who may delegate to this daemon. */
  readonly granting: readonly GrantingDaemon[]
  /** An access came that can be made ready to sign. */
  readonly arrived: (access: ImportedAccess) => void
  /** An access is over: nothing signs with it any more. */
  readonly ended: (accessId: Uint8Array) => void
}

/** Who brought it, for the audit chain; an API key of the project, or a sender of webhooks. */
export type Bringer = Pick<AuditEvent, 'actor' | 'method'> & {
  readonly requestId?: RequestId | undefined
  readonly sender?: DelegationWebhook | undefined
}

export type Brought = Bringer & {
  readonly project: ProjectId
  readonly delivery: Delivery
  /** What a share of another system is known by, 16 bytes. */
  readonly foreignId: Uint8Array | undefined
  /** What its carrier says of it. */
  readonly said: { readonly address?: string | undefined; readonly keyType?: KeyType | undefined; readonly userId: string }
  readonly grantedMs: number
  /** The webhook event that brought it, which counts once. */
  readonly eventId?: string | undefined
}

type Known = Exclude<OpenedDelivery, { readonly kind: 'invalid' }>

const invalid = (why: string) => failure('ENVELOPE_INVALID', { why })

/**
 * Takes a delivery in; one of this id that is there already is answered as it is. What was taken back before it came ends
 * revoked. Undefined for a webhook event that was taken before. Refuses: ENVELOPE_INVALID, GRANTING_DAEMON_UNKNOWN, PROJECT_NOT_FOUND.
 */
export const takeDelivery = async (needs: TakeNeeds, brought: Brought): Promise<ImportedAccess | undefined> => {
  const { vault, clock } = needs
  const opened = await needs.opener.open({
    delivery: brought.delivery,
    keys: keysFor(vault, brought.delivery),
    idG: partyIdOf(vault.signer.publicKey),
    foreignId: brought.foreignId,
    nowMs: Math.trunc(clock.nowMs()),
  })
  if (opened.kind === 'invalid') throw invalid(opened.why)
  if (opened.kind === 'own' && findGranting(needs.granting, opened.grantingId) === undefined) {
    throw failure('GRANTING_DAEMON_UNKNOWN', { partyId: Buffer.from(opened.grantingId).toString('hex') })
  }
  if (!mayConcern(needs, brought, opened.kind === 'own' ? opened.grantingId : undefined)) {
    throw invalid('its sender does not speak for who delegated')
  }
  const about = judge(opened, brought)
  const { access, isNew } = await vault.commit((tx) => store(needs, tx, opened, { ...brought, ...about }, Math.trunc(clock.nowMs())))
  if (isNew && access?.state === 'PENDING' && access.grantingId !== undefined) needs.arrived(access)
  return access
}

const mayConcern = ({ webhooks }: TakeNeeds, { sender }: Bringer, grantingId: Uint8Array | undefined): boolean =>
  sender === undefined || speaksFor(webhooks, sender, grantingId)

/** The key that the envelopes name, or else every one there is. */
const keysFor = (vault: DaemonVault, { encryptedDelegatedShare, encryptedWalletApiKey }: Delivery): Uint8Array[] => {
  const kid = encryptedDelegatedShare.kid ?? encryptedWalletApiKey.kid
  const keys = listOwnDelegateKeys(vault.read).filter((key) => kid === undefined || key.kid === kid)
  if (keys.length === 0) throw invalid(kid === undefined ? 'this daemon has no delegate key' : `it is sealed to ${kid}, which is none of this daemon's`)
  return keys.map((key) => openOwnDelegateKey(vault.secrets, key.kid))
}

const addressOf = (keyType: KeyType, shownPublicKey: Uint8Array): string =>
  keyType === 'ed25519' ? encodeBase58(shownPublicKey) : formatEvmAddress(evmAddressOfPublicKey(shownPublicKey))

export const isSameAddress = (a: string, b: string): boolean => addressKeyOf(a) === addressKeyOf(b)

type About = { readonly address: string; readonly keyType: KeyType; readonly publicKey: Uint8Array }

const judge = (opened: Known, { said }: Brought): About => {
  if (opened.kind === 'foreign') {
    if (said.address === undefined || said.keyType === undefined) throw invalid('a share of another system does not say whose it is')
    return { address: said.address, keyType: said.keyType, publicKey: new Uint8Array(0) }
  }
  const { keyType, shownPublicKey } = opened
  const address = addressOf(keyType, shownPublicKey)
  if (said.address !== undefined && !isSameAddress(address, said.address)) throw invalid('its share is of another address')
  return { address, keyType, publicKey: shownPublicKey }
}

const isOfThisDaemon = (reader: Reader, accessId: Uint8Array): boolean =>
  getWallet(reader, walletIdFromBytes(accessId)) !== undefined ||
  getShare(reader, accessId) !== undefined ||
  getShare(reader, accessId, 'pending') !== undefined

type Stored = { readonly access: ImportedAccess | undefined; readonly isNew: boolean }

const store = (needs: TakeNeeds, tx: Tx, opened: Known, brought: Brought & About, nowMs: number): Stored => {
  const { project, eventId, grantedMs } = brought
  const accessId = opened.kind === 'own' ? opened.accessId : opened.share.accessId
  const before = getImportedAccess(tx, accessId)
  if (before !== undefined && before.project !== project) throw invalid('it was taken in for another project')
  if (eventId !== undefined && !takeEvent(tx, project, eventId, nowMs)) return { access: before, isNew: false }
  // One pair of shares is delegated once; another system may do it again under the same id.
  const isKept = before !== undefined && (before.grantingId !== undefined || (opened.kind === 'foreign' && before.grantedMs >= grantedMs))
  if (isKept) return { access: before, isNew: false }
  // Nobody has signed what the envelope says of itself: no wallet of this daemon's gives its place to it.
  if (before === undefined && isOfThisDaemon(tx, accessId)) throw invalid('its id is taken')
  const grantingId = opened.kind === 'own' ? opened.grantingId : undefined
  const endMs = revokedAt(tx, project, accessId, (from) => speaksFor(needs.webhooks, { project, from }, grantingId))
  const isOver = endMs !== undefined && (opened.kind === 'own' || endMs >= grantedMs)
  const access = insertImportedAccess(tx, {
    accessId,
    project,
    grantingId,
    keyType: brought.keyType,
    address: brought.address,
    publicKey: brought.publicKey,
    userId: brought.said.userId,
    state: 'PENDING',
    grantedMs,
    createMs: nowMs,
  })
  record(tx, brought, 'delegated_access.imported', access, nowMs)
  if (isOver) return { access: end(tx, brought, access, nowMs), isNew: true }
  deleteImportedSecrets(tx, accessId)
  if (opened.kind === 'own') {
    activateShare(tx, { share: opened.share, linkId: opened.linkId, state: 'FORKED', timeMs: nowMs })
  } else {
    putImportedSecret(tx, opened.share)
  }
  putImportedSecret(tx, opened.apiKey)
  return { access, isNew: true }
}

const end = (tx: Tx, bringer: Bringer, { accessId }: ImportedAccess, nowMs: number): ImportedAccess => {
  const access = setImportedState(tx, accessId, 'REVOKED', nowMs)
  deleteShares(tx, accessId, nowMs)
  deleteImportedSecrets(tx, accessId)
  record(tx, bringer, 'delegated_access.ended', access, nowMs)
  return access
}

export type TakenBack = Bringer & {
  readonly project: ProjectId
  readonly accessId: Uint8Array
  /** When, as the sender says. */
  readonly eventMs: number
  readonly eventId?: string | undefined
}

/**
 * The share and the wallet API key are gone, and nothing is released that was signed with them, when this resolves; what
 * comes later under the id is taken in as revoked.
 */
export const takeBack = async (needs: TakeNeeds, back: TakenBack): Promise<void> => {
  const { vault, fences } = needs
  const fence = { scope: 'wallet', id: walletIdFromBytes(back.accessId) } as const
  const change = (isFenced: boolean) => vault.commit((tx) => forget(needs, tx, back, isFenced))
  // Whoever names a wallet of somebody else's stops nothing: a fence rises for what there is to end alone.
  const first = endable(needs, vault.read, back) === undefined ? await change(false) : 'unfenced'
  const outcome = first === 'unfenced' ? await fences.during(fence, () => change(true)) : first
  if (outcome !== 'ended') return
  needs.ended(back.accessId)
  vault.eraseDeleted()
}

/** The access that it ends, if there is one, and the sender may. */
const endable = (needs: TakeNeeds, reader: Reader, back: TakenBack): ImportedAccess | undefined => {
  const { project, accessId, eventMs } = back
  const access = getImportedAccess(reader, accessId)
  if (access?.project !== project || access.state === 'REVOKED' || !mayConcern(needs, back, access.grantingId)) return undefined
  return access.grantingId === undefined && access.grantedMs > eventMs ? undefined : access
}

/** `unfenced`: there is something to end that came just now, and nothing was done. */
const forget = (needs: TakeNeeds, tx: Tx, back: TakenBack, isFenced: boolean): 'ended' | 'nothing' | 'unfenced' => {
  const { project, accessId, eventMs, eventId, sender } = back
  const access = endable(needs, tx, back)
  if (access !== undefined && !isFenced) return 'unfenced'
  const nowMs = Math.trunc(needs.clock.nowMs())
  if (eventId !== undefined && !takeEvent(tx, project, eventId, nowMs)) return 'nothing'
  noteRevocation(tx, { project, accessId, from: sender === undefined ? access?.grantingId : sender.from }, eventMs)
  if (access === undefined) return 'nothing'
  end(tx, back, access, nowMs)
  return 'ended'
}

const record = (tx: Tx, { actor, method, requestId }: Bringer, kind: string, access: ImportedAccess, timeMs: number): void => {
  appendAudit(tx, {
    timeMs,
    kind,
    project: access.project,
    actor,
    subject: { type: 'delegated_access', id: accessIdFromBytes(access.accessId) },
    method,
    requestId,
    decision: 'allow',
    details: {
      address: access.address,
      ...(access.grantingId === undefined ? { foreign: true } : { grantedBy: Buffer.from(access.grantingId).toString('hex') }),
    },
  })
}
