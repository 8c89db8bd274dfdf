/**
 * Delegates as the cosigner's operator registered them: whom a share may be sealed to on the operator's approval. Nothing
 * that the daemon says changes it. Rows are under MACs and in the state index.
 */
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

export type KnownDelegate = {
  /** The hash of the identity key, 32 bytes. */
  readonly partyId: Uint8Array
  /** Ed25519, 32 bytes. */
  readonly identityKey: Uint8Array
  readonly name: string
  /** What is sealed to: RSA, the DER of its SubjectPublicKeyInfo. */
  readonly rsaKey: Uint8Array
  readonly createMs: number
}

type Row = { party_id: Buffer; identity_key: Buffer; name: string; rsa_key: Buffer; create_ms: bigint; mac: Buffer }

const itemsOf = (row: Omit<Row, 'mac'>) => [row.party_id, row.identity_key, row.name, row.rsa_key, u64(row.create_ms)]
const leafOf = (reader: Reader, { party_id, mac }: Pick<Row, 'party_id' | 'mac'>) =>
  rowLeaf(reader, 'known_delegates', [party_id, mac])

const toDelegate = (reader: Reader, row: Row): KnownDelegate => {
  requireRowMac(reader, 'known_delegates', itemsOf(row), row.mac)
  const { party_id: partyId, identity_key: identityKey, name, rsa_key: rsaKey, create_ms: createMs } = row
  return { partyId, identityKey, name, rsaKey, createMs: Number(createMs) }
}

const READ = 'SELECT * FROM known_delegates WHERE party_id = ?'

export const getKnownDelegate = (reader: Reader, partyId: Uint8Array): KnownDelegate | undefined => {
  const row = reader.one<Row>(READ, partyId)
  return row && toDelegate(reader, row)
}

export const listKnownDelegates = (reader: Reader): KnownDelegate[] =>
  reader.all<Row>('SELECT * FROM known_delegates ORDER BY name, party_id').map((row) => toDelegate(reader, row))

/** Registers a delegate, or gives one that is registered another name and key. */
export const putKnownDelegate = (tx: Tx, delegate: KnownDelegate): void => {
  const before = tx.one<Row>(READ, delegate.partyId)
  const row = {
    party_id: Buffer.from(delegate.partyId),
    identity_key: Buffer.from(delegate.identityKey),
    name: delegate.name,
    rsa_key: Buffer.from(delegate.rsaKey),
    create_ms: BigInt(delegate.createMs),
  }
  const mac = rowMac(tx, 'known_delegates', itemsOf(row))
  tx.run(
    'INSERT OR REPLACE INTO known_delegates (party_id, identity_key, name, rsa_key, create_ms, mac) VALUES (?, ?, ?, ?, ?, ?)',
    row.party_id, row.identity_key, row.name, row.rsa_key, row.create_ms, mac,
  )
  const removed = before === undefined ? [] : [leafOf(tx, before)]
  moved(tx, row.party_id, { removed, added: [leafOf(tx, { ...row, mac })] }, 'REGISTERED', delegate.createMs)
}

/** Answers whether it was there. */
export const deleteKnownDelegate = (tx: Tx, partyId: Uint8Array, timeMs: number): boolean => {
  const before = tx.one<Row>(READ, partyId)
  if (before === undefined) return false
  tx.run('DELETE FROM known_delegates WHERE party_id = ?', partyId)
  moved(tx, before.party_id, { removed: [leafOf(tx, before)], added: [] }, 'REMOVED', timeMs)
  return true
}

type Leaves = { readonly removed: readonly Buffer[]; readonly added: readonly Buffer[] }

const moved = (tx: Tx, partyId: Buffer, leaves: Leaves, state: string, timeMs: number): void =>
  moveStateIndex(tx, { timeMs, subject: { type: 'delegate', id: partyId.toString('hex') }, ...leaves, details: { state } })
