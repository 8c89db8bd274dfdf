/** Grants of end users: given by the person, taken back by the person or the project, ended by their time. */
import { actorOf, type Call, endUserOf } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure, invalidField, isFailure } from '../domain/failure.ts'
import { type GrantId, parseGrantId, parseUserId, type ProjectId, type UserId } from '../domain/ids.ts'
import { walletsCovered } from '../policy/decide.ts'
import type { Permission } from '../policy/permissions.ts'
import { authorize, type AuthorizeNeeds, grantsOfCaller, liveGrantsOf } from '../signing/authorize.ts'
import type { Fences } from '../signing/fences.ts'
import { appendAudit, findAuditOfRequest } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import {
  expireGrantsOfUser,
  type Grant,
  insertGrant,
  isDelegationEnabled,
  listGrants as listStored,
  requireGrant,
  revokeGrant as revokeStored,
  stateAt,
} from '../vault/grants.ts'
import { requireProject } from '../vault/projects.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { findWalletsByAddress, getWallet, type Wallet } from '../vault/wallets.ts'
import { type GrantEnded, type GrantErased, grantDetails, grantEvent, recordEnd, recordExpiry } from './end-grants.ts'
import { type GrantView, viewGrant } from './grant-view.ts'

export type GrantNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly fences: Fences
  readonly clock: Clock
  /** How far ahead the end of a grant may lie. */
  readonly maxGrantMs: number
  readonly grantEnded: GrantEnded
  readonly grantErased: GrantErased
}

export type NewGrantRequest = {
  readonly scope: { readonly kind: 'user'; readonly userId: string } | { readonly kind: 'address'; readonly address: string }
  readonly expireTimeMs: number
}

/**
 * Grants the project the caller's wallets. Refuses: DELEGATION_NOT_ENABLED; INVALID_REQUEST for another's user id and for
 * a time that has passed or lies too far ahead; WALLET_NOT_FOUND for an address that is not the caller's own;
 * GRANT_ALREADY_EXISTS.
 */
export const createGrant = async (needs: GrantNeeds, call: Call, request: NewGrantRequest): Promise<GrantView> => {
  const { projectId, userId } = endUserOf(call.caller)
  let erases = false
  const granted = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    // The wallet secret may have been taken back since it signed.
    liveGrantsOf(tx, needs, call.caller, nowMs)
    const repeated = call.isRepeat ? grantedBefore(tx, call, projectId, userId) : undefined
    if (repeated !== undefined) return viewGrant(repeated, nowMs)
    if (!isDelegationEnabled(requireProject(tx, projectId))) throw failure('DELEGATION_NOT_ENABLED', {})
    const address = scopeOf(tx, projectId, userId, request)
    const expireMs = Math.trunc(request.expireTimeMs)
    if (expireMs <= nowMs) throw invalidField('expire_time', 'has passed')
    if (expireMs > nowMs + needs.maxGrantMs) {
      throw invalidField('expire_time', `is more than ${needs.maxGrantMs / 86_400_000} days ahead`)
    }
    erases = recordExpiry(tx, expireGrantsOfUser(tx, projectId, userId, nowMs), needs.grantEnded)
    const grant = insertGrant(tx, { project: projectId, userId, address, expireMs, nowMs })
    recordCreated(tx, call, grant)
    return viewGrant(grant, nowMs)
  })
  if (erases) await needs.grantErased()
  return granted
}

const recordCreated = (tx: Tx, call: Call, grant: Grant): void => {
  appendAudit(tx, {
    timeMs: grant.createMs,
    kind: 'grant.created',
    project: grant.project,
    actor: actorOf(call.caller),
    subject: { type: 'grant', id: grant.grantId },
    method: 'CreateGrant',
    requestId: call.requestId,
    decision: 'allow',
    details: grantDetails(grant),
  })
  const { project, createMs: nowMs } = grant
  recordWebhookEvent(tx, { project, type: 'grant.created', data: grantEvent(grant), nowMs })
}

/** The address as the wallet shows it; undefined for all wallets of the caller. */
const scopeOf = (tx: Tx, project: ProjectId, userId: UserId, { scope }: NewGrantRequest): string | undefined => {
  if (scope.kind === 'user') {
    if (scope.userId !== userId) throw invalidField('user_id', 'is not the user id of the caller')
    return undefined
  }
  const [wallet] = findWalletsByAddress(tx, { project, owner: userId }, scope.address)
  if (wallet === undefined || wallet.state === 'ARCHIVED') throw failure('WALLET_NOT_FOUND', {})
  return wallet.address
}

/** What an interrupted run of the same request granted, when it came that far. */
const grantedBefore = (tx: Tx, call: Call, project: ProjectId, userId: UserId): Grant | undefined => {
  const { requestId, caller } = call
  if (requestId === undefined) return undefined
  const newest = listStored(tx, { project, userId, newestFirst: true, nowMs: 0, limit: RECENT })
  return newest.find(({ grantId: subjectId }) =>
    findAuditOfRequest(tx, { subjectId, kind: 'grant.created', actorId: caller.principal, requestId }),
  )
}

/** More grants than one user makes while a request is cut off and asked again. */
const RECENT = 64

/** Whether an API key may hear of a grant: with a permission that is narrowed to wallets, of one that covers such a wallet. */
const mayRead = (reader: Reader, needs: GrantNeeds, call: Call, grant: Grant): boolean =>
  READING.some((permission) => {
    const covered = walletsCovered(grantsOfCaller(reader, needs, call), permission)
    if (covered === 'all') return true
    return [...covered].some((walletId) => isCovered(grant, getWallet(reader, walletId)))
  })

const READING = ['wallet:read', 'grant:revoke'] as const satisfies readonly Permission[]

const isCovered = (grant: Grant, wallet: Wallet | undefined): boolean =>
  wallet !== undefined &&
  wallet.project === grant.project &&
  wallet.ownerType === 'end_user' &&
  wallet.userId === grant.userId &&
  (grant.address === undefined || grant.address === wallet.address)

/** The grant, if it exists for the caller; GRANT_NOT_FOUND otherwise. */
const visibleGrant = (reader: Reader, needs: GrantNeeds, call: Call, id: string): Grant => {
  const { caller } = call
  const grantId = parseGrantId(id)
  if (grantId === undefined) throw failure('GRANT_NOT_FOUND', {})
  if (caller.kind === 'end_user') return requireGrant(reader, grantId, caller.projectId, caller.userId)
  const grant = requireGrant(reader, grantId, caller.projectId)
  if (!mayRead(reader, needs, call, grant)) throw failure('GRANT_NOT_FOUND', {})
  return grant
}

export const getGrant = (needs: GrantNeeds, call: Call, args: { readonly grantId: string }): GrantView =>
  viewGrant(visibleGrant(needs.vault.read, needs, call, args.grantId), needs.clock.nowMs())

export type GrantListRequest = {
  readonly pageSize: number
  readonly cursor: string | undefined
  readonly userId: string | undefined
  readonly address: string | undefined
  readonly state: GrantView['state'] | undefined
}

type GrantPage = { readonly items: readonly GrantView[]; readonly nextCursor: string | undefined }

/** Pages in order of creation. The cursor is the number of the last grant, in decimal. */
export const listGrants = (needs: GrantNeeds, call: Call, request: GrantListRequest): GrantPage => {
  const { caller } = call
  const { read } = needs.vault
  const nowMs = needs.clock.nowMs()
  const own = caller.kind === 'end_user' ? caller.userId : undefined
  if (own === undefined) authorizeAny(read, needs, call)
  const asked = request.userId === undefined ? undefined : parseUserId(request.userId)
  if (own !== undefined && asked !== undefined && asked !== own) return { items: [], nextCursor: undefined }
  const found = listStored(read, {
    project: caller.projectId,
    userId: own ?? asked,
    address: request.address,
    state: request.state === undefined ? undefined : STATES[request.state],
    nowMs: Math.trunc(nowMs),
    after: request.cursor === undefined ? undefined : BigInt(request.cursor),
    limit: request.pageSize + 1,
  })
  const items = found.slice(0, request.pageSize)
  return {
    items: items.map((grant) => viewGrant(grant, nowMs)),
    nextCursor: found.length > items.length ? String(items.at(-1)?.number) : undefined,
  }
}

const STATES = { active: 'ACTIVE', expired: 'EXPIRED', revoked: 'REVOKED' } as const

/** Under whichever of the permissions covers it; refuses as the first of them does. */
const authorizeAny = (reader: Reader, needs: GrantNeeds, call: Call): void => {
  const [first, second] = READING
  try {
    authorize(reader, needs, call, first)
  } catch (error) {
    if (!isFailure(error) || error.reason !== 'PERMISSION_MISSING') throw error
    authorize(reader, needs, call, second)
  }
}

/** An API key whose permission is narrowed to wallets takes back what reaches no other wallet. */
const authorizeRevoking = (reader: Reader, needs: GrantNeeds, call: Call, grant: Grant): void => {
  if (call.caller.kind === 'end_user') return
  const [wallet] =
    grant.address === undefined
      ? []
      : findWalletsByAddress(reader, { project: grant.project, owner: grant.userId }, grant.address)
  authorize(reader, needs, call, 'grant:revoke', wallet?.walletId)
}

/**
 * Ends a grant: what is in flight under it is stopped first and waited for, then its end is durable, then answered.
 * Refuses: GRANT_NOT_FOUND, PERMISSION_MISSING.
 */
export const revokeGrant = async (needs: GrantNeeds, call: Call, args: { readonly grantId: string }): Promise<GrantView> => {
  const { vault, fences, clock } = needs
  const grant = visibleGrant(vault.read, needs, call, args.grantId)
  authorizeRevoking(vault.read, needs, call, grant)
  if (stateAt(grant, clock.nowMs()) !== 'ACTIVE') return viewGrant(grant, clock.nowMs())
  const { view, erases } = await fences.during({ scope: 'grant', id: grant.grantId }, () =>
    vault.commitFirst((tx) => endByRequest(tx, needs, call, grant.grantId)),
  )
  if (erases) await needs.grantErased()
  return view
}

type EndedByRequest = { readonly view: GrantView; readonly erases: boolean }

const endByRequest = (tx: Tx, needs: GrantNeeds, call: Call, grantId: GrantId): EndedByRequest => {
  const nowMs = Math.trunc(needs.clock.nowMs())
  const { grant, ended } = revokeStored(tx, grantId, nowMs)
  const by = { actor: actorOf(call.caller), method: 'RevokeGrant', requestId: call.requestId, decision: 'allow' } as const
  const erases = ended && recordEnd(tx, grant, by, needs.grantEnded)
  return { view: viewGrant(grant, nowMs), erases }
}

