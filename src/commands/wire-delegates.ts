/** The granting daemon's side of delegated access: the thread of links to delegates, who they are, what is decided. */
import type { DelegateDirectory } from '../rpc/delegates.ts'
import { AccessEnds } from '../delegation/end-access.ts'
import type { GrantEnded } from '../delegation/end-grants.ts'
import { failure } from '../domain/failure.ts'
import { DelegateParties } from '../party/delegate-parties.ts'
import { endKeysOfGrant } from '../session/end-with-grant.ts'
import { type DelegatedSignNeeds, delegatedDecisions } from '../signing/delegated-sign.ts'
import { callerOfAccess, requireStanding } from '../signing/delegated-standing.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { findAccessByApiKey, getDelegatedAccess, hasEndedAccess } from '../vault/delegated-access.ts'
import { requireUnsealed } from '../vault/restore-state.ts'

export const openDelegates = (needs: DelegatedSignNeeds): DelegateParties => {
  const { vault, clock, onAlert } = needs
  return new DelegateParties({ vault, clock, onAlert, decisions: delegatedDecisions(needs) })
}

/** A stop between the end of an access and the overwriting of its share's pages left that undone. */
export const openAccessEnds = (vault: DaemonVault, delegates: DelegateParties): AccessEnds => {
  if (hasEndedAccess(vault.read)) vault.eraseDeleted()
  return new AccessEnds({ vault, delegates })
}

/** Session keys and delegated access end with the grant that they were made under. */
export const grantEnder =
  (accessEnds: AccessEnds): GrantEnded =>
  (tx, grant, nowMs) =>
    [endKeysOfGrant(tx, grant, nowMs), accessEnds.ofGrant(tx, grant, nowMs)].includes(true)

/** Lets nobody in while the vault is sealed. */
export const createDelegateDirectory = (vault: DaemonVault): DelegateDirectory => ({
  findByKey: (presented, nowMs) => {
    const access = findAccessByApiKey(vault.read, presented)
    if (access === undefined) throw failure('WALLET_API_KEY_INVALID', {})
    requireUnsealed(vault.read)
    requireStanding(vault.read, access, nowMs)
    return callerOfAccess(access)
  },
  assertStands: ({ accessId }, nowMs) => {
    const access = getDelegatedAccess(vault.read, accessId)
    if (access === undefined) throw failure('WALLET_API_KEY_INVALID', {})
    requireStanding(vault.read, access, nowMs)
  },
})
