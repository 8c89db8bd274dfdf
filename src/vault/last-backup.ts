import { countRefreshedSince } from './refreshes.ts'
import { getSetting, putSetting } from './settings.ts'
import type { Reader, Tx } from './store.ts'

/** The newest backup that this vault knows of. */
export type LastBackup = {
  readonly fileName: string
  readonly bytes: number
  readonly auditSequence: bigint
  readonly createMs: number
}

const SETTING = 'last_backup'

export const noteBackup = (tx: Tx, { fileName, bytes, auditSequence, createMs }: LastBackup): void => {
  const value = JSON.stringify({ fileName, bytes, auditSequence: String(auditSequence), createMs })
  putSetting(tx, SETTING, Buffer.from(value), createMs)
}

const getLastBackup = (reader: Reader): LastBackup | undefined => {
  const value = getSetting(reader, SETTING)?.value
  if (value === undefined) return undefined
  const found = JSON.parse(Buffer.from(value).toString('utf8')) as LastBackup & { auditSequence: string }
  return { ...found, auditSequence: BigInt(found.auditSequence) }
}

export type BackupStanding = LastBackup & {
  /** Wallets whose shares were refreshed since: a restore would bring back the shares of before. */
  readonly refreshedWallets: number
}

/** The newest backup and what it is still good for. */
export const backupStanding = (reader: Reader): BackupStanding | undefined => {
  const last = getLastBackup(reader)
  return last && { ...last, refreshedWallets: countRefreshedSince(reader, last.auditSequence) }
}
