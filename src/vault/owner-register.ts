/**
 * Whose an end user's wallet is and which wallet secrets speak for that user, as the cosigner knows it by itself. The
 * daemon adds nothing to it: the first secret comes with the user's first wallet, before an address exists, every later
 * one under the signature of one that is there or by the cosigner's operator. Rows are under MACs and the state index.
 */
import { walletIdFromBytes } from '../domain/ids.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'

export type Owner = { readonly project: string; readonly userId: string }
export type WalletOwner = Owner & { readonly walletId: Uint8Array; readonly createMs: number }

/** Owns what is a project's own: no user has this name, and no secret is bound for it. */
export const NOBODY = ''

/** How a secret came into the register. */
export type BoundBy = 'first_wallet' | 'wallet_secret' | 'operator' | 'restore'
export type OwnerSecret = Owner & {
  /** SHA-256 of `publicKey`. */
  readonly secretId: Uint8Array
  /** SubjectPublicKeyInfo, DER, of a key on P-256. */
  readonly publicKey: Uint8Array
  readonly boundBy: BoundBy
  readonly bindMs: number
}

/** A further one is refused; none gives way. */
export const OWNER_SECRETS_MAX = 5

type OwnerRow = { wallet_id: Buffer; project: string; user_id: string; create_ms: bigint; mac: Buffer }
type SecretRow = {
  project: string
  user_id: string
  secret_id: Buffer
  public_key: Buffer
  bound_by: string
  bind_ms: bigint
  mac: Buffer
}

const ownerItems = (row: Omit<OwnerRow, 'mac'>) => [row.wallet_id, row.project, row.user_id, u64(row.create_ms)]
const secretItems = (row: Omit<SecretRow, 'mac'>) => [
  row.project, row.user_id, row.secret_id, row.public_key, row.bound_by, u64(row.bind_ms),
]

/** With whose it is, because that is looked for without reading the row. */
const leafOfOwner = (reader: Reader, row: OwnerRow) =>
  rowLeaf(reader, 'wallet_owners', [row.wallet_id, row.project, row.user_id, row.mac])

const toSecret = (reader: Reader, row: SecretRow): OwnerSecret => {
  requireRowMac(reader, 'owner_secrets', secretItems(row), row.mac)
  const { project, user_id: userId, secret_id: secretId, public_key: publicKey } = row
  return { project, userId, secretId, publicKey, boundBy: row.bound_by as BoundBy, bindMs: Number(row.bind_ms) }
}

/** Every signature asks. */
const OWNERS = new VerifiedRows<WalletOwner>('wallet_owners')
const MAC_OF_OWNER = 'SELECT mac FROM wallet_owners WHERE wallet_id = ?'

export const getWalletOwner = (reader: Reader, walletId: Uint8Array): WalletOwner | undefined => {
  const id = walletIdFromBytes(walletId)
  const known = OWNERS.find(reader, id, () => reader.one<{ mac: Buffer }>(MAC_OF_OWNER, walletId)?.mac)
  if (known !== undefined) return known
  const row = reader.one<OwnerRow>('SELECT * FROM wallet_owners WHERE wallet_id = ?', walletId)
  if (row === undefined) return undefined
  requireRowMac(reader, 'wallet_owners', ownerItems(row), row.mac)
  const owner = { walletId: row.wallet_id, project: row.project, userId: row.user_id, createMs: Number(row.create_ms) }
  return OWNERS.keep(reader, id, row.mac, owner)
}

/** Whether the user has a wallet, or ever had one, besides the one named. */
export const ownsWallets = (reader: Reader, { project, userId }: Owner, besides: Uint8Array = NO_WALLET): boolean => {
  const sql = 'SELECT 1 AS found FROM wallet_owners WHERE project = ? AND user_id = ? AND wallet_id <> ? LIMIT 1'
  return reader.one(sql, project, userId, besides) !== undefined
}

const NO_WALLET = new Uint8Array(0)

export const insertWalletOwner = (tx: Tx, owner: WalletOwner): void => {
  const row = {
    wallet_id: Buffer.from(owner.walletId),
    project: owner.project,
    user_id: owner.userId,
    create_ms: BigInt(owner.createMs),
  }
  const mac = rowMac(tx, 'wallet_owners', ownerItems(row))
  const insert = 'INSERT INTO wallet_owners (wallet_id, project, user_id, create_ms, mac) VALUES (?, ?, ?, ?, ?)'
  tx.run(insert, row.wallet_id, row.project, row.user_id, row.create_ms, mac)
  moveStateIndex(tx, {
    timeMs: owner.createMs,
    subject: { type: 'wallet', id: walletIdFromBytes(owner.walletId) },
    removed: [],
    added: [leafOfOwner(tx, { ...row, mac })],
    details: { owner: 'CLAIMED' },
  })
}

export const listOwnerSecrets = (reader: Reader, { project, userId }: Owner): OwnerSecret[] =>
  reader
    .all<SecretRow>('SELECT * FROM owner_secrets WHERE project = ? AND user_id = ? ORDER BY bind_ms', project, userId)
    .map((row) => toSecret(reader, row))

export const getOwnerSecret = (
  reader: Reader,
  { project, userId }: Owner,
  secretId: Uint8Array,
): OwnerSecret | undefined => {
  const sql = 'SELECT * FROM owner_secrets WHERE project = ? AND user_id = ? AND secret_id = ?'
  const row = reader.one<SecretRow>(sql, project, userId, secretId)
  return row && toSecret(reader, row)
}

const leafOfSecret = (reader: Reader, row: SecretRow) =>
  rowLeaf(reader, 'owner_secrets', [row.project, row.user_id, row.secret_id, row.mac])

/** The caller has looked that there is room and that it is not there yet. */
export const insertOwnerSecret = (tx: Tx, secret: OwnerSecret): void => {
  const row = {
    project: secret.project,
    user_id: secret.userId,
    secret_id: Buffer.from(secret.secretId),
    public_key: Buffer.from(secret.publicKey),
    bound_by: secret.boundBy,
    bind_ms: BigInt(secret.bindMs),
  }
  const mac = rowMac(tx, 'owner_secrets', secretItems(row))
  tx.run(
    `INSERT INTO owner_secrets (project, user_id, secret_id, public_key, bound_by, bind_ms, mac)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    row.project, row.user_id, row.secret_id, row.public_key, row.bound_by, row.bind_ms, mac,
  )
  moveStateIndex(tx, {
    timeMs: secret.bindMs,
    subject: { type: 'vault', id: row.secret_id.toString('hex') },
    removed: [],
    added: [leafOfSecret(tx, { ...row, mac })],
    details: { walletSecret: 'BOUND' },
  })
}

/** Answers whether it was there. */
export const deleteOwnerSecret = (tx: Tx, { project, userId }: Owner, secretId: Uint8Array, timeMs: number): boolean => {
  const sql = 'SELECT * FROM owner_secrets WHERE project = ? AND user_id = ? AND secret_id = ?'
  const row = tx.one<SecretRow>(sql, project, userId, secretId)
  if (row === undefined) return false
  tx.run('DELETE FROM owner_secrets WHERE project = ? AND user_id = ? AND secret_id = ?', project, userId, secretId)
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'vault', id: row.secret_id.toString('hex') },
    removed: [leafOfSecret(tx, row)],
    added: [],
    details: { walletSecret: 'REMOVED' },
  })
  return true
}

/**
 * After a restore: every secret is as if it had been bound now, so that whoever took one out since has the time to do it
 * again before it exports. Answers how many.
 */
export const rebindOwnerSecrets = (tx: Tx, timeMs: number): number => {
  const secrets = tx.all<SecretRow>('SELECT * FROM owner_secrets').map((row) => toSecret(tx, row))
  for (const secret of secrets) {
    deleteOwnerSecret(tx, secret, secret.secretId, timeMs)
    insertOwnerSecret(tx, { ...secret, boundBy: 'restore', bindMs: timeMs })
  }
  return secrets.length
}

/**
 * The wallet never came to be, so its owner has it not. The secrets that came with the user's only wallet go too: the
 * next wallet is the first again.
 */
export const forgetWalletOwner = (tx: Tx, walletId: Uint8Array, timeMs: number): void => {
  const row = tx.one<OwnerRow>('SELECT * FROM wallet_owners WHERE wallet_id = ?', walletId)
  if (row === undefined) return
  tx.run('DELETE FROM wallet_owners WHERE wallet_id = ?', walletId)
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'wallet', id: walletIdFromBytes(walletId) },
    removed: [leafOfOwner(tx, row)],
    added: [],
    details: { owner: 'FORGOTTEN' },
  })
  const owner = { project: row.project, userId: row.user_id }
  if (ownsWallets(tx, owner)) return
  for (const { secretId, boundBy } of listOwnerSecrets(tx, owner)) {
    if (boundBy === 'first_wallet') deleteOwnerSecret(tx, owner, secretId, timeMs)
  }
}
