/** Spending delegations: tokens for them, and the wallets that were registered by them, as their chains say now. */
import { decodeBase58, encodeBase58 } from '../domain/base58.ts'
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure, invalidField, isFailure } from '../domain/failure.ts'
import { addressKeyOf, parseUserId, type UserId } from '../domain/ids.ts'
import { formatEvmAddress, parseEvmAddress } from '../payload/address.ts'
import { fromHex } from '../payload/bytes.ts'
import { authorize, type AuthorizeNeeds } from '../signing/authorize.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { issueDelegationToken } from '../vault/delegation-tokens.ts'
import { type ExternalWallet, externalWalletsOf, reorderExternalWallets } from '../vault/external-wallets.ts'
import type { Tx } from '../vault/store.ts'
import { type ExternalWalletView, type Standing, viewExternalWallet } from './external-wallet-view.ts'
import { isNews, noteCurrent } from './note-standing.ts'
import { type ChainConfigView, familyOf, listNetworks, networkOf, requireNetwork, type SpenderNeeds, spendingChainOf } from './spenders.ts'

export type SpendingNeeds = AuthorizeNeeds & SpenderNeeds & {
  readonly vault: DaemonVault
  readonly clock: Clock
  /** Blocks that a transaction must be deep, its own included. */
  readonly confirmations: number
}

/** An end user acts for themselves; a key needs `delegation:create`. */
export const authorizeCaller = (needs: SpendingNeeds, call: Call): void => {
  if (call.caller.kind !== 'end_user') authorize(needs.vault.read, needs, call, 'delegation:create')
}

/** Whose wallets a call is about: an end user's own, or those of the user that an API key with `delegation:create` names. */
const subjectOf = (needs: SpendingNeeds, call: Call, userIdText: string): UserId => {
  const { caller } = call
  if (caller.kind === 'end_user') {
    if (userIdText !== '' && userIdText !== caller.userId) throw invalidField('user_id', 'is not the user id of the caller')
    return caller.userId
  }
  authorizeCaller(needs, call)
  const userId = parseUserId(userIdText)
  if (userId === undefined) throw invalidField('user_id', 'is required')
  return userId
}

export const requireAddress = (text: string): Uint8Array => {
  const address = parseEvmAddress(text)
  if (address === undefined) throw invalidField('address', 'is not an EVM address, or its checksum is wrong')
  return address
}

/** 32 bytes in base58, in the one way in which it is written. */
export const requireSolanaAddress = (text: string): Uint8Array => {
  const key = decodeBase58(text)
  if (key?.length !== 32) throw invalidField('address', 'is not a Solana address')
  return key
}

export const bytesOf = (field: string, hex: string): Uint8Array => {
  const bytes = fromHex(hex)
  if (bytes === undefined) throw invalidField(field, 'is not hexadecimal')
  return bytes
}

export type ChainConfigRequest = { readonly network: string; readonly region: string }

export const getChainConfig = (needs: SpendingNeeds, call: Call, { network, region }: ChainConfigRequest): readonly ChainConfigView[] => {
  authorizeCaller(needs, call)
  const asked = network === '' ? undefined : networkOf(network, region)
  return listNetworks(needs, needs.vault.read, call.caller.projectId, asked)
}

export type TokenRequest = { readonly userId: string; readonly network: string; readonly address: string; readonly region: string }
export type IssuedToken = { readonly token: string; readonly nonce: string; readonly expireTimeMs: number }

export const issueToken = (needs: SpendingNeeds, call: Call, request: TokenRequest): Promise<IssuedToken> => {
  const userId = subjectOf(needs, call, request.userId)
  const isSolana = familyOf(needs, request.network) === 'solana'
  const address = isSolana ? encodeBase58(requireSolanaAddress(request.address)) : formatEvmAddress(requireAddress(request.address))
  const project = call.caller.projectId
  return needs.vault.commit((tx) => {
    const { network } = requireNetwork(needs, tx, project, networkOf(request.network, request.region))
    const nowMs = Math.trunc(needs.clock.nowMs())
    const { token, nonce, expireMs } = issueDelegationToken(tx, { project, userId, network, addressKey: addressKeyOf(address), nowMs })
    record(tx, call, { timeMs: nowMs, kind: 'delegation_token.issued', subject: { type: 'end_user', id: userId }, details: { network, address, nonce } })
    return { token, nonce, expireTimeMs: expireMs }
  })
}

export const record = (tx: Tx, call: Call, event: Pick<AuditEvent, 'timeMs' | 'kind' | 'subject' | 'details'>): void => {
  const { caller, method, requestId } = call
  appendAudit(tx, { ...event, project: caller.projectId, actor: actorOf(caller), method: method.split('/').at(-1) ?? method, requestId, decision: 'allow' })
}

/** What the chain says of a wallet now, where it can be read. What was taken back, or given again, is kept. */
const observe = async (needs: SpendingNeeds, wallet: ExternalWallet, signal: AbortSignal): Promise<ExternalWalletView> => {
  const standing = await readStanding(needs, wallet, signal)
  if (standing === undefined) return viewExternalWallet(wallet, undefined)
  const noted = { standing, nowMs: Math.trunc(needs.clock.nowMs()) }
  if (isNews(needs.vault.read, wallet, noted)) await needs.vault.commit((tx) => noteCurrent(tx, wallet.externalWalletId, noted))
  return viewExternalWallet({ ...wallet, state: standing.allowance === 0n ? 'REVOKED' : 'ACTIVE' }, standing)
}

const readStanding = async (needs: SpendingNeeds, wallet: ExternalWallet, signal: AbortSignal): Promise<Standing | undefined> => {
  try {
    return await spendingChainOf(needs, wallet.network).standing(wallet, signal)
  } catch (error) {
    if (isFailure(error)) return undefined
    throw error
  }
}

/** A user's external wallets, the first choice first, as the chains say now. */
export const listExternalWallets = (needs: SpendingNeeds, call: Call, request: { readonly userId: string }): Promise<readonly ExternalWalletView[]> => {
  const userId = subjectOf(needs, call, request.userId)
  const wallets = externalWalletsOf(needs.vault.read, call.caller.projectId, userId)
  return Promise.all(wallets.map((wallet) => observe(needs, wallet, call.signal)))
}

export type PriorityRequest = {
  readonly userId: string
  readonly priorities: readonly { readonly externalWalletId: string; readonly priority: number }[]
}

export const updatePriorities = async (needs: SpendingNeeds, call: Call, request: PriorityRequest): Promise<readonly ExternalWalletView[]> => {
  const userId = subjectOf(needs, call, request.userId)
  const priorities = new Map(request.priorities.map(({ externalWalletId, priority }) => [externalWalletId, priority]))
  if (priorities.size !== request.priorities.length) throw failure('PRIORITIES_INVALID', { why: 'a wallet is named twice' })
  const project = call.caller.projectId
  const wallets = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const reordered = reorderExternalWallets(tx, { project, userId, nowMs }, priorities)
    const details = { order: reordered.map(({ externalWalletId }) => externalWalletId) }
    record(tx, call, { timeMs: nowMs, kind: 'external_wallet.reordered', subject: { type: 'end_user', id: userId }, details })
    return reordered
  })
  return wallets.map((wallet) => viewExternalWallet(wallet, undefined))
}
