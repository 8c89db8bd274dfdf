import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { assert } from '../domain/failure.ts'
import type { AuditHead } from './audit-chain.ts'
import { encodeTagged, u32, u64 } from './tagged-encoding.ts'

/**
 * Ed25519 (RFC 8032) signatures of the vault's audit key. The signed bytes are encodeTagged (tagged-encoding.ts)
 * of
 *
 *   receipt:    "countersign/receipt/v1",    [vaultId 16, sequence u64, hash 32]
 *   checkpoint: "countersign/checkpoint/v1", [vaultId 16, sequence u64, hash 32, time u64 ms]
 *   channel:    "countersign/party-certificate/v1", [public key 32, role, SHA-256 of the certificate 32]
 *   standing:   "countersign/party-standing/v1", [public key 32, role, restore id 16, sequence u64, hash 32, link epoch u32]
 *
 * A receipt says: this row is in my chain. A checkpoint says: at this time it was the last one. The key id is the
 * first 8 bytes of SHA-256(public key), in hex.
 */
export type Checkpoint = AuditHead & {
  readonly timeMs: number
  readonly signature: Uint8Array
  readonly keyId: string
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

export type PartyStanding = {
  readonly role: string
  /** 16 bytes; zeros where it was never restored. */
  readonly restoreId: Uint8Array
  readonly head: AuditHead
  /** Every epoch of its links is at most this. */
  readonly lEpoch: number
}

export type AuditSigner = {
  readonly keyId: string
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** 64 bytes. */
  readonly signReceipt: (head: AuditHead) => Uint8Array
  /** The same in a thread of the pool, while this one does something else; begun at once. */
  readonly signReceiptAside: (head: AuditHead) => Promise<Uint8Array>
  /**
   * Of a statement that vouches for an import key, says whose a wallet is (docs/protocol.md, section 14), or proves this
   * party to a delegate or granting daemon; no other.
   */
  readonly signStatement: (statement: Uint8Array) => Uint8Array
  /** That this certificate (SHA-256 of its DER) is this party's on the channel to its peer. */
  readonly signPartyCertificate: (role: string, digest: Uint8Array) => Uint8Array
  /** Where this party stands, for its peer to settle with after a restore. */
  readonly signStanding: (standing: PartyStanding) => Uint8Array
  readonly signCheckpoint: (head: AuditHead, timeMs: number) => Checkpoint
}

/** How statements begin: the length of their type, and it. Receipts and checkpoints begin otherwise. */
const STATEMENT_HEADS = ['countersign/import-key/v1', 'countersign/wallet-owner/v1', 'countersign/cosign/v1'].map((type) =>
  Buffer.from(`${String.fromCharCode(type.length)}${type}`, 'latin1'),
)

/** PKCS #8 of a new key, for sealing; the caller wipes it. */
export const generateAuditKey = (): Uint8Array =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' })

/** Takes PKCS #8 bytes, which the caller may wipe afterwards. */
export const createAuditSigner = (vaultId: Uint8Array, pkcs8: Uint8Array): AuditSigner => {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), type: 'pkcs8', format: 'der' })
  const publicKey = rawPublicKey(createPublicKey(key))
  const keyId = auditKeyId(publicKey)
  return {
    keyId,
    publicKey,
    signStatement: (statement) => {
      const isOne = STATEMENT_HEADS.some((head) => head.equals(statement.subarray(0, head.length)))
      assert(isOne, 'a statement about an import key, an owner or a delegated access')
      return sign(null, statement, key)
    },
    signPartyCertificate: (role, digest) => sign(null, certificateBytes(publicKey, role, digest), key),
    signStanding: (standing) => sign(null, standingBytes(publicKey, standing), key),
    signReceipt: (head) => sign(null, receiptBytes(vaultId, head), key),
    signReceiptAside: (head) =>
      new Promise((resolve, reject) => {
        sign(null, receiptBytes(vaultId, head), key, (error, signature) => {
          if (error === null) resolve(signature)
          else reject(error)
        })
      }),
    signCheckpoint: (head, timeMs) => ({
      sequence: head.sequence,
      hash: head.hash,
      timeMs,
      signature: sign(null, checkpointBytes(vaultId, head, timeMs), key),
      keyId,
      publicKey,
    }),
  }
}

const auditKeyId = (publicKey: Uint8Array): string =>
  createHash('sha256').update(publicKey).digest('hex').slice(0, 16)

/** Whether `publicKey` (32 bytes, from a source the caller trusts) signed this receipt for this vault. */
export const verifyReceipt = (
  publicKey: Uint8Array,
  vaultId: Uint8Array,
  head: AuditHead,
  signature: Uint8Array,
): boolean => verify(null, receiptBytes(vaultId, head), publicKeyObject(publicKey), signature)

/** As `verifyReceipt`; the key inside the checkpoint is not trusted by itself. */
export const verifyCheckpoint = (publicKey: Uint8Array, vaultId: Uint8Array, checkpoint: Checkpoint): boolean =>
  verify(
    null,
    checkpointBytes(vaultId, checkpoint, checkpoint.timeMs),
    publicKeyObject(publicKey),
    checkpoint.signature,
  )

const receiptBytes = (vaultId: Uint8Array, head: AuditHead): Buffer =>
  encodeTagged('countersign/receipt/v1', [vaultId, u64(head.sequence), head.hash])

const checkpointBytes = (vaultId: Uint8Array, head: AuditHead, timeMs: number): Buffer =>
  encodeTagged('countersign/checkpoint/v1', [vaultId, u64(head.sequence), head.hash, u64(timeMs)])

/** Whether `publicKey` signed that this certificate is its party's. */
export const verifyPartyCertificate = (
  publicKey: Uint8Array,
  role: string,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean => verify(null, certificateBytes(publicKey, role, digest), publicKeyObject(publicKey), signature)

/** Whether `publicKey` signed that its party stands there. */
export const verifyStanding = (publicKey: Uint8Array, standing: PartyStanding, signature: Uint8Array): boolean =>
  verify(null, standingBytes(publicKey, standing), publicKeyObject(publicKey), signature)

const standingBytes = (publicKey: Uint8Array, { role, restoreId, head, lEpoch }: PartyStanding): Buffer =>
  encodeTagged('countersign/party-standing/v1', [publicKey, role, restoreId, u64(head.sequence), head.hash, u32(lEpoch)])

const certificateBytes = (publicKey: Uint8Array, role: string, digest: Uint8Array): Buffer =>
  encodeTagged('countersign/party-certificate/v1', [publicKey, role, digest])

/** SubjectPublicKeyInfo of Ed25519 is this prefix and the 32 key bytes (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

const rawPublicKey = (key: KeyObject): Uint8Array =>
  Uint8Array.from(key.export({ type: 'spki', format: 'der' }).subarray(SPKI_PREFIX.length))

const publicKeyObject = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), type: 'spki', format: 'der' })
