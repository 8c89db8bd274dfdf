/** The granting daemon's side of delegated access: the thread of links to delegates, who they are, what is decided. */
import type { DelegateDirectory } from '../rpc/delegates.ts'
import { failure } from '../domain/failure.ts'
import { DelegateParties } from '../party/delegate-parties.ts'
import { type DelegatedSignNeeds, delegatedDecisions } from '../signing/delegated-sign.ts'
import { callerOfAccess, requireStanding } from '../signing/delegated-standing.ts'
import { type DaemonVault } from '../vault/daemon-vault.ts'
import { findAccessByApiKey, getDelegatedAccess } from '../vault/delegated-access.ts'
import { requireUnsealed } from '../vault/restore-state.ts'

export const openDelegates = (needs: DelegatedSignNeeds): DelegateParties => {
  const { vault, clock, onAlert } = needs
  return new DelegateParties({ vault, clock, onAlert, decisions: delegatedDecisions(needs) })
}

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
