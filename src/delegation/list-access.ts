/** What delegates were given, for whoever may know of it. */
import type { Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { parseDelegateId, parseUserId, parseWalletId, type WalletId } from '../domain/ids.ts'
import { walletsCovered } from '../policy/decide.ts'
import type { Permission } from '../policy/permissions.ts'
import { type AuthorizeNeeds, grantsOfCaller } from '../signing/authorize.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { type DelegatedAccess, listDelegatedAccess as listStored } from '../vault/delegated-access.ts'
import type { Reader } from '../vault/store.ts'
import { getWallet } from '../vault/wallets.ts'
import { type DelegatedAccessView, viewAccess } from './delegated-access-view.ts'

export type ListAccessNeeds = AuthorizeNeeds & { readonly vault: DaemonVault; readonly clock: Clock }

export type AccessListRequest = {
  readonly pageSize: number
  readonly cursor: string | undefined
  readonly walletId: string | undefined
  readonly userId: string | undefined
  readonly delegateId: string | undefined
  readonly openOnly: boolean
}

const READING = ['delegation:create', 'wallet:read'] as const satisfies readonly Permission[]
/** Rows that are looked at for one page of what a narrowed permission covers. */
const SCANNED_MAX = 5_000

/** The wallets whose delegations the caller may list; an end user's own are told apart by their user id. */
const covered = (reader: Reader, needs: ListAccessNeeds, call: Call): 'all' | ReadonlySet<WalletId> => {
  if (call.caller.kind === 'end_user') return 'all'
  const wallets = new Set<WalletId>()
  for (const permission of READING) {
    const some = walletsCovered(grantsOfCaller(reader, needs, call), permission)
    if (some === 'all') return 'all'
    for (const walletId of some) wallets.add(walletId)
  }
  if (wallets.size === 0) throw failure('PERMISSION_MISSING', { permission: READING[0] })
  return wallets
}

/** Pages in order of creation. The cursor is the number of the last access, in decimal. */
export const listAccess = (
  needs: ListAccessNeeds,
  call: Call,
  request: AccessListRequest,
): { readonly items: readonly DelegatedAccessView[]; readonly nextCursor: string | undefined } => {
  const { caller } = call
  const { read } = needs.vault
  const nowMs = Math.trunc(needs.clock.nowMs())
  const wallets = covered(read, needs, call)
  const own = caller.kind === 'end_user' ? caller.userId : undefined
  const asked = request.userId === undefined ? undefined : parseUserId(request.userId)
  if (own !== undefined && asked !== undefined && asked !== own) return { items: [], nextCursor: undefined }
  const page = {
    project: caller.projectId,
    userId: own ?? asked,
    walletId: request.walletId === undefined ? undefined : parseWalletId(request.walletId),
    delegateId: request.delegateId === undefined ? undefined : parseDelegateId(request.delegateId),
    openAtMs: request.openOnly ? nowMs : undefined,
  }
  // A project's own wallets bear a user's name too.
  const isTheirs = ({ walletId }: DelegatedAccess): boolean =>
    own === undefined || getWallet(read, walletId)?.ownerType === 'end_user'
  const seen = (access: DelegatedAccess): boolean =>
    (wallets === 'all' || wallets.has(access.walletId)) && isTheirs(access)
  const items: DelegatedAccess[] = []
  let after = request.cursor === undefined ? undefined : BigInt(request.cursor)
  for (let scanned = 0; scanned < SCANNED_MAX; ) {
    const found = listStored(read, { ...page, after, limit: request.pageSize + 1 })
    for (const access of found) {
      if (items.length === request.pageSize) return { items: viewed(read, items, nowMs), nextCursor: String(after) }
      if (seen(access)) items.push(access)
      after = access.number
    }
    scanned += found.length
    if (found.length <= request.pageSize) return { items: viewed(read, items, nowMs), nextCursor: undefined }
  }
  return { items: viewed(read, items, nowMs), nextCursor: String(after) }
}

const viewed = (reader: Reader, items: readonly DelegatedAccess[], nowMs: number): DelegatedAccessView[] =>
  items.map((access) => viewAccess(reader, access, nowMs))
