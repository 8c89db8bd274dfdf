/** What webhooks tell of session keys. Their end by time is nobody's act, so it is looked for. */
import type { SessionKeyEventData } from '../domain/webhook-events.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { listEndedSessionKeys, type SessionKey } from '../vault/session-keys.ts'
import { getSetting, putSetting } from '../vault/settings.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { requireWallet } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { endOf } from './key-standing.ts'

const eventOf = (reader: Reader, key: SessionKey): SessionKeyEventData => ({
  session_key_id: key.sessionKeyId,
  wallet_id: key.walletId,
  user_id: requireWallet(reader, key.walletId).userId,
  address: key.address,
  profile: key.profile,
  network: key.network,
  expire_time: new Date(endOf(key)).toISOString(),
})

export const tellOfNewKey = (tx: Tx, key: SessionKey, nowMs: number): void => {
  recordWebhookEvent(tx, { project: key.project, type: 'session_key.created', data: eventOf(tx, key), nowMs })
}

export const tellOfRevokedKey = (tx: Tx, key: SessionKey, nowMs: number): void => {
  const data = { ...eventOf(tx, key), revoke_time: new Date(nowMs).toISOString() }
  recordWebhookEvent(tx, { project: key.project, type: 'session_key.revoked', data, nowMs })
}

/** The last key whose end was told. Later ones end later, or were made later. */
const TOLD = 'session_keys_told'
type Told = { readonly endMs: number; readonly number: string }

const readTold = (reader: Reader): Told => {
  const setting = getSetting(reader, TOLD)
  return setting === undefined ? { endMs: 0, number: '0' } : (JSON.parse(Buffer.from(setting.value).toString('utf8')) as Told)
}

const endedAfter = (reader: Reader, told: Told, nowMs: number): SessionKey[] =>
  listEndedSessionKeys(reader, { afterMs: told.endMs, afterNumber: BigInt(told.number), beforeMs: nowMs, limit: AT_ONCE })

const AT_ONCE = 100

/** Tells of keys whose time is over, each once; writes nothing where there are none. Answers how many. */
export const tellOfEndedKeys = async (vault: DaemonVault, nowMs: number): Promise<number> => {
  let count = 0
  while (endedAfter(vault.read, readTold(vault.read), nowMs).length > 0) {
    count += await vault.commit((tx) => {
      const ended = endedAfter(tx, readTold(tx), nowMs)
      for (const key of ended) {
        recordWebhookEvent(tx, { project: key.project, type: 'session_key.expired', data: eventOf(tx, key), nowMs })
      }
      const last = ended.at(-1)
      const told = last && { endMs: endOf(last), number: String(last.number) }
      if (told !== undefined) putSetting(tx, TOLD, Buffer.from(JSON.stringify(told)), nowMs)
      return ended.length
    })
  }
  return count
}
