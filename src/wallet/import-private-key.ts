/**
 * Taking in a private key that its owner has split: each half came sealed to its party, and nobody here sees both. The
 * wallet signs nothing before both shares were changed once, so what the client knew of them is worth nothing.
 */
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { walletIdFromBytes } from '../domain/ids.ts'
import { vouchFor } from '../party/import-key-voucher.ts'
import type { ImportAsked, ImportKeyView } from '../party/owner-calls.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { authorize, liveGrantsOf } from '../signing/authorize.ts'
import { freezesOf } from '../signing/caller-stops.ts'
import { reachOf } from '../signing/resolve-wallet.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import type { Tx } from '../vault/store.ts'
import { useImport, walletOfImport } from '../vault/used-imports.ts'
import { getWallet, reaches, requireWallet, setWalletState, type Wallet } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { changeShares } from './change-shares.ts'
import { type FillNeeds, fillSlot, type NewWalletRequest, parseSlot } from './fill-slot.ts'
import { type NewWalletView, viewNewWallet, walletEvent } from './wallet-view.ts'

export type ImportNeeds = FillNeeds & {
  readonly engine: Pick<SigningEngine, 'owners' | 'refreshShares'>
  readonly clock: Clock
  /** Whether this daemon takes halves of other keys in at all. */
  readonly allowImport: boolean
}

export type ImportArgs = NewWalletRequest &
  Pick<ImportAsked, 'opening' | 'envelopeC' | 'envelopeS'> & {
    /** Until when the split key may be taken in; the halves are sealed under it. */
    readonly expireMs: number
  }

const IMPORT_MAX_MS = 3_600_000
const MAX_IMPORTS_PER_SECOND = 4

/** The keys that halves are sealed to, vouched for by each party's identity. Refuses: IMPORT_NOT_ENABLED. */
export const getImportKeys = async (
  needs: ImportNeeds,
  call: Call,
): Promise<{ readonly daemon: ImportKeyView; readonly cosigner: ImportKeyView }> => {
  authorize(needs.vault.read, needs, call, 'wallet:create')
  if (!needs.allowImport) throw failure('IMPORT_NOT_ENABLED', {})
  const { daemon, cosigner } = await needs.engine.owners.importKeys()
  return { daemon: vouchFor(daemon, needs.vault), cosigner }
}

/**
 * Makes a wallet of a split key. The same import again, by whom it reaches, answers the wallet that it made, and finishes
 * what an interrupted one has left to do. Refuses: IMPORT_NOT_ENABLED, IMPORT_REFUSED, RATE_LIMITED, and as `createWallet`
 * and `RefreshShares` do.
 */
export const importPrivateKey = async (needs: ImportNeeds, call: Call, args: ImportArgs): Promise<NewWalletView> => {
  const { vault } = needs
  authorize(vault.read, needs, call, 'wallet:create')
  if (!needs.allowImport) throw failure('IMPORT_NOT_ENABLED', {})
  const made = importedBefore(needs, call, args) ?? (await takeIn(needs, call, args))
  if (made.state === 'PENDING') {
    await changeShares(needs, call, made, (tx, shareEpoch) => recordReady(needs, call, tx, { wallet: made, shareEpoch }))
  }
  return viewNewWallet(needs, requireWallet(vault.read, made.walletId))
}

/** The wallet that this very import made. Refuses with IMPORT_REFUSED where that is not what is asked for. */
const importedBefore = ({ vault }: ImportNeeds, call: Call, { opening, userId, label }: ImportArgs): Wallet | undefined => {
  const walletId = walletOfImport(vault.read, opening.importId)
  if (walletId === undefined) return undefined
  const wallet = getWallet(vault.read, walletIdFromBytes(walletId))
  const isIt = wallet !== undefined && reaches(reachOf(call.caller), wallet) && wallet.userId === userId && wallet.label === label
  if (isIt) return wallet
  throw failure('IMPORT_REFUSED', { why: 'this import was used before' })
}

const takeIn = async (needs: ImportNeeds, call: Call, args: ImportArgs): Promise<Wallet> => {
  const { clock, engine, rates } = needs
  const { opening, envelopeC, envelopeS, keyType, ownerType, userId, expireMs } = args
  const leftMs = expireMs - clock.nowMs()
  if (!(leftMs > 0 && leftMs <= IMPORT_MAX_MS)) throw failure('IMPORT_REFUSED', { why: 'its time is over, or too long' })
  const { projectId } = call.caller
  rates.take(`import ${projectId}`, MAX_IMPORTS_PER_SECOND)
  const owner = { ownerType, project: projectId, userId, expireMs }
  return fillSlot(needs, call, { slot: parseSlot(call, args), secret: args.walletSecret }, {
    kind: 'wallet.imported',
    method: 'ImportPrivateKey',
    origin: 'import',
    state: 'PENDING',
    shareState: 'IMPORTED',
    make: () => engine.owners.importShares({ keyType, opening, owner, envelopeC, envelopeS }),
    record: (tx, _wallet, walletId) => {
      if (!useImport(tx, opening.importId, walletId)) throw failure('IMPORT_REFUSED', { why: 'this import was used before' })
    },
    acknowledge: (sid) => engine.owners.acknowledgeImport(sid),
  })
}

/** Makes the wallet ready to sign, in the transaction that decides its first refresh. */
const recordReady = (
  needs: ImportNeeds,
  call: Call,
  tx: Tx,
  { wallet, shareEpoch }: { readonly wallet: Wallet; readonly shareEpoch: number },
): void => {
  const { walletId, project } = wallet
  const nowMs = Math.trunc(needs.clock.nowMs())
  liveGrantsOf(tx, needs, call.caller, nowMs)
  // An archived wallet stays so.
  if (requireWallet(tx, walletId, project).state !== 'PENDING') throw failure('WALLET_ARCHIVED', { walletId })
  requireNotFrozen(tx, freezesOf(call, wallet))
  setWalletState(tx, walletId, 'ACTIVE')
  recordWebhookEvent(tx, { project, type: 'wallet.imported', data: walletEvent(wallet), nowMs })
  appendAudit(tx, {
    timeMs: nowMs,
    kind: 'wallet.refreshed',
    project,
    actor: actorOf(call.caller),
    subject: { type: 'wallet', id: walletId },
    method: 'ImportPrivateKey',
    requestId: call.requestId,
    decision: 'allow',
    details: { shareEpoch },
  })
}
