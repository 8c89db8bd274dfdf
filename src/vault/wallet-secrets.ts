import { hash } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { ProjectId, UserId } from '../domain/ids.ts'
import { OfStore } from './of-store.ts'
import { requireProject } from './projects.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

/**
 * Wallet secrets: P-256 public keys on end users' devices whose signatures their sensitive requests carry. Rows are under
 * a MAC and in the state index: neither a key slipped in nor one put back passes.
 */
export type WalletSecret = {
  readonly project: ProjectId
  readonly userId: UserId
  readonly walletSecretId: string
  /** SPKI, DER. */
  readonly publicKey: Uint8Array
  /** SHA-256 of it, lower-case hex: another key under the same id is another wallet secret. */
  readonly keyHash: string
  readonly validUntilMs: number
  readonly createMs: number
}

export const MAX_WALLET_SECRETS = 5

export type WalletSecretHolder = Pick<WalletSecret, 'project' | 'userId'>

type Row = {
  number: bigint
  project: string
  user_id: string
  wallet_secret_id: string
  public_key: Buffer
  valid_until_ms: bigint
  create_ms: bigint
  mac: Buffer
}

const macItems = (row: Omit<Row, 'number' | 'mac'>) => [
  row.project, row.user_id, row.wallet_secret_id, row.public_key, u64(row.valid_until_ms), u64(row.create_ms),
]

/** VAULT_CORRUPT for an altered row. */
const toSecret = (reader: Reader, row: Row): WalletSecret => {
  requireRowMac(reader, 'wallet_secrets', macItems(row), row.mac)
  return {
    project: row.project as ProjectId,
    userId: row.user_id as UserId,
    walletSecretId: row.wallet_secret_id,
    publicKey: new Uint8Array(row.public_key),
    keyHash: hash('sha256', row.public_key, 'hex'),
    validUntilMs: Number(row.valid_until_ms),
    createMs: Number(row.create_ms),
  }
}

const READ = 'SELECT * FROM wallet_secrets WHERE project = ? AND user_id = ? ORDER BY number'
const MAX_KNOWN = 10_000

/** What users were found to have, while nothing is written to the table: it is asked again for every release. */
const knownSecrets = new OfStore(() => ({ writes: -1, byUser: new Map<string, readonly WalletSecret[]>() }))

/** A user's wallet secrets, oldest first, those that are over included. */
export const listWalletSecrets = (reader: Reader, { project, userId }: WalletSecretHolder): readonly WalletSecret[] => {
  const known = knownSecrets.of(reader)
  const writes = reader.writesTo('wallet_secrets')
  if (known.writes !== writes || known.byUser.size > MAX_KNOWN) {
    known.byUser.clear()
    known.writes = writes
  }
  const name = `${project}/${userId}`
  const found = known.byUser.get(name) ?? reader.all<Row>(READ, project, userId).map((row) => toSecret(reader, row))
  known.byUser.set(name, found)
  return found
}

/** One that was shown, and still is what it was. Refuses: WALLET_SECRET_NOT_FOUND, WALLET_SECRET_EXPIRED. */
export const requireWalletSecret = (
  reader: Reader,
  holder: WalletSecretHolder,
  shown: Pick<WalletSecret, 'walletSecretId' | 'keyHash'>,
  nowMs: number,
): WalletSecret => {
  const isShown = (one: WalletSecret): boolean =>
    one.walletSecretId === shown.walletSecretId && one.keyHash === shown.keyHash
  const found = listWalletSecrets(reader, holder).find(isShown)
  if (found === undefined) throw failure('WALLET_SECRET_NOT_FOUND', {})
  return requireValid(found, nowMs)
}

/** Refuses with WALLET_SECRET_EXPIRED one whose time is over. */
export const requireValid = (secret: WalletSecret, nowMs: number): WalletSecret => {
  const { validUntilMs } = secret
  if (nowMs >= validUntilMs) throw failure('WALLET_SECRET_EXPIRED', { validUntil: new Date(validUntilMs).toISOString() })
  return secret
}

const moved = (tx: Tx, row: Pick<Row, 'project' | 'user_id' | 'wallet_secret_id'>, change: 'added' | 'removed', mac: Buffer) => {
  const leaf = rowLeaf(tx, 'wallet_secrets', [row.project, row.user_id, row.wallet_secret_id, mac])
  moveStateIndex(tx, {
    subject: { type: 'wallet_secret', id: row.wallet_secret_id },
    removed: change === 'removed' ? [leaf] : [],
    added: change === 'added' ? [leaf] : [],
    details: { [change]: `${row.project}/${row.user_id}` },
  })
}

const remove = (tx: Tx, row: Row): WalletSecret => {
  const secret = toSecret(tx, row)
  tx.run('DELETE FROM wallet_secrets WHERE number = ?', row.number)
  moved(tx, row, 'removed', row.mac)
  return secret
}

export type NewWalletSecret = Omit<WalletSecret, 'keyHash'>

/**
 * Adds a wallet secret; one of the same id is replaced, and of more than five the oldest go. Answers what went.
 * Refuses: PROJECT_NOT_FOUND.
 */
export const putWalletSecret = (tx: Tx, secret: NewWalletSecret): readonly WalletSecret[] => {
  requireProject(tx, secret.project)
  const standing = tx.all<Row>(READ, secret.project, secret.userId)
  const others = standing.filter((row) => row.wallet_secret_id !== secret.walletSecretId)
  const tooMany = others.slice(0, Math.max(0, others.length - MAX_WALLET_SECRETS + 1))
  const going = [...standing.filter((row) => row.wallet_secret_id === secret.walletSecretId), ...tooMany]
  const gone = going.map((row) => remove(tx, row))
  const row = {
    project: secret.project,
    user_id: secret.userId,
    wallet_secret_id: secret.walletSecretId,
    public_key: Buffer.from(secret.publicKey),
    valid_until_ms: BigInt(secret.validUntilMs),
    create_ms: BigInt(secret.createMs),
  }
  const mac = rowMac(tx, 'wallet_secrets', macItems(row))
  tx.run(
    `INSERT INTO wallet_secrets (project, user_id, wallet_secret_id, public_key, valid_until_ms, create_ms, mac)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    row.project, row.user_id, row.wallet_secret_id, row.public_key, row.valid_until_ms, row.create_ms, mac,
  )
  moved(tx, row, 'added', mac)
  return gone
}

/** Takes away every user's; answers them. */
export const deleteEveryWalletSecret = (tx: Tx): readonly WalletSecret[] =>
  tx.all<Row>('SELECT * FROM wallet_secrets ORDER BY number').map((row) => remove(tx, row))

/** Takes one away for good; answers it. Refuses: WALLET_SECRET_NOT_FOUND. */
export const deleteWalletSecret = (tx: Tx, { project, userId }: WalletSecretHolder, walletSecretId: string): WalletSecret => {
  const row = tx.all<Row>(READ, project, userId).find((one) => one.wallet_secret_id === walletSecretId)
  if (row === undefined) throw failure('WALLET_SECRET_NOT_FOUND', {})
  return remove(tx, row)
}
