import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import type { KeptSecrets } from './vault-secrets.ts'

/**
 * RSA keys that delegated access is sealed to, when it comes to this daemon. The newest that is not retired is the one to
 * register with who delegates; a retired one opens what is still under way, until it is deleted.
 */
export type OwnDelegateKey = {
  readonly kid: string
  /** SPKI, DER. */
  readonly publicKey: Uint8Array
  readonly bits: number
  readonly state: 'ACTIVE' | 'RETIRED'
  readonly createMs: number
  /** When it was retired; undefined while it is not. */
  readonly retireMs: number | undefined
}

type Row = {
  number: bigint
  kid: string
  public_key: Buffer
  state: string
  create_ms: bigint
  retire_ms: bigint
  mac: Buffer
}

const macItems = (row: Omit<Row, 'mac' | 'number'>) => [
  row.kid, row.public_key, row.state, u64(row.create_ms), u64(row.retire_ms),
]

const bitsOf = (publicKey: Buffer): number =>
  createPublicKey({ key: publicKey, format: 'der', type: 'spki' }).asymmetricKeyDetails?.modulusLength ?? 0

const toKey = (reader: Reader, row: Row): OwnDelegateKey => {
  requireRowMac(reader, 'own_delegate_keys', macItems(row), row.mac)
  return {
    kid: row.kid,
    publicKey: row.public_key,
    bits: bitsOf(row.public_key),
    state: row.state as OwnDelegateKey['state'],
    createMs: Number(row.create_ms),
    retireMs: row.retire_ms === 0n ? undefined : Number(row.retire_ms),
  }
}

/** Every one of them is tried where an envelope does not name its key. */
const OWN_DELEGATE_KEYS_MAX = 16

/** The newest first. */
export const listOwnDelegateKeys = (reader: Reader): OwnDelegateKey[] =>
  reader.all<Row>('SELECT * FROM own_delegate_keys ORDER BY number DESC').map((row) => toKey(reader, row))

const findRow = (reader: Reader, kid: string): Row | undefined =>
  reader.one<Row>('SELECT * FROM own_delegate_keys WHERE kid = ?', kid)

/** Refuses with DELEGATE_KEY_NOT_FOUND. */
const requireOwnDelegateKey = (reader: Reader, kid: string): OwnDelegateKey => {
  const row = findRow(reader, kid)
  if (row === undefined) throw failure('DELEGATE_KEY_NOT_FOUND', { kid })
  return toKey(reader, row)
}

const secretName = (kid: string): string => `delegate-key:${kid}`

/** A key's own name: the same key has the same wherever it is registered. */
export const kidOf = (publicKey: Uint8Array): string => `csdk_${hash('sha256', publicKey, 'base64url').slice(0, 22)}`

/**
 * Takes a key in; `pkcs8` stays the caller's, who wipes it. One that is there already is answered as it is.
 * Refuses with LIMIT_EXCEEDED more than OWN_DELEGATE_KEYS_MAX.
 */
export const insertOwnDelegateKey = (
  tx: Tx,
  secrets: KeptSecrets,
  fresh: { readonly publicKey: Uint8Array; readonly pkcs8: Uint8Array; readonly kid: string; readonly nowMs: number },
): OwnDelegateKey => {
  const known = findRow(tx, fresh.kid)
  if (known !== undefined) return toKey(tx, known)
  const seen = listOwnDelegateKeys(tx).length + 1
  if (seen > OWN_DELEGATE_KEYS_MAX) {
    throw failure('LIMIT_EXCEEDED', { limit: 'delegate keys', seen: String(seen), allowed: String(OWN_DELEGATE_KEYS_MAX) })
  }
  const row = {
    kid: fresh.kid,
    public_key: Buffer.from(fresh.publicKey),
    state: 'ACTIVE',
    create_ms: BigInt(fresh.nowMs),
    retire_ms: 0n,
  }
  tx.run(
    'INSERT INTO own_delegate_keys (kid, public_key, state, create_ms, retire_ms, mac) VALUES (?, ?, ?, ?, ?, ?)',
    row.kid, row.public_key, row.state, row.create_ms, row.retire_ms, rowMac(tx, 'own_delegate_keys', macItems(row)),
  )
  secrets.write(tx, secretName(fresh.kid), fresh.pkcs8)
  return requireOwnDelegateKey(tx, fresh.kid)
}

/** It still opens what comes. */
export const retireOwnDelegateKey = (tx: Tx, kid: string, nowMs: number): OwnDelegateKey => {
  const row = findRow(tx, kid)
  if (row === undefined) throw failure('DELEGATE_KEY_NOT_FOUND', { kid })
  if (toKey(tx, row).state === 'RETIRED') return toKey(tx, row)
  const next = { ...row, state: 'RETIRED', retire_ms: BigInt(nowMs) }
  const mac = rowMac(tx, 'own_delegate_keys', macItems(next))
  tx.run('UPDATE own_delegate_keys SET state = ?, retire_ms = ?, mac = ? WHERE kid = ?', next.state, next.retire_ms, mac, kid)
  return requireOwnDelegateKey(tx, kid)
}

/** Erasure is complete after `DaemonVault.eraseDeleted`. */
export const deleteOwnDelegateKey = (tx: Tx, secrets: KeptSecrets, kid: string): OwnDelegateKey => {
  const key = requireOwnDelegateKey(tx, kid)
  secrets.remove(tx, secretName(kid))
  tx.run('DELETE FROM own_delegate_keys WHERE kid = ?', kid)
  return key
}

/** The private key's PKCS #8, which the caller wipes. VAULT_CORRUPT when it is not there. */
export const openOwnDelegateKey = (secrets: KeptSecrets, kid: string): Uint8Array => {
  const pkcs8 = secrets.read(secretName(kid))
  if (pkcs8 === undefined) throw failure('VAULT_CORRUPT', { where: 'own_delegate_keys' })
  return pkcs8
}

/** The private key as node:crypto takes it. */
export const readRsaKey = (pkcs8: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length), format: 'der', type: 'pkcs8' })
