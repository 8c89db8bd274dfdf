/** Whether a delegated access is good now, and what it lets its delegate have signed. */
import type { DelegateCaller } from '../domain/call.ts'
import { delegatePrincipal } from '../domain/call.ts'
import type { DelegatedOperation } from '../domain/delegated-terms.ts'
import { failure, type Failure } from '../domain/failure.ts'
import { accessIdToBytes } from '../domain/ids.ts'
import type { SigningOperation } from '../payload/facts.ts'
import { parsePermissionGrants } from '../policy/parse-grants.ts'
import type { PermissionGrant } from '../policy/permissions.ts'
import { accessStateAt, type DelegatedAccess } from '../vault/delegated-access.ts'
import { failureOfEnded, getGrant, stateAt } from '../vault/grants.ts'
import type { Reader } from '../vault/store.ts'
import { shareStateOf } from '../vault/wallet-shares.ts'
import type { FenceKey } from './fences.ts'

export const callerOfAccess = ({ accessId, project }: DelegatedAccess): DelegateCaller => ({
  kind: 'delegate',
  principal: delegatePrincipal(accessId),
  projectId: project,
  accessId,
})

/** Why an access is over, by its row and the clock; undefined while it is not. */
const endOfAccess = (access: DelegatedAccess, nowMs: number): Failure | undefined => {
  const { accessId: delegatedAccessId, expireMs } = access
  const state = accessStateAt(access, nowMs)
  if (state === 'REVOKED') return failure('DELEGATED_ACCESS_REVOKED', { delegatedAccessId })
  if (state !== 'EXPIRED') return undefined
  return failure('DELEGATED_ACCESS_EXPIRED', { delegatedAccessId, expireTime: new Date(expireMs).toISOString() })
}

/**
 * Refuses an access that is over: DELEGATED_ACCESS_REVOKED, DELEGATED_ACCESS_EXPIRED; GRANT_REVOKED or GRANT_EXPIRED where
 * the grant is over that it was made under. DELEGATED_ACCESS_NOT_FOUND for one whose shares nobody has been given yet.
 */
export const requireStanding = (reader: Reader, access: DelegatedAccess, nowMs: number): void => {
  const end = endOfAccess(access, nowMs)
  if (end !== undefined) throw end
  if (access.state === 'MAKING') throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
  const grant = access.grantId && getGrant(reader, access.grantId)
  if (grant !== undefined && stateAt(grant, nowMs) !== 'ACTIVE') throw failureOfEnded(grant)
}

/** Whether its share was suspended or quarantined. */
export const isStopped = (reader: Reader, { accessId }: DelegatedAccess): boolean => {
  const state = shareStateOf(reader, accessIdToBytes(accessId))
  return state === 'SUSPENDED' || state === 'QUARANTINED'
}

const OPERATIONS: { readonly [O in SigningOperation]: DelegatedOperation | undefined } = {
  message: 'message',
  'typed-data': 'typed_data',
  transaction: 'transaction',
  digest: 'digest',
  // An account is not handed over by somebody it was lent to.
  authorization: undefined,
}

/** Refuses with PERMISSION_MISSING what the access does not list. */
export const requireOperation = ({ terms }: DelegatedAccess, operation: SigningOperation): void => {
  const asked = OPERATIONS[operation]
  if (asked !== undefined && terms.operations.includes(asked)) return
  if (operation === 'digest') throw failure('PERMISSION_MISSING', { permission: 'sign:digest' })
  if (operation === 'authorization') throw failure('PERMISSION_MISSING', { permission: 'sign:authorization' })
  throw failure('PERMISSION_MISSING', { permission: 'wallet:sign', narrowedBy: 'operation' })
}

const parsed = new WeakMap<DelegatedAccess['terms'], readonly PermissionGrant[]>()

/** What it lets its delegate do, in the words in which every caller's permissions are. */
export const grantsOfAccess = ({ terms }: DelegatedAccess): readonly PermissionGrant[] => {
  const known = parsed.get(terms)
  if (known !== undefined) return known
  const { operations, narrowing } = terms
  const signs = operations.some((operation) => operation !== 'digest')
  const permissions = [...(signs ? ['wallet:sign'] : []), ...(operations.includes('digest') ? ['sign:digest'] : [])]
  const grants = parsePermissionGrants(permissions.map((permission) => ({ permission, narrowing })))
  parsed.set(terms, grants)
  return grants
}

/** What stops it. */
export const fencesOfAccess = ({ accessId, project, walletId, grantId }: DelegatedAccess): readonly FenceKey[] => [
  { scope: 'delegated_access', id: accessId },
  { scope: 'all', id: '*' },
  { scope: 'project', id: project },
  { scope: 'wallet', id: walletId },
  ...(grantId === undefined ? [] : [{ scope: 'grant', id: grantId } as const]),
]
