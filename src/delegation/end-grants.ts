/** How a grant ends: one audit row, and what was made under it ends in the same transaction. */
import type { GrantEventData } from '../domain/webhook-events.ts'
import type { AuditEvent } from '../vault/audit-chain.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { expireGrants, type Grant, isGrantDue } from '../vault/grants.ts'
import type { Tx } from '../vault/store.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'

/**
 * Ends what was made under a grant, in the transaction that ends the grant. Answers whether secrets went with it, which
 * are then to be erased from the vault's files.
 */
export type GrantEnded = (tx: Tx, grant: Grant, nowMs: number) => boolean

/** After the transaction that ended grants, where secrets went: they are nowhere any more when it resolves. */
export type GrantErased = () => Promise<void>

export const grantDetails = ({ userId, address, expireMs }: Grant): AuditEvent['details'] => ({
  userId,
  ...(address === undefined ? {} : { address }),
  expireTime: new Date(expireMs).toISOString(),
})

/** A grant as webhooks tell of it. */
export const grantEvent = ({ grantId, userId, address, createMs, expireMs }: Grant): GrantEventData => ({
  grant_id: grantId,
  user_id: userId,
  address,
  create_time: new Date(createMs).toISOString(),
  expire_time: new Date(expireMs).toISOString(),
})

const tellOfEnd = (tx: Tx, grant: Grant, nowMs: number): void => {
  const { project, state } = grant
  const data = grantEvent(grant)
  if (state !== 'REVOKED') return void recordWebhookEvent(tx, { project, type: 'grant.expired', data, nowMs })
  const revoked = { ...data, revoke_time: new Date(nowMs).toISOString() }
  recordWebhookEvent(tx, { project, type: 'grant.revoked', data: revoked, nowMs })
}

type Ending = Pick<AuditEvent, 'actor' | 'method' | 'requestId' | 'decision' | 'reason'>

const BY_TIME: Ending = { actor: { kind: 'daemon', id: '' } }

/** Writes down that a grant has ended, as its row in the same transaction says. Answers as `GrantEnded`. */
export const recordEnd = (tx: Tx, grant: Grant, by: Ending, ended: GrantEnded): boolean => {
  const timeMs = grant.endMs ?? grant.expireMs
  appendAudit(tx, {
    ...by,
    timeMs,
    kind: grant.state === 'REVOKED' ? 'grant.revoked' : 'grant.expired',
    project: grant.project,
    subject: { type: 'grant', id: grant.grantId },
    details: grantDetails(grant),
  })
  tellOfEnd(tx, grant, timeMs)
  return ended(tx, grant, timeMs)
}

/** As `recordEnd`, of grants whose time is over. */
export const recordExpiry = (tx: Tx, grants: readonly Grant[], ended: GrantEnded): boolean =>
  grants.map((grant) => recordEnd(tx, grant, BY_TIME, ended)).includes(true)

const AT_ONCE = 100

/**
 * Ends the grants whose time is over. They are of no use from their time on whether or not this has run; what it adds is
 * that their end is on record, and that a clock set back does not bring them back.
 */
export const endExpiredGrants = async (
  vault: DaemonVault,
  nowMs: number,
  ended: GrantEnded,
  erased: GrantErased = async () => vault.eraseDeleted(),
): Promise<number> => {
  let count = 0
  while (isGrantDue(vault.read, nowMs)) {
    const done = await vault.commit((tx) => {
      const grants = expireGrants(tx, nowMs, AT_ONCE)
      return { ended: grants.length, erases: recordExpiry(tx, grants, ended) }
    })
    if (done.erases) await erased()
    if (done.ended === 0) break
    count += done.ended
  }
  return count
}
