import { createPrivateKey, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import type { KeptSecrets } from './vault-secrets.ts'

/**
 * The keys that sign access tokens: P-256, each for a month. The next one is published an hour before it signs, so that
 * whoever keeps a copy of the key set has it by then; one that has stopped signing is published for as long as a token
 * that it signed may live. Private keys are secrets of the vault.
 */
export type TokenKey = {
  /** A UUID: the `kid` of the tokens it signs. */
  readonly keyId: string
  /** SPKI, DER. */
  readonly publicKey: Uint8Array
  readonly signFromMs: number
  readonly signUntilMs: number
  readonly verifyUntilMs: number
}

type Row = {
  key_id: string
  public_key: Buffer
  sign_from_ms: bigint
  sign_until_ms: bigint
  verify_until_ms: bigint
  mac: Buffer
}

const SIGN_MS = 30 * 86_400_000
const PUBLISH_AHEAD_MS = 3_600_000
/** The life of a token, and as much again for clocks that differ. */
const VERIFY_MS = 3_600_000

const macItems = (row: Omit<Row, 'mac'>) => [
  row.key_id, row.public_key, u64(row.sign_from_ms), u64(row.sign_until_ms), u64(row.verify_until_ms),
]

const toKey = (reader: Reader, row: Row): TokenKey => {
  requireRowMac(reader, 'token_keys', macItems(row), row.mac)
  return {
    keyId: row.key_id,
    publicKey: row.public_key,
    signFromMs: Number(row.sign_from_ms),
    signUntilMs: Number(row.sign_until_ms),
    verifyUntilMs: Number(row.verify_until_ms),
  }
}

/** Those whose tokens may live, and the one that signs next; in the order in which they sign. */
export const listTokenKeys = (reader: Reader, nowMs: number): TokenKey[] =>
  reader
    .all<Row>('SELECT * FROM token_keys WHERE verify_until_ms > ? ORDER BY sign_from_ms, key_id', nowMs)
    .map((row) => toKey(reader, row))

export const findTokenKey = (reader: Reader, keyId: string, nowMs: number): TokenKey | undefined => {
  const row = reader.one<Row>('SELECT * FROM token_keys WHERE key_id = ? AND verify_until_ms > ?', keyId, nowMs)
  return row && toKey(reader, row)
}

const signsAt = (nowMs: number) => (key: TokenKey) => key.signFromMs <= nowMs && nowMs < key.signUntilMs

const secretName = (keyId: string): string => `token-key:${keyId}`

const insertKey = (tx: Tx, secrets: KeptSecrets, signFromMs: number): TokenKey => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const row = {
    key_id: randomUUID(),
    public_key: publicKey.export({ type: 'spki', format: 'der' }),
    sign_from_ms: BigInt(signFromMs),
    sign_until_ms: BigInt(signFromMs + SIGN_MS),
    verify_until_ms: BigInt(signFromMs + SIGN_MS + VERIFY_MS),
  }
  const mac = rowMac(tx, 'token_keys', macItems(row))
  const columns = [row.key_id, row.public_key, row.sign_from_ms, row.sign_until_ms, row.verify_until_ms, mac] as const
  tx.run('INSERT INTO token_keys VALUES (?, ?, ?, ?, ?, ?)', ...columns)
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' })
  secrets.write(tx, secretName(row.key_id), pkcs8)
  pkcs8.fill(0)
  return toKey(tx, { ...row, mac })
}

const forgetOver = (tx: Tx, secrets: KeptSecrets, nowMs: number): void => {
  const over = 'FROM token_keys WHERE verify_until_ms <= ?'
  for (const { key_id: keyId } of tx.all<{ key_id: string }>(`SELECT key_id ${over}`, nowMs)) secrets.remove(tx, secretName(keyId))
  tx.run(`DELETE ${over}`, nowMs)
}

/** The key that signs now. Makes the first, and the next when its time to be published has come. */
export const currentTokenKey = (tx: Tx, secrets: KeptSecrets, nowMs: number): TokenKey => {
  const keys = listTokenKeys(tx, nowMs)
  const current = keys.find(signsAt(nowMs))
  if (current === undefined) {
    forgetOver(tx, secrets, nowMs)
    // A daemon where nobody signed in for a month: who verifies has no older key either that would do.
    return insertKey(tx, secrets, nowMs)
  }
  const isNextDue = current.signUntilMs - nowMs <= PUBLISH_AHEAD_MS
  if (isNextDue && !keys.some((key) => key.signFromMs >= current.signUntilMs)) {
    forgetOver(tx, secrets, nowMs)
    insertKey(tx, secrets, current.signUntilMs)
  }
  return current
}

/** VAULT_CORRUPT when it is not there. */
export const openTokenKey = (secrets: KeptSecrets, keyId: string): KeyObject => {
  const pkcs8 = secrets.read(secretName(keyId))
  if (pkcs8 === undefined) throw failure('VAULT_CORRUPT', { where: 'token_keys' })
  const key = createPrivateKey({ key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length), format: 'der', type: 'pkcs8' })
  pkcs8.fill(0)
  return key
}
