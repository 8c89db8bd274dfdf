import type { Call } from '../domain/call.ts'
import { failure, isFailure } from '../domain/failure.ts'
import { parseUserId } from '../domain/ids.ts'
import { walletsCovered } from '../policy/decide.ts'
import { authorize, type AuthorizeNeeds, grantsOfCaller } from '../signing/authorize.ts'
import { resolveWallet } from '../signing/resolve-wallet.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { type KeyType, listWallets as listStored, type Wallet, type WalletState } from '../vault/wallets.ts'
import { viewWallet, type WalletView } from './wallet-view.ts'

export type ReadWalletNeeds = AuthorizeNeeds & { readonly vault: DaemonVault }

/** One wallet of the caller's project, archived ones included. A wallet outside the caller's permission does not exist for it. */
export const getWallet = (
  needs: ReadWalletNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly keyType: KeyType | undefined },
): WalletView => {
  const { read } = needs.vault
  const wallet = resolveWallet(read, call.caller, args.walletRef, args.keyType)
  try {
    authorize(read, needs, call, 'wallet:read', wallet.walletId)
  } catch (error) {
    const narrowed = isFailure(error) && error.reason === 'PERMISSION_MISSING' && 'narrowedBy' in error.facts
    throw narrowed ? failure('WALLET_NOT_FOUND', {}) : error
  }
  return viewWallet(wallet, read)
}

export type WalletListRequest = {
  readonly pageSize: number
  readonly cursor: string | undefined
  readonly userId: string | undefined
  readonly keyType: KeyType | undefined
  readonly state: WalletView['state'] | undefined
}

/** Pages in order of creation. The cursor is the number of the last wallet looked at, in decimal. */
export const listWallets = (
  needs: ReadWalletNeeds,
  call: Call,
  request: WalletListRequest,
): { readonly items: readonly WalletView[]; readonly nextCursor: string | undefined } => {
  const { read } = needs.vault
  const covered = walletsCovered(grantsOfCaller(read, needs, call), 'wallet:read')
  if (covered !== 'all' && covered.size === 0) throw failure('PERMISSION_MISSING', { permission: 'wallet:read' })
  const items = listStored(read, {
    ...filterOf(call, request),
    ...(covered === 'all' ? {} : { among: [...covered] }),
    after: request.cursor === undefined ? 0n : BigInt(request.cursor),
    limit: request.pageSize + 1,
  })
  return { items: items.slice(0, request.pageSize).map((wallet) => viewWallet(wallet, read)), ...next(items, request) }
}

const next = (items: readonly Wallet[], { pageSize }: WalletListRequest): { nextCursor: string | undefined } => ({
  nextCursor: items.length > pageSize ? String(items[pageSize - 1]?.number) : undefined,
})

const filterOf = (call: Call, { userId, keyType, state }: WalletListRequest) => {
  const parsed = userId === undefined ? undefined : parseUserId(userId)
  const { caller } = call
  return {
    project: caller.projectId,
    userId: parsed,
    ...(caller.kind === 'end_user' ? { owner: caller.userId } : {}),
    keyType,
    state: state === undefined ? undefined : (state.toUpperCase() as WalletState),
  }
}
