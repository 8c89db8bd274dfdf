import { failure } from '../domain/failure.ts'
import type { Reader, Tx } from './store.ts'

/**
 * What each permission of a caller has spent of a token on one UTC day, in base units. Charged in the
 * transaction of the intent row: commits run one after the other, so two requests cannot both pass under one cap.
 */
export type UsageMeter = {
  /** Who spends: the id of an API key. */
  readonly principal: string
  /** Names the permission entry that carries the cap; stable for the life of the key. */
  readonly permission: string
  /** The token as the cap names it. */
  readonly token: string
  /** Days since the Unix epoch, UTC. */
  readonly day: number
}

export type Charge = UsageMeter & {
  /** Base units, 0 to 2^256−1. */
  readonly amount: bigint
  /** The cap: what the day may reach, base units, at most 2^256−1. */
  readonly allowed: bigint
}

const DAY_MS = 86_400_000

export const utcDay = (timeMs: number): number => Math.floor(timeMs / DAY_MS)

const encodeUint256 = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
const decodeUint256 = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`)

const READ = 'SELECT spent FROM usage WHERE api_key_id = ? AND permission = ? AND token = ? AND day = ?'
const WRITE = 'INSERT OR REPLACE INTO usage (api_key_id, permission, token, day, spent) VALUES (?, ?, ?, ?, ?)'

export const readUsage = (reader: Reader, meter: UsageMeter): bigint => {
  const row = reader.one<{ spent: Buffer }>(READ, meter.principal, meter.permission, meter.token, meter.day)
  return row === undefined ? 0n : decodeUint256(row.spent)
}

/** Adds the amount or refuses with LIMIT_EXCEEDED and changes nothing. */
export const charge = (tx: Tx, item: Charge): void => {
  const seen = readUsage(tx, item) + item.amount
  if (seen > item.allowed) {
    const limit = `max_per_day of ${item.token}`
    throw failure('LIMIT_EXCEEDED', { limit, seen: String(seen), allowed: String(item.allowed) })
  }
  tx.run(WRITE, item.principal, item.permission, item.token, item.day, encodeUint256(seen))
}

/** Forgets counters of days before `day`, at most `limit`; answers how many. */
export const pruneUsage = (tx: Tx, day: number, limit: number): number =>
  tx.run(
    `DELETE FROM usage WHERE (api_key_id, permission, token, day) IN
      (SELECT api_key_id, permission, token, day FROM usage WHERE day < ? LIMIT ?)`,
    day,
    limit,
  )
