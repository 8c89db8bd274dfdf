/**
 * How delegated access ends (docs/protocol.md §13): in one transaction the row says so, the daemon's half is deleted and
 * webhooks are told; then what the threads hold of it is overwritten, and the pages that held it, before anybody hears
 * that it is over.
 */
import { accessIdToBytes, type AccessId } from '../domain/ids.ts'
import type { DelegateParties } from '../party/delegate-parties.ts'
import { partyIdOf } from '../party/party-id.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import {
  changeDelegatedAccess,
  type DelegatedAccess,
  dropDelivery,
  dueAccess,
  getDelegatedAccess,
  hasOpenAccess,
  openAccess,
  openAccessOfGrant,
} from '../vault/delegated-access.ts'
import { getDelegate } from '../vault/delegates.ts'
import type { Grant } from '../vault/grants.ts'
import type { Tx } from '../vault/store.ts'
import { deleteShares, getShare } from '../vault/wallet-shares.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { accessEvent, isToldTo } from './delegated-access-view.ts'

/** Who or what ended it. */
export type AccessEndReason = 'user' | 'project' | 'delegate' | 'grant' | 'time' | 'restore'

type Ending = Pick<AuditEvent, 'actor' | 'method' | 'requestId' | 'decision'> & { readonly why: AccessEndReason }

const BY_DAEMON = { actor: { kind: 'daemon', id: '' } } as const

/** Of one that has ended already nothing changes. Answers it, and whether this ended it. */
const endAccess = (
  tx: Tx,
  accessId: AccessId,
  { why, ...by }: Ending,
  nowMs: number,
): { readonly access: DelegatedAccess; readonly changed: boolean } => {
  const state = why === 'time' ? 'EXPIRED' : 'REVOKED'
  const { access, changed } = changeDelegatedAccess(tx, accessId, { state, reason: why }, nowMs)
  if (!changed) return { access, changed }
  deleteShares(tx, accessIdToBytes(accessId), nowMs)
  const { project, walletId, delegateId, userId, publicShares } = access
  appendAudit(tx, {
    ...by,
    timeMs: nowMs,
    kind: why === 'time' ? 'delegated_access.expired' : 'delegated_access.revoked',
    project,
    subject: { type: 'delegated_access', id: accessId },
    reason: why,
    details: { wallet: walletId, delegate: delegateId, user: userId, publicShares: Buffer.from(publicShares).toString('hex') },
  })
  dropDelivery(tx, accessId)
  const delegate = getDelegate(tx, delegateId)
  const isFor = isToldTo({ webhookId: delegate?.webhookId })
  recordWebhookEvent(tx, { project, type: 'delegated_access.revoked', data: accessEvent(tx, access), nowMs, isFor })
  return { access, changed }
}

/** With the acknowledgement of a restore: which of them were revoked since the backup nobody knows. */
export const endAccessOfRestore = (tx: Tx, nowMs: number): void => {
  const by = { actor: { kind: 'operator', id: '' }, why: 'restore' } as const
  for (const { accessId } of openAccess(tx)) endAccess(tx, accessId, by, nowMs)
}

export type AccessEndNeeds = {
  readonly vault: DaemonVault
  readonly delegates: Pick<DelegateParties, 'erase'>
}

const AT_ONCE = 50

/** What has ended in the vault and is still to be overwritten elsewhere. */
export class AccessEnds {
  readonly #needs: AccessEndNeeds
  /** With the last epoch of its link whose material the share met. */
  readonly #unsettled = new Map<AccessId, number>()

  constructor(needs: AccessEndNeeds) {
    this.#needs = needs
  }

  /** Nothing that has ended is still to be overwritten. */
  get isSettled(): boolean {
    return this.#unsettled.size === 0
  }

  /** In the transaction that ends it; `settle` follows the commit. */
  end(tx: Tx, accessId: AccessId, ending: Ending, nowMs: number): DelegatedAccess {
    const lastUsedEpoch = getShare(tx, accessIdToBytes(accessId))?.lastUsedEpoch ?? 0
    const { access, changed } = endAccess(tx, accessId, ending, nowMs)
    if (changed) this.#unsettled.set(accessId, lastUsedEpoch)
    return access
  }

  /** As `GrantEnded`: what was delegated under a grant ends with it. */
  readonly ofGrant = (tx: Tx, grant: Grant, nowMs: number): boolean => {
    const open = openAccessOfGrant(tx, grant.grantId)
    for (const { accessId } of open) this.end(tx, accessId, { ...BY_DAEMON, why: 'grant' }, nowMs)
    return open.length > 0
  }

  /**
   * Nothing of what has ended is in memory or in the files when this resolves, but as the minute of an erasure lets the
   * material of a link stay that other accesses use (docs/protocol.md §4.3).
   */
  async settle(): Promise<void> {
    const { vault, delegates } = this.#needs
    for (const [accessId, lastUsedEpoch] of this.#unsettled) {
      const access = getDelegatedAccess(vault.read, accessId)
      // Its transaction did not come to be.
      const isOpen = access !== undefined && access.state !== 'REVOKED' && access.state !== 'EXPIRED'
      const identityKey = access === undefined || isOpen ? undefined : getDelegate(vault.read, access.delegateId)?.identityKey
      if (access !== undefined && identityKey !== undefined) {
        const wallet = { idC: partyIdOf(identityKey), walletId: accessIdToBytes(accessId) }
        const isLast = !hasOpenAccess(vault.read, access.linkId)
        await delegates.erase(wallet, { isLast, lastUsedEpoch })
      }
      this.#unsettled.delete(accessId)
    }
    vault.eraseDeleted()
  }

  /** Ends those whose time is over. They are of no use from their time on; this destroys their shares. */
  async endExpired(nowMs: number): Promise<number> {
    const { vault } = this.#needs
    let count = 0
    while (dueAccess(vault.read, nowMs, 1).length > 0) {
      const ended = await vault.commit((tx) => {
        const due = dueAccess(tx, nowMs, AT_ONCE)
        for (const { accessId } of due) this.end(tx, accessId, { ...BY_DAEMON, why: 'time' }, nowMs)
        return due.length
      })
      await this.settle()
      if (ended === 0) break
      count += ended
    }
    return count
  }
}
