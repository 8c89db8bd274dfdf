/** Between the engine's wallet record and the sealed row, in the thread that holds shares and nowhere else. */
import { failure } from '../domain/failure.ts'
import { damagedRecord, ProtocolFault } from '../engine/dkls23/fault.ts'
import {
  decodeWalletRecord,
  encodeWalletRecord,
  WALLET_RECORD_AAD_BYTES,
  type WalletRecord,
  type WalletState,
} from '../engine/dkls23/records.ts'
import { openShare, type SealedShare, sealShare } from '../vault/sealed-record.ts'
import type { StoredShare } from '../vault/wallet-shares.ts'

/**
 * The key that seals shares, or a ring of them, newest first, and the vault it belongs to. Takes the key over and
 * overwrites it.
 */
export class ShareSeal {
  readonly vaultId: Uint8Array
  #shareKey: Uint8Array
  #isClosed = false

  constructor(shareKey: Uint8Array, vaultId: Uint8Array) {
    this.#shareKey = shareKey
    this.vaultId = vaultId
  }

  /** A closed seal seals nothing, and says of no record that it does not open. @throws SHUTTING_DOWN */
  get shareKey(): Uint8Array {
    if (this.#isClosed) throw failure('SHUTTING_DOWN', {})
    return this.#shareKey
  }

  /** After the vault's root was rotated. */
  renew(shareKey: Uint8Array): void {
    this.#shareKey.fill(0)
    this.#shareKey = shareKey
    if (this.#isClosed) shareKey.fill(0)
  }

  close(): void {
    this.#isClosed = true
    this.#shareKey.fill(0)
  }
}

/** Seals a record for `recordVersion` of its wallet. The caller still owns, and wipes, the share in `record`. */
export const sealRecord = (seal: ShareSeal, record: WalletRecord, recordVersion: bigint): SealedShare => {
  const bytes = encodeWalletRecord(record)
  try {
    const header = bytes.slice(0, WALLET_RECORD_AAD_BYTES)
    const { walletId, wEpoch } = record
    return sealShare(seal.shareKey, { vaultId: seal.vaultId, walletId, wEpoch, recordVersion, header }, bytes)
  } finally {
    bytes.fill(0)
  }
}

/** The outer state may stop a wallet without resealing it; it never makes one ACTIVE that the record says is not. */
const stateOf = (inner: WalletState, outer: WalletState): WalletState => (inner === 'ACTIVE' ? outer : inner)

/**
 * Opens a stored row and verifies what is inside. The caller wipes the share.
 * @throws ProtocolFault class B (quarantine): the row was altered or swapped, or the record does not verify.
 */
export const openRecord = (seal: ShareSeal, stored: StoredShare): WalletRecord => {
  const { shareKey, vaultId } = seal
  let bytes: Uint8Array
  try {
    bytes = openShare(shareKey, vaultId, stored)
  } catch {
    throw damagedRecord('the sealed record does not open')
  }
  try {
    const record = decodeWalletRecord(bytes)
    if (Buffer.compare(record.walletId, stored.walletId) !== 0 || record.wEpoch !== stored.wEpoch) {
      record.share.fill(0)
      throw damagedRecord('the record is of another wallet')
    }
    return { ...record, state: stateOf(record.state, stored.state) }
  } catch (error) {
    throw error instanceof ProtocolFault ? error : failure('VAULT_CORRUPT', { where: 'wallet_shares.record' })
  } finally {
    bytes.fill(0)
  }
}

/** As `openRecord`; a wallet whose row is damaged is stopped, durably, before the caller hears of it. */
export const openOrQuarantine = async (
  seal: ShareSeal,
  stored: StoredShare,
  stop: (state: 'QUARANTINED', why: string) => Promise<unknown>,
): Promise<WalletRecord> => {
  try {
    return openRecord(seal, stored)
  } catch (error) {
    if (error instanceof ProtocolFault) await stop('QUARANTINED', 'its record does not open or verify')
    throw error
  }
}
