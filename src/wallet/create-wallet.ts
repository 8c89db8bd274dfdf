/** Creating a wallet: key generation between both parties, and the one transaction that makes it exist. */
import type { Call } from '../domain/call.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { authorize } from '../signing/authorize.ts'
import { listAudit } from '../vault/audit-chain.ts'
import { findWalletInSlot, type Wallet, type WalletSlot } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { type FillNeeds, fillSlot, type NewWalletRequest, parseSlot } from './fill-slot.ts'
import { type NewWalletView, viewNewWallet, walletEvent } from './wallet-view.ts'

export type CreateWalletNeeds = FillNeeds & {
  readonly engine: Pick<SigningEngine, 'generateWallet' | 'acknowledge'>
}

/**
 * Generates a wallet. Its address is told to nobody before both parties hold a durable share.
 * Refuses: PERMISSION_MISSING, USER_ID_RESERVED, LINK_BURNED, LINK_SUSPENDED, AUDIT_UNAVAILABLE, and as `fillSlot`.
 */
export const createWallet = async (
  needs: CreateWalletNeeds,
  call: Call,
  request: NewWalletRequest,
): Promise<NewWalletView> => {
  const { vault, engine } = needs
  authorize(vault.read, needs, call, 'wallet:create')
  const slot = parseSlot(call, request)
  const { keyType } = slot
  const repeated = call.isRepeat ? madeBefore(needs, call, slot) : undefined
  if (repeated !== undefined) return viewNewWallet(needs, repeated)
  const wallet = await fillSlot(needs, call, { slot, secret: request.walletSecret }, {
    kind: 'wallet.created',
    method: 'CreateWallet',
    origin: 'dkg',
    state: 'ACTIVE',
    shareState: 'ACTIVE',
    make: () => engine.generateWallet(keyType),
    record: (tx, made, _walletId, nowMs) => {
      recordWebhookEvent(tx, { project: made.project, type: 'wallet.created', data: walletEvent(made), nowMs })
    },
    acknowledge: (sid, walletId) => engine.acknowledge(sid, { walletId, keyType }),
  })
  return viewNewWallet(needs, wallet)
}

/** The wallet that an interrupted run of the same request made, when it came that far. */
const madeBefore = ({ vault }: CreateWalletNeeds, call: Call, slot: WalletSlot): Wallet | undefined => {
  const holder = findWalletInSlot(vault.read, slot)
  if (holder === undefined || call.requestId === undefined) return undefined
  const [made] = listAudit(vault.read, 0n, 1, { subjectId: holder.walletId, kind: 'wallet.created' })
  const same = made?.actor.id === call.caller.principal && made.requestId === call.requestId
  return same ? holder : undefined
}
