/**
 * Two vaults that were just restored, side by side, before either party runs: the only time both are open in one
 * process but for the operator's relink.
 */
import { walletIdFromBytes } from '../domain/ids.ts'
import { failure } from '../domain/failure.ts'
import { decodeLinkRecord, encodeLinkRecord } from '../engine/dkls23/records.ts'
import { auditHead } from '../vault/audit-chain.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { listLinks, saveLink } from '../vault/links.ts'
import type { PartyStanding } from '../vault/audit-signer.ts'
import { rememberPeerHead, replacePeerHead } from '../vault/peer-heads.ts'
import { getSetting, putSetting } from '../vault/settings.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { dropPendingShare, getShare, listPendingShares, listShareEpochs, setShareState } from '../vault/wallet-shares.ts'
import { hexOf } from './presignature-map.ts'
import { PEER_SETTING } from './open-parties.ts'
import { partyIdOf } from './party-id.ts'
import { suspendWallet } from './signer-host.ts'

export type RestoredVaults = { readonly daemon: DaemonVault; readonly cosigner: CosignerVault }
/** A wallet whose two shares do not fit, and why. */
export type StoppedWallet = { readonly walletId: string; readonly why: string }

/** Refuses with BACKUP_MISMATCH vaults of two parties that do not know each other. */
export const requirePair = ({ daemon, cosigner }: RestoredVaults): void => {
  const knows = (reader: Reader, id: Uint8Array): boolean => {
    const known = getSetting(reader, PEER_SETTING)?.value
    return known === undefined || hexOf(known) === hexOf(id)
  }
  const idC = partyIdOf(daemon.signer.publicKey)
  const idS = partyIdOf(cosigner.signer.publicKey)
  if (knows(daemon.read, idS) && knows(cosigner.read, idC)) return
  throw failure('BACKUP_MISMATCH', { why: 'the two vaults belong to different parties' })
}

/**
 * A link's epochs are never used twice: what was used after the backup is unknown, and fewer than this can have been
 * (one a day, and one for every 65 536 presignatures). A grant to set a burned link up again was for that time: it may
 * be used up, and is gone.
 */
const EPOCHS_SKIPPED = 1_000_000

const skipEpochs = (tx: Tx, nowMs: number): void => moveEpochs(tx, (lEpoch) => lEpoch + EPOCHS_SKIPPED, nowMs)

const moveEpochs = (tx: Tx, next: (lEpoch: number) => number, nowMs: number): void => {
  for (const { control } of listLinks(tx)) {
    const record = decodeLinkRecord(control)
    saveLink(tx, encodeLinkRecord({ ...record, lEpoch: next(record.lEpoch), relinkGrant: 0 }), nowMs)
  }
}

/** Every epoch of this vault's links is at most this. */
export const highestLinkEpoch = (reader: Reader): number =>
  Math.max(0, ...listLinks(reader).map(({ control }) => decodeLinkRecord(control).lEpoch))

/** Undecided records: the daemon's decide nothing and fall; the cosigner's stay and are asked about at the next start. */
const dropUndecided = (tx: Tx, nowMs: number): void => {
  for (const { walletId } of listPendingShares(tx)) dropPendingShare(tx, walletId, nowMs)
}

/** Why the wallet's shares do not fit; undefined when they do, or will once the cosigner has asked. */
const misfit = (walletId: Uint8Array, wEpoch: number, cosigner: Reader): string | undefined => {
  const theirs = getShare(cosigner, walletId)
  const pending = getShare(cosigner, walletId, 'pending')
  if (theirs?.wEpoch === wEpoch || pending?.wEpoch === wEpoch) return undefined
  if (theirs === undefined) return 'the cosigner has no share of it'
  return `its shares are of different refreshes: ${wEpoch} at the daemon, ${theirs.wEpoch} at the cosigner`
}

/** Wallets whose shares were not refreshed together: stopped on both sides, never repaired. */
const stopMisfits = ({ daemon, cosigner }: RestoredVaults, nowMs: number): StoppedWallet[] => {
  const misfits = listShareEpochs(daemon.read).flatMap(({ walletId, wEpoch }) => {
    const why = misfit(walletId, wEpoch, cosigner.read)
    return why === undefined ? [] : [{ walletId, why }]
  })
  for (const { walletId, why } of misfits) {
    cosigner.commitNow((tx) => setShareState(tx, walletId, 'SUSPENDED', nowMs))
    daemon.commitNow((tx) => suspendWallet(tx, walletId, 'SUSPENDED', why, nowMs))
  }
  return misfits.map(({ walletId, why }) => ({ walletId: walletIdFromBytes(walletId), why }))
}

/** One of the two, whose peer is on another host: what it can do by itself before they are settled with each other. */
export const prepareRestored = (tx: Tx, nowMs: number): void => {
  if (tx.kind === 'daemon') dropUndecided(tx, nowMs)
  skipEpochs(tx, nowMs)
}

const SETTLED = 'settled-restore:'

/**
 * What the peer says of itself after one of the two was restored: it is remembered as it is now, and no link of this vault
 * uses an epoch again that the peer may have used. Wallets whose shares do not fit are stopped when the two are joined.
 * Each restore of the peer's is taken in once: refuses with VAULT_ROLLED_BACK an older state than is remembered under a
 * restore that was settled before, which is what an old text, or an old copy behind it, says.
 */
export const settleWithPeer = (
  tx: Tx,
  peerId: Uint8Array,
  { head, lEpoch, restoreId }: Omit<PartyStanding, 'role'>,
  nowMs: number,
): void => {
  const name = `${SETTLED}${hexOf(restoreId)}`
  const isNew = restoreId.some((byte) => byte !== 0) && getSetting(tx, name) === undefined
  if (isNew) {
    putSetting(tx, name, peerId, nowMs)
    replacePeerHead(tx, peerId, head, nowMs)
  } else rememberPeerHead(tx, peerId, head, nowMs)
  moveEpochs(tx, (own) => Math.max(own, lEpoch), nowMs)
}

/**
 * Makes the two fit to meet again: link epochs that were never used, nothing undecided at the daemon, wallets that no
 * longer fit stopped, and each remembering the other as it is now. Only these two files, in this state or later, will
 * accept each other: one of them with the other's older or newer copy is a rollback as ever.
 */
export const settleRestored = (vaults: RestoredVaults, nowMs: number): StoppedWallet[] => {
  const { daemon, cosigner } = vaults
  daemon.commitNow((tx) => {
    dropUndecided(tx, nowMs)
    skipEpochs(tx, nowMs)
  })
  cosigner.commitNow((tx) => skipEpochs(tx, nowMs))
  const stopped = stopMisfits(vaults, nowMs)
  daemon.commitNow((tx) => rememberPeerHead(tx, partyIdOf(cosigner.signer.publicKey), auditHead(cosigner.read), nowMs))
  cosigner.commitNow((tx) => rememberPeerHead(tx, partyIdOf(daemon.signer.publicKey), auditHead(daemon.read), nowMs))
  return stopped
}
