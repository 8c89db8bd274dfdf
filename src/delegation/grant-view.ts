import type { GrantId } from '../domain/ids.ts'
import { type Grant, stateAt } from '../vault/grants.ts'

/** A grant as its callers see it. */
export type GrantView = {
  readonly grantId: GrantId
  readonly userId: string
  /** Undefined where it covers all wallets of the end user. */
  readonly address: string | undefined
  readonly state: 'active' | 'expired' | 'revoked'
  readonly expireTimeMs: number
  readonly createTimeMs: number
  readonly revokeTimeMs: number | undefined
}

export const viewGrant = (grant: Grant, nowMs: number): GrantView => ({
  grantId: grant.grantId,
  userId: grant.userId,
  address: grant.address,
  state: stateAt(grant, nowMs).toLowerCase() as GrantView['state'],
  expireTimeMs: grant.expireMs,
  createTimeMs: grant.createMs,
  revokeTimeMs: grant.state === 'REVOKED' ? grant.endMs : undefined,
})
