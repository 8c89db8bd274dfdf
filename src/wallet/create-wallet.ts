/** Creating a wallet: key generation between both parties, and the one transaction that makes it exist. */
import { encodeBase58 } from '../domain/base58.ts'
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { isReservedUserId, parseUserId, walletIdFromBytes } from '../domain/ids.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../payload/address.ts'
import { authorize, type AuthorizeNeeds, liveGrantsOf } from '../signing/authorize.ts'
import { fenceOfCaller, freezesOfCaller } from '../signing/caller-stops.ts'
import type { FenceKey, Fences } from '../signing/fences.ts'
import { appendAudit, listAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { type FreezeSubject, requireNotFrozen } from '../vault/freezes.ts'
import { activateShare, dropPendingShare, getShare } from '../vault/wallet-shares.ts'
import type { Reader } from '../vault/store.ts'
import { countLivingWallets, findWalletInSlot, insertWallet, type KeyType, type Wallet, type WalletSlot } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { viewWallet, walletEvent, type WalletView } from './wallet-view.ts'

export type CreateWalletNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly engine: Pick<SigningEngine, 'generateWallet' | 'acknowledge' | 'abandonWallet' | 'owners'>
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

const RETRY_AFTER_MS = 50

/**
 * Generates a wallet. Its address is told to nobody before both parties hold a durable share.
 * Refuses: PERMISSION_MISSING, USER_ID_RESERVED, WALLET_ALREADY_EXISTS naming the wallet, FROZEN,
 * COSIGNER_UNAVAILABLE, WALLET_SECRET_REFUSED, LINK_BURNED, LINK_SUSPENDED, AUDIT_UNAVAILABLE.
 */
export const createWallet = async (
  needs: CreateWalletNeeds,
  call: Call,
  request: NewWalletRequest,
): Promise<WalletView> => {
  const { vault } = needs
  authorize(vault.read, needs, call, 'wallet:create')
  const slot = parseSlot(call, request)
  const repeated = call.isRepeat ? madeBefore(needs, call, slot) : undefined
  if (repeated !== undefined) return viewWallet(repeated, vault.read)
  assertFree(vault.read, call, slot)
  if (call.signal.aborted || needs.clock.nowMs() >= call.deadlineMs) throw failure('DEADLINE_EXCEEDED', {})
  const passage = needs.fences.enter(fencesOf(call))
  const name = JSON.stringify(slot)
  if (needs.filling.has(name)) throw failure('OVERLOADED', { retryAfterMs: RETRY_AFTER_MS })
  needs.filling.add(name)
  try {
    return viewWallet(await generate(needs, call, { slot, secret: request.walletSecret, check: passage.check }), vault.read)
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

const parseSlot = (call: Call, request: NewWalletRequest): WalletSlot => {
  const { keyType, ownerType, label } = request
  if (request.walletSecret !== undefined && ownerType !== 'end_user') {
    const violations = [{ field: 'wallet_secret', description: "is for an end user's wallet" }]
    throw failure('INVALID_REQUEST', { violations })
  }
  const userId = parseUserId(request.userId)
  if (userId === undefined) {
    throw failure('INVALID_REQUEST', { violations: [{ field: 'user_id', description: 'is malformed' }] })
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

/** The wallet that an interrupted run of the same request made, when it came that far. */
const madeBefore = ({ vault }: CreateWalletNeeds, call: Call, slot: WalletSlot): Wallet | undefined => {
  const holder = findWalletInSlot(vault.read, slot)
  if (holder === undefined || call.requestId === undefined) return undefined
  const [made] = listAudit(vault.read, 0n, 1, { subjectId: holder.walletId, kind: 'wallet.created' })
  const same = made?.actor.id === call.caller.principal && made.requestId === call.requestId
  return same ? holder : undefined
}

/** First here, where it was to be decided, then at the cosigner, which would keep its part until the next start. */
const abandon = async ({ vault, engine }: CreateWalletNeeds, walletId: Uint8Array, timeMs: number): Promise<void> => {
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

const generate = async (
  needs: CreateWalletNeeds,
  call: Call,
  { slot, secret, check }: Filling,
): Promise<Wallet> => {
  const { vault, engine, clock } = needs
  const { keyType } = slot
  const { sid, wallet: generated } = await engine.generateWallet(keyType)
  const { walletId: bytes, active, linkId, shownPublicKey } = generated
  const walletId = walletIdFromBytes(bytes)
  const address = addressOf(keyType, shownPublicKey)
  const timeMs = Math.trunc(clock.nowMs())
  let wallet: Wallet
  try {
    // Before anybody learns the address the cosigner knows by itself whose the wallet is.
    if (slot.ownerType === 'end_user') {
      await engine.owners.claimWallet({ walletId: bytes, project: slot.project, userId: slot.userId, secret })
    }
    check()
    if (call.signal.aborted) throw failure('DEADLINE_EXCEEDED', {})
    wallet = await vault.commit((tx) => {
      requireNotFrozen(tx, freezesOf(call))
      // What the caller showed may be over by now, and wallets may have come.
      liveGrantsOf(tx, needs, call.caller, clock.nowMs())
      assertFree(tx, call, slot)
      // The cosigner may have been told ABORTED meanwhile: then this wallet can no longer come to be.
      if (getShare(tx, bytes, 'pending') === undefined) throw failure('COSIGNER_UNAVAILABLE', { why: 'it dropped the key' })
      const made = insertWallet(tx, {
        ...slot,
        walletId,
        address,
        publicKey: shownPublicKey,
        state: 'ACTIVE',
        origin: 'dkg',
        createMs: timeMs,
      })
      activateShare(tx, { share: active, linkId, state: 'ACTIVE', timeMs })
      appendAudit(tx, {
        timeMs,
        kind: 'wallet.created',
        project: slot.project,
        actor: actorOf(call.caller),
        subject: { type: 'wallet', id: walletId },
        method: 'CreateWallet',
        requestId: call.requestId,
        decision: 'allow',
        details: { address, keyType, ownerType: slot.ownerType, userId: slot.userId, label: slot.label },
      })
      recordWebhookEvent(tx, { project: made.project, type: 'wallet.created', data: walletEvent(made), nowMs: timeMs })
      return made
    })
  } catch (error) {
    await abandon(needs, bytes, timeMs)
    throw error
  }
  void engine.acknowledge(sid, { walletId: bytes, keyType })
  return wallet
}
