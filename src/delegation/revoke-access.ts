import { actorOf, type Call, type Caller } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { parseAccessId } from '../domain/ids.ts'
import { authorize, type AuthorizeNeeds } from '../signing/authorize.ts'
import type { Fences } from '../signing/fences.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { accessStateAt, type DelegatedAccess, getDelegatedAccess } from '../vault/delegated-access.ts'
import type { Reader } from '../vault/store.ts'
import { getWallet } from '../vault/wallets.ts'
import { type DelegatedAccessView, viewAccess } from './delegated-access-view.ts'
import type { AccessEndReason, AccessEnds } from './end-access.ts'

export type RevokeAccessNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly fences: Fences
  readonly clock: Clock
  readonly accessEnds: AccessEnds
}

/** An end user's are those to wallets that they own: a project's own wallets bear a user's name too. */
const isTheirs = (reader: Reader, caller: Caller, { accessId, userId, walletId }: DelegatedAccess): boolean => {
  if (caller.kind === 'delegate') return accessId === caller.accessId
  return caller.kind !== 'end_user' || (userId === caller.userId && getWallet(reader, walletId)?.ownerType === 'end_user')
}

/** The access, if it exists for the caller; DELEGATED_ACCESS_NOT_FOUND otherwise. */
const visibleAccess = (reader: Reader, caller: Caller, text: string): DelegatedAccess => {
  const accessId = parseAccessId(text.toLowerCase())
  const access = accessId && getDelegatedAccess(reader, accessId)
  if (access === undefined || access.project !== caller.projectId) throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
  if (!isTheirs(reader, caller, access)) throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
  return access
}

const REASONS: { readonly [K in Caller['kind']]: AccessEndReason } = {
  end_user: 'user',
  delegate: 'delegate',
  project: 'project',
  sidecar: 'project',
  operator: 'project',
}

/**
 * Ends delegated access for good: what is in flight under it is stopped first and waited for; then the daemon's half of the
 * key is destroyed, in the files and in memory; then it is answered. Refuses: DELEGATED_ACCESS_NOT_FOUND,
 * PERMISSION_MISSING. Revoking what has ended changes nothing.
 */
export const revokeDelegatedAccess = async (
  needs: RevokeAccessNeeds,
  call: Call,
  args: { readonly accessId: string },
): Promise<DelegatedAccessView> => {
  const { vault, fences, clock, accessEnds } = needs
  const { accessId, walletId } = visibleAccess(vault.read, call.caller, args.accessId)
  const { kind } = call.caller
  if (kind !== 'end_user' && kind !== 'delegate') authorize(vault.read, needs, call, 'grant:revoke', walletId)
  const by = { actor: actorOf(call.caller), method: 'RevokeDelegatedAccess', requestId: call.requestId, decision: 'allow' } as const
  return fences.during({ scope: 'delegated_access', id: accessId }, async () => {
    const ended = await vault.commitFirst((tx) => {
      const nowMs = Math.trunc(clock.nowMs())
      const access = getDelegatedAccess(tx, accessId)
      const isOver = access !== undefined && accessStateAt(access, nowMs) === 'EXPIRED'
      return accessEnds.end(tx, accessId, { ...by, why: isOver ? 'time' : REASONS[kind] }, nowMs)
    })
    if (!accessEnds.isSettled) await accessEnds.settle()
    return viewAccess(vault.read, ended, Math.trunc(clock.nowMs()))
  })
}
