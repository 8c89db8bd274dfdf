/** What was spent, for whoever may know. */
import { apiKeyCallerOf, type Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { parseUserId, type WalletId } from '../domain/ids.ts'
import { authorize } from '../signing/authorize.ts'
import { getSpend as getStored, listSpends as listStored } from '../vault/spends.ts'
import { findWalletsByAddress } from '../vault/wallets.ts'
import type { SpendingNeeds } from './external-wallets.ts'
import { type SpendView, viewSpend } from './spend-view.ts'

const requireReader = (needs: SpendingNeeds, call: Call, walletId?: WalletId): void => {
  const { caller } = call
  if (caller.kind === 'end_user') return
  const permission = apiKeyCallerOf(caller).permissions.has('delegation:spend') ? 'delegation:spend' : 'delegation:create'
  authorize(needs.vault.read, needs, call, permission, walletId)
}

/** Refuses with SPEND_NOT_FOUND what is another project's, or another user's than the caller. */
export const getSpend = (needs: SpendingNeeds, call: Call, { spendId }: { readonly spendId: string }): SpendView => {
  const { caller } = call
  const { read } = needs.vault
  const spend = getStored(read, spendId)
  const isOwn = spend?.project === caller.projectId && (caller.kind !== 'end_user' || spend.userId === caller.userId)
  if (spend === undefined || !isOwn) throw failure('SPEND_NOT_FOUND', {})
  const [spender] = findWalletsByAddress(read, { project: spend.project, owner: undefined }, spend.spender)
  requireReader(needs, call, spender?.walletId)
  return viewSpend(read, spend)
}

export type SpendListRequest = { readonly pageSize: number; readonly cursor: string | undefined; readonly userId: string | undefined }
export type SpendPage = { readonly items: readonly SpendView[]; readonly nextCursor: string | undefined }

const FIRST = 2n ** 63n - 1n

export const listSpends = (needs: SpendingNeeds, call: Call, request: SpendListRequest): SpendPage => {
  const { caller } = call
  const { read } = needs.vault
  requireReader(needs, call)
  const own = caller.kind === 'end_user' ? caller.userId : undefined
  const asked = request.userId === undefined ? undefined : parseUserId(request.userId)
  if (own !== undefined && asked !== undefined && asked !== own) return { items: [], nextCursor: undefined }
  const before = request.cursor === undefined ? FIRST : BigInt(request.cursor)
  const found = listStored(read, { project: caller.projectId, userId: own ?? asked }, before, request.pageSize + 1)
  const items = found.slice(0, request.pageSize)
  return {
    items: items.map((spend) => viewSpend(read, spend)),
    nextCursor: found.length > items.length ? String(items.at(-1)?.number) : undefined,
  }
}
