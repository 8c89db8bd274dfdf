import { failure } from '../domain/failure.ts'
import { addressKeyOf, walletIdFromBytes, walletIdToBytes } from '../domain/ids.ts'
import type { ProjectId, UserId, WalletId } from '../domain/ids.ts'
import { allOf, type Conditions } from './conditions.ts'
import { insertInto } from './insert-into.ts'
import { requireProject } from './projects.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { etagOf } from './settings.ts'
import { isUniqueViolation } from './sqlite-errors.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'

export type WalletState = 'PENDING' | 'ACTIVE' | 'SUSPENDED' | 'ARCHIVED'
export type KeyType = 'secp256k1' | 'ed25519'
export type OwnerType = 'project' | 'end_user'
export type WalletOrigin = 'dkg' | 'import' | 'fork'

/** What the daemon knows of a wallet in clear. The row is under a MAC; the share is in wallet-shares.ts. */
export type Wallet = {
  readonly walletId: WalletId
  readonly project: ProjectId
  readonly userId: UserId
  readonly keyType: KeyType
  readonly ownerType: OwnerType
  readonly label: string
  /** As it is shown: EIP-55 or base58. */
  readonly address: string
  /** As the engine encodes it. */
  readonly publicKey: Uint8Array
  readonly state: WalletState
  readonly origin: WalletOrigin
  readonly etag: string
  readonly createMs: number
  /** Pages go on after this. */
  readonly number: bigint
}

export type NewWallet = Omit<Wallet, 'etag' | 'number'>

type Row = {
  number: bigint
  wallet_id: Buffer
  project: string
  user_id: string
  key_type: string
  owner_type: string
  label: string
  address: string
  address_key: string
  public_key: Buffer
  state: string
  origin: string
  revision: bigint
  create_ms: bigint
  mac: Buffer
}

const macItems = (row: Omit<Row, 'mac' | 'number'>) => [
  row.wallet_id, row.project, row.user_id, row.key_type, row.owner_type, row.label, row.address, row.address_key,
  row.public_key, row.state, row.origin, u64(row.revision), u64(row.create_ms),
]

const toWallet = (reader: Reader, row: Row): Wallet => {
  requireRowMac(reader, 'wallets', macItems(row), row.mac)
  return {
    walletId: walletIdFromBytes(row.wallet_id),
    project: row.project as ProjectId,
    userId: row.user_id as UserId,
    keyType: row.key_type as KeyType,
    ownerType: row.owner_type as OwnerType,
    label: row.label,
    address: row.address,
    publicKey: row.public_key,
    state: row.state as WalletState,
    origin: row.origin as WalletOrigin,
    etag: etagOf(row.revision),
    createMs: Number(row.create_ms),
    number: row.number,
  }
}

type Mac = Buffer | undefined

const moved = (tx: Tx, walletId: Buffer, state: string, before: Mac, after: Mac): void => {
  const leaf = (mac: Mac) => (mac === undefined ? [] : [rowLeaf(tx, 'wallets', [walletId, mac])])
  moveStateIndex(tx, {
    subject: { type: 'wallet', id: walletIdFromBytes(walletId) },
    removed: leaf(before),
    added: leaf(after),
    details: { wallet: state },
  })
}

/** Who a wallet is for: at most one that lives (not archived) for each. */
export type WalletSlot = Pick<Wallet, 'project' | 'userId' | 'keyType' | 'ownerType' | 'label'>

const FIND_SLOT = `SELECT * FROM wallets WHERE project = ? AND user_id = ? AND key_type = ? AND owner_type = ?
  AND label = ? AND state IN ('PENDING', 'ACTIVE', 'SUSPENDED')`

export const findWalletInSlot = (reader: Reader, slot: WalletSlot): Wallet | undefined => {
  const row = reader.one<Row>(FIND_SLOT, slot.project, slot.userId, slot.keyType, slot.ownerType, slot.label)
  return row && toWallet(reader, row)
}

/** Refuses: PROJECT_NOT_FOUND; WALLET_ALREADY_EXISTS naming the live wallet of the same slot. */
export const insertWallet = (tx: Tx, wallet: NewWallet): Wallet => {
  requireProject(tx, wallet.project)
  const row = {
    wallet_id: Buffer.from(walletIdToBytes(wallet.walletId)),
    project: wallet.project,
    user_id: wallet.userId,
    key_type: wallet.keyType,
    owner_type: wallet.ownerType,
    label: wallet.label,
    address: wallet.address,
    address_key: addressKeyOf(wallet.address),
    public_key: Buffer.from(wallet.publicKey),
    state: wallet.state,
    origin: wallet.origin,
    revision: 1n,
    create_ms: BigInt(wallet.createMs),
  }
  const mac = rowMac(tx, 'wallets', macItems(row))
  try {
    insertInto(tx, 'wallets', { ...row, mac })
  } catch (error) {
    const holder = isUniqueViolation(error) ? findWalletInSlot(tx, wallet) : undefined
    if (holder !== undefined) throw failure('WALLET_ALREADY_EXISTS', { walletId: holder.walletId })
    throw error
  }
  moved(tx, row.wallet_id, row.state, undefined, mac)
  return requireWallet(tx, wallet.walletId)
}

/** Of any project. VAULT_CORRUPT for an altered row. */
export const getWallet = (reader: Reader, walletId: WalletId): Wallet | undefined => {
  const readMac = (): Buffer | undefined =>
    reader.one<{ mac: Buffer }>('SELECT mac FROM wallets WHERE wallet_id = ?', walletIdToBytes(walletId))?.mac
  const known = verifiedWallets.find(reader, walletId, readMac)
  if (known !== undefined) return known
  const row = reader.one<Row>('SELECT * FROM wallets WHERE wallet_id = ?', walletIdToBytes(walletId))
  return row && verifiedWallets.keep(reader, walletId, row.mac, toWallet(reader, row))
}

const verifiedWallets = new VerifiedRows<Wallet>('wallets')

/** Refuses with WALLET_NOT_FOUND, also for a wallet of another project when `project` is given. */
export const requireWallet = (reader: Reader, walletId: WalletId, project?: ProjectId): Wallet => {
  const wallet = getWallet(reader, walletId)
  if (wallet === undefined || (project !== undefined && wallet.project !== project)) {
    throw failure('WALLET_NOT_FOUND', {})
  }
  return wallet
}

/** More than this many wallets of one address or user are ambiguous anyway. */
const MATCHES_MAX = 16

/** The wallets of one project, or of them those that one end user owns. */
export type WalletReach = { readonly project: ProjectId; readonly owner?: UserId | undefined }

export const reaches = ({ project, owner }: WalletReach, wallet: Wallet): boolean =>
  wallet.project === project && (owner === undefined || (wallet.ownerType === 'end_user' && wallet.userId === owner))

/** In SQL; an end user's wallets are not crowded out by those that a project keeps for the same user id. */
const OWNED = "owner_type = 'end_user' AND user_id = ?"

const findMatches = (reader: Reader, { sql, params }: Conditions): Wallet[] =>
  reader
    .all<Row>(`SELECT * FROM wallets WHERE ${sql} ORDER BY state = 'ARCHIVED', number LIMIT ?`, ...params, MATCHES_MAX)
    .map((row) => toWallet(reader, row))

/** In order of creation, archived ones last, at most 16. */
export const findWalletsByAddress = (reader: Reader, { project, owner }: WalletReach, address: string): Wallet[] =>
  findMatches(reader, allOf({ 'address_key = ?': addressKeyOf(address), 'project = ?': project, [OWNED]: owner }))

/** In order of creation, archived ones last, at most 16. */
export const findWalletsByUser = (reader: Reader, { project, owner }: WalletReach, userId: UserId): Wallet[] =>
  findMatches(reader, allOf({ 'project = ?': project, 'user_id = ?': userId, [OWNED]: owner }))

export type WalletPage = {
  readonly project: ProjectId
  readonly userId?: UserId | undefined
  /** Only what this end user owns. */
  readonly owner?: UserId | undefined
  readonly keyType?: KeyType | undefined
  readonly state?: WalletState | undefined
  /** Only these; those that do not exist, or are of another project, are left out. */
  readonly among?: readonly WalletId[] | undefined
  readonly after?: bigint | undefined
  readonly limit: number
}

/** Of a JSON list of wallet ids. */
export const AMONG_WALLETS = 'wallet_id IN (SELECT unhex(substr(value, 5)) FROM json_each(?))'

/** In order of creation, after `after` (a wallet's `number`). */
export const listWallets = (reader: Reader, page: WalletPage): Wallet[] => {
  const { among } = page
  const { sql, params } = allOf({
    [AMONG_WALLETS]: among && JSON.stringify(among),
    'project = ?': page.project,
    'number > ?': page.after ?? 0n,
    'user_id = ?': page.userId,
    [OWNED]: page.owner,
    'key_type = ?': page.keyType,
    'state = ?': page.state,
  })
  // Not by project: a list of a few ids must not walk a project of millions.
  const wallets = among === undefined ? 'wallets' : 'wallets INDEXED BY sqlite_autoindex_wallets_1'
  return reader
    .all<Row>(`SELECT * FROM ${wallets} WHERE ${sql} ORDER BY number LIMIT ?`, ...params, page.limit)
    .map((row) => toWallet(reader, row))
}

/** Those of an end user of one kind that are not archived. */
export const countLivingWallets = (
  reader: Reader,
  { project, owner }: Required<WalletReach>,
  keyType: KeyType,
): number => {
  const sql = `SELECT count(*) AS count FROM wallets WHERE project = ? AND user_id = ? AND owner_type = 'end_user'
    AND key_type = ? AND state <> 'ARCHIVED'`
  return Number(reader.one<{ count: bigint }>(sql, project, owner ?? '', keyType)?.count ?? 0n)
}

export const countWallets = (reader: Reader): number =>
  Number(reader.one<{ count: bigint }>('SELECT count(*) AS count FROM wallets')?.count ?? 0n)

/**
 * Refuses with WALLET_NOT_FOUND; with WALLET_ALREADY_EXISTS when the slot of an archived wallet was taken since.
 */
export const setWalletState = (tx: Tx, walletId: WalletId, state: WalletState): Wallet => {
  const row = tx.one<Row>('SELECT * FROM wallets WHERE wallet_id = ?', walletIdToBytes(walletId))
  if (row === undefined) throw failure('WALLET_NOT_FOUND', {})
  const before = toWallet(tx, row)
  const next = { ...row, state, revision: row.revision + 1n }
  const mac = rowMac(tx, 'wallets', macItems(next))
  try {
    tx.run(
      'UPDATE wallets SET state = ?, revision = ?, mac = ? WHERE number = ?',
      state,
      next.revision,
      mac,
      row.number,
    )
  } catch (error) {
    const holder = isUniqueViolation(error) ? findWalletInSlot(tx, before) : undefined
    if (holder !== undefined) throw failure('WALLET_ALREADY_EXISTS', { walletId: holder.walletId })
    throw error
  }
  moved(tx, row.wallet_id, state, row.mac, mac)
  return requireWallet(tx, walletId)
}

/** Removes a wallet that never became ACTIVE: its key generation was abandoned. Answers whether it was there. */
export const deletePendingWallet = (tx: Tx, walletId: WalletId): boolean => {
  const pending = `FROM wallets WHERE wallet_id = ? AND state = 'PENDING'`
  const row = tx.one<Row>(`SELECT * ${pending}`, walletIdToBytes(walletId))
  if (row === undefined) return false
  tx.run(`DELETE ${pending}`, walletIdToBytes(walletId))
  moved(tx, row.wallet_id, 'DELETED', row.mac, undefined)
  return true
}

/** Wallets of every project in one state, in order of creation, at most `limit`. */
export const listWalletsInState = (reader: Reader, state: WalletState, limit: number): Wallet[] =>
  reader
    .all<Row>('SELECT * FROM wallets WHERE state = ? ORDER BY number LIMIT ?', state, limit)
    .map((row) => toWallet(reader, row))
