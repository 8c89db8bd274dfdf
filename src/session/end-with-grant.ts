/** Session keys that a project made under an end user's grant end with it, for good: another grant does not bring them back. */
import { appendAudit } from '../vault/audit-chain.ts'
import type { Grant } from '../vault/grants.ts'
import { deleteCreatingSessionKey, listKeysOfGrant, listLiveSessionKeys, type SessionKey, updateSessionKey } from '../vault/session-keys.ts'
import { deleteSessionSecrets } from '../vault/session-secrets.ts'
import type { Tx } from '../vault/store.ts'
import { tellOfRevokedKey } from './tell-keys.ts'

/** In the transaction that ends the grant. Answers whether secrets went, which are then to be erased from the files. */
export const endKeysOfGrant = (tx: Tx, grant: Grant, nowMs: number): boolean => {
  const keys = listKeysOfGrant(tx, grant.grantId)
  for (const key of keys) {
    if (key.state === 'CREATING') deleteCreatingSessionKey(tx, key.sessionKeyId)
    else revoke(tx, key, grant, nowMs)
  }
  return keys.length > 0
}

/**
 * With the acknowledgement of a restore: which of them were revoked since the backup nobody knows, and nonces that a venue
 * counts would come again. Their wallets authorise new ones.
 */
export const endKeysOfRestore = (tx: Tx, nowMs: number): void => {
  for (const key of listLiveSessionKeys(tx)) {
    const { sessionKeyId, project, state } = key
    if (state === 'CREATING') {
      deleteCreatingSessionKey(tx, sessionKeyId)
      continue
    }
    deleteSessionSecrets(tx, sessionKeyId)
    const subject = { type: 'session_key', id: sessionKeyId }
    const actor = { kind: 'operator', id: '' } as const
    appendAudit(tx, { timeMs: nowMs, kind: 'session.revoked', project, actor, subject, reason: 'restore' })
    tellOfRevokedKey(tx, updateSessionKey(tx, sessionKeyId, { state: 'REVOKED' }, nowMs), nowMs)
  }
}

const revoke = (tx: Tx, key: SessionKey, grant: Grant, nowMs: number): void => {
  const { sessionKeyId, project } = key
  deleteSessionSecrets(tx, sessionKeyId)
  appendAudit(tx, {
    timeMs: nowMs,
    kind: 'session.revoked',
    project,
    actor: { kind: 'daemon', id: '' },
    subject: { type: 'session_key', id: sessionKeyId },
    details: { grant: grant.grantId, grantState: grant.state },
  })
  tellOfRevokedKey(tx, updateSessionKey(tx, sessionKeyId, { state: 'REVOKED' }, nowMs), nowMs)
}
