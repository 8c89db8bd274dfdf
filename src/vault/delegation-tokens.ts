import { hash, randomBytes, randomUUID } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { ProjectId, UserId } from '../domain/ids.ts'
import { insertInto } from './insert-into.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

/**
 * Delegation tokens: one completion each, of one user, on one network, by one address. Only a hash is kept. A token is
 * used up by the transaction that registers the wallet, so it is burnt by success and by nothing else.
 */
export type DelegationToken = {
  readonly project: ProjectId
  readonly userId: UserId
  readonly network: string
  readonly addressKey: string
  /** 24 hexadecimal digits: what the owner's message must name. */
  readonly nonce: string
  readonly createMs: number
  readonly expireMs: number
}

type Row = {
  token_hash: Buffer
  project: string
  user_id: string
  network: string
  address_key: string
  nonce: string
  create_ms: bigint
  expire_ms: bigint
  used: bigint
  mac: Buffer
}

const DELEGATION_TOKEN_MS = 600_000
const NONCE_BYTES = 12

const hashOf = (token: string): Buffer => hash('sha256', `countersign/delegation-token/v1:${token}`, 'buffer')

const macItems = (row: Omit<Row, 'mac'>) => [
  row.token_hash, row.project, row.user_id, row.network, row.address_key, row.nonce, u64(row.create_ms), u64(row.expire_ms),
  u64(row.used),
]

export type NewDelegationToken = Pick<DelegationToken, 'project' | 'userId' | 'network' | 'addressKey'> & { readonly nowMs: number }

/** Answers the token, which is shown once, and what it is bound to. */
export const issueDelegationToken = (tx: Tx, asked: NewDelegationToken): DelegationToken & { readonly token: string } => {
  const token = randomUUID()
  const row = {
    token_hash: hashOf(token),
    project: asked.project,
    user_id: asked.userId,
    network: asked.network,
    address_key: asked.addressKey,
    nonce: randomBytes(NONCE_BYTES).toString('hex'),
    create_ms: BigInt(asked.nowMs),
    expire_ms: BigInt(asked.nowMs + DELEGATION_TOKEN_MS),
    used: 0n,
  }
  insertInto(tx, 'delegation_tokens', { ...row, mac: rowMac(tx, 'delegation_tokens', macItems(row)) })
  return { token, ...viewOf(row) }
}

const viewOf = (row: Omit<Row, 'mac'>): DelegationToken => ({
  project: row.project as ProjectId,
  userId: row.user_id as UserId,
  network: row.network,
  addressKey: row.address_key,
  nonce: row.nonce,
  createMs: Number(row.create_ms),
  expireMs: Number(row.expire_ms),
})

export type TokenUse = { readonly project: ProjectId; readonly network: string; readonly addressKey: string; readonly nowMs: number }

const requireRow = (reader: Reader, token: string, { project, network, addressKey, nowMs }: TokenUse): Row => {
  const row = reader.one<Row>('SELECT * FROM delegation_tokens WHERE token_hash = ?', hashOf(token))
  if (row === undefined || row.project !== project) throw failure('TOKEN_INVALID', {})
  requireRowMac(reader, 'delegation_tokens', macItems(row), row.mac)
  // Of another network or address it is no token for this; which of them, its owner knows.
  if (row.network !== network || row.address_key !== addressKey) throw failure('TOKEN_INVALID', {})
  if (row.used === 1n) throw failure('TOKEN_USED', {})
  if (Number(row.expire_ms) <= nowMs) throw failure('TOKEN_EXPIRED', { expireTime: new Date(Number(row.expire_ms)).toISOString() })
  return row
}

/** Refuses with TOKEN_INVALID (unknown, another project's, for another network or address), TOKEN_USED, TOKEN_EXPIRED. */
export const requireDelegationToken = (reader: Reader, token: string, use: TokenUse): DelegationToken =>
  viewOf(requireRow(reader, token, use))

/** Uses the token up. Refuses as `requireDelegationToken`. */
export const burnDelegationToken = (tx: Tx, token: string, use: TokenUse): DelegationToken => {
  const row = requireRow(tx, token, use)
  const burnt = { ...row, used: 1n }
  tx.run('UPDATE delegation_tokens SET used = 1, mac = ? WHERE token_hash = ?', rowMac(tx, 'delegation_tokens', macItems(burnt)), row.token_hash)
  return viewOf(row)
}

/** So long after its end nobody asks what became of a token. */
const KEPT_MS = 86_400_000

/** Forgets tokens that ended long ago, at most `limit`; answers how many. */
export const pruneDelegationTokens = (tx: Tx, nowMs: number, limit: number): number => {
  const sql = 'SELECT token_hash FROM delegation_tokens WHERE expire_ms <= ? ORDER BY expire_ms LIMIT ?'
  const old = tx.all<{ token_hash: Buffer }>(sql, nowMs - KEPT_MS, limit)
  for (const { token_hash: tokenHash } of old) tx.run('DELETE FROM delegation_tokens WHERE token_hash = ?', tokenHash)
  return old.length
}
