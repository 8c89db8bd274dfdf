/**
 * Filling a slot with a wallet, generated or imported: the parties make it, and one transaction makes it exist. Its address
 * is told to nobody before both parties hold a durable share and the cosigner knows whose an end user's is.
 */
import { encodeBase58 } from '../domain/base58.ts'
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { isReservedUserId, parseUserId, walletIdFromBytes } from '../domain/ids.ts'
import type { Made } from '../party/owner-calls.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../payload/address.ts'
import { type AuthorizeNeeds, liveGrantsOf } from '../signing/authorize.ts'
import { fenceOfCaller, freezesOfCaller } from '../signing/caller-stops.ts'
import type { FenceKey, Fences } from '../signing/fences.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { type FreezeSubject, requireNotFrozen } from '../vault/freezes.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { activateShare, dropPendingShare, getShare, type ShareState } from '../vault/wallet-shares.ts'
import {
  countLivingWallets,
  findWalletInSlot,
  insertWallet,
  type KeyType,
  type NewWallet,
  type Wallet,
  type WalletSlot,
} from '../vault/wallets.ts'

export type FillNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly engine: Pick<SigningEngine, 'abandonWallet' | 'owners'>
  readonly fences: Fences
  readonly clock: Clock
  /** Slots that a creation in this process is filling. */
  readonly filling: Set<string>
}

export type NewWalletRequest = {
  readonly userId: string
  readonly keyType: KeyType
  readonly ownerType: 'project' | 'end_user'
  readonly label: string
  /** Of an end user's first wallet: what the cosigner writes into its own register. */
  readonly walletSecret: { readonly publicKey: Uint8Array; readonly signature: Uint8Array } | undefined
}

/** How the wallet comes to be. */
export type Making = Pick<NewWallet, 'origin' | 'state'> & {
  /** Of the audit row. */
  readonly kind: 'wallet.created' | 'wallet.imported'
  readonly method: string
  readonly shareState: ShareState
  /** Resolves when both parties hold durable PENDING records. */
  readonly make: () => Promise<Made>
  /** What else the transaction that decides writes. */
  readonly record: (tx: Tx, wallet: Wallet, walletId: Uint8Array, timeMs: number) => void
  /** After that transaction. */
  readonly acknowledge: (sid: Uint8Array, walletId: Uint8Array) => Promise<void>
}

const RETRY_AFTER_MS = 50

/**
 * Refuses: WALLET_ALREADY_EXISTS naming the wallet, LIMIT_EXCEEDED, FROZEN, OVERLOADED, DEADLINE_EXCEEDED,
 * WALLET_SECRET_REFUSED, COSIGNER_UNAVAILABLE, and what `making` refuses.
 */
export const fillSlot = async (
  needs: FillNeeds,
  call: Call,
  filling: { readonly slot: WalletSlot; readonly secret: NewWalletRequest['walletSecret'] },
  making: Making,
): Promise<Wallet> => {
  const { slot } = filling
  assertFree(needs.vault.read, call, slot)
  if (call.signal.aborted || needs.clock.nowMs() >= call.deadlineMs) throw failure('DEADLINE_EXCEEDED', {})
  const passage = needs.fences.enter(fencesOf(call))
  const name = JSON.stringify(slot)
  if (needs.filling.has(name)) throw failure('OVERLOADED', { retryAfterMs: RETRY_AFTER_MS })
  needs.filling.add(name)
  try {
    return await makeIn(needs, call, { ...filling, check: passage.check }, making)
  } finally {
    needs.filling.delete(name)
    passage.leave()
  }
}

const fencesOf = (call: Call): readonly FenceKey[] => [
  { scope: 'all', id: '*' },
  { scope: 'project', id: call.caller.projectId },
  fenceOfCaller(call.caller),
]

/** As the vault keeps them. */
const freezesOf = (call: Call): readonly FreezeSubject[] => [
  { scope: 'project', id: call.caller.projectId },
  ...freezesOfCaller(call.caller),
]

/** Refuses: INVALID_REQUEST, USER_ID_RESERVED, PERMISSION_MISSING (an end user, for somebody else). */
export const parseSlot = (call: Call, request: NewWalletRequest): WalletSlot => {
  const { keyType, ownerType, label } = request
  if (request.walletSecret !== undefined && ownerType !== 'end_user') {
    const violations = [{ field: 'wallet_secret', description: "is for an end user's wallet" }]
    throw failure('INVALID_REQUEST', { violations })
  }
  const userId = parseUserId(request.userId)
  if (userId === undefined) {
    throw invalidField('user_id', 'is malformed')
  }
  if (isReservedUserId(userId)) throw failure('USER_ID_RESERVED', { userId })
  requireOwn(call, userId, ownerType)
  return { project: call.caller.projectId, userId, keyType, ownerType, label }
}

/** An end user makes wallets for themselves, to be their own. */
const requireOwn = ({ caller }: Call, userId: string, ownerType: NewWalletRequest['ownerType']): void => {
  if (caller.kind !== 'end_user') return
  const narrowedBy = userId !== caller.userId ? 'user' : ownerType !== 'end_user' ? 'owner_type' : undefined
  if (narrowedBy !== undefined) throw failure('PERMISSION_MISSING', { permission: 'wallet:create', narrowedBy })
}

/** Of each kind of key; a project may make more for them. */
const MAX_WALLETS_OF_END_USER = 20

const assertFree = (reader: Reader, { caller }: Call, slot: WalletSlot): void => {
  const holder = findWalletInSlot(reader, slot)
  if (holder !== undefined) throw failure('WALLET_ALREADY_EXISTS', { walletId: holder.walletId })
  if (caller.kind !== 'end_user') return
  const count = countLivingWallets(reader, { project: slot.project, owner: caller.userId }, slot.keyType)
  if (count < MAX_WALLETS_OF_END_USER) return
  const facts = { limit: 'wallets of one end user', seen: String(count + 1), allowed: String(MAX_WALLETS_OF_END_USER) }
  throw failure('LIMIT_EXCEEDED', facts)
}

/** First here, where it was to be decided, then at the cosigner, which would keep its part until the next start. */
const abandon = async ({ vault, engine }: FillNeeds, walletId: Uint8Array, timeMs: number): Promise<void> => {
  try {
    await vault.commit((tx) => dropPendingShare(tx, walletId, timeMs))
    await engine.abandonWallet(walletId)
  } catch {
    // What is left is asked about, or dropped, when the parties are joined again.
  }
}

/** EVM: EIP-55. Solana: the public key in base58. */
const addressOf = (keyType: KeyType, publicKey: Uint8Array): string =>
  keyType === 'ed25519' ? encodeBase58(publicKey) : formatEvmAddress(evmAddressOfPublicKey(publicKey))

type Filling = {
  readonly slot: WalletSlot
  readonly secret: NewWalletRequest['walletSecret']
  readonly check: () => void
}

const makeIn = async (needs: FillNeeds, call: Call, { slot, secret, check }: Filling, making: Making): Promise<Wallet> => {
  const { vault, engine, clock } = needs
  const made = await making.make()
  const { walletId } = made.wallet
  const timeMs = Math.trunc(clock.nowMs())
  let wallet: Wallet
  try {
    // Before anybody learns the address the cosigner knows by itself whose the wallet is.
    const { project, userId } = slot
    if (slot.ownerType === 'end_user') await engine.owners.claimWallet({ walletId, project, userId, secret })
    else await engine.owners.claimForProject({ walletId, project })
    check()
    if (call.signal.aborted) throw failure('DEADLINE_EXCEEDED', {})
    wallet = await vault.commit((tx) => {
      requireNotFrozen(tx, freezesOf(call))
      // What the caller showed may be over by now, and wallets may have come.
      liveGrantsOf(tx, needs, call.caller, clock.nowMs())
      assertFree(tx, call, slot)
      return recordMade(tx, call, { slot, made, making, timeMs })
    })
  } catch (error) {
    await abandon(needs, walletId, timeMs)
    throw error
  }
  void making.acknowledge(made.sid, walletId)
  return wallet
}

type Recording = {
  readonly slot: WalletSlot
  readonly made: Made
  readonly making: Making
  readonly timeMs: number
}

const recordMade = (tx: Tx, call: Call, { slot, made, making, timeMs }: Recording): Wallet => {
  const { walletId: bytes, active, linkId, shownPublicKey } = made.wallet
  const { kind, method, origin, state, shareState } = making
  const walletId = walletIdFromBytes(bytes)
  const address = addressOf(slot.keyType, shownPublicKey)
  // The cosigner may have been told ABORTED meanwhile: then this wallet can no longer come to be.
  if (getShare(tx, bytes, 'pending') === undefined) throw failure('COSIGNER_UNAVAILABLE', { why: 'it dropped the key' })
  const wallet = insertWallet(tx, { ...slot, walletId, address, publicKey: shownPublicKey, state, origin, createMs: timeMs })
  activateShare(tx, { share: active, linkId, state: shareState, timeMs })
  appendAudit(tx, {
    timeMs,
    kind,
    project: slot.project,
    actor: actorOf(call.caller),
    subject: { type: 'wallet', id: walletId },
    method,
    requestId: call.requestId,
    decision: 'allow',
    details: { address, keyType: slot.keyType, ownerType: slot.ownerType, userId: slot.userId, label: slot.label },
  })
  making.record(tx, wallet, bytes, timeMs)
  return wallet
}
