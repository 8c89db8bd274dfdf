/** What callers may know of what was sent. */
import type { Call } from '../domain/call.ts'
import { assert, failure, isFailure } from '../domain/failure.ts'
import type { WalletId } from '../domain/ids.ts'
import { decodeUnsignedTransaction } from '../payload/decode-transaction.ts'
import { walletsCovered } from '../policy/decide.ts'
import { authorize, type AuthorizeNeeds, grantsOfCaller } from '../signing/authorize.ts'
import { reachOf, resolveWallet } from '../signing/resolve-wallet.ts'
import { auditHashAt } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { getSent, listSent } from '../vault/sent-queries.ts'
import { type SentTransaction, type SentVersion, transactionHashOf, type VersionKind } from '../vault/sent-transactions.ts'
import { getWallet, listWallets, reaches } from '../vault/wallets.ts'
import { isStuck } from './stuck-watch.ts'

export type ReadSentNeeds = AuthorizeNeeds & { readonly vault: DaemonVault }

export type SentVersionView = {
  readonly kind: VersionKind
  readonly transactionHash: string
  readonly gasLimit: bigint | undefined
  readonly maxFeePerGas: bigint | undefined
  readonly maxPriorityFeePerGas: bigint | undefined
  readonly createTimeMs: number
}

export type SentView = Pick<
  SentTransaction,
  'sendId' | 'walletId' | 'network' | 'chain' | 'nonce' | 'state' | 'reason' | 'minedVersion' | 'block' | 'blockHash' | 'depth' | 'confirmations'
> & {
  readonly transactionHash: string
  readonly isStuck: boolean
  readonly versions: readonly SentVersionView[]
  readonly createTimeMs: number
  readonly updateTimeMs: number
  readonly receipt: { readonly sequence: bigint; readonly hash: Uint8Array; readonly signature: Uint8Array; readonly keyId: string } | undefined
}

const viewVersion = ({ family }: SentTransaction, { kind, hash, unsigned, createMs }: SentVersion): SentVersionView => {
  const common = { kind, transactionHash: hash, createTimeMs: createMs }
  const none = { gasLimit: undefined, maxFeePerGas: undefined, maxPriorityFeePerGas: undefined }
  if (family !== 'EVM') return { ...common, ...none }
  const transaction = decodeUnsignedTransaction(unsigned)
  const { gasLimit } = transaction
  if ('gasPrice' in transaction) return { ...common, ...none, gasLimit, maxFeePerGas: transaction.gasPrice }
  const { maxFeePerGas, maxPriorityFeePerGas } = transaction
  return { ...common, gasLimit, maxFeePerGas, maxPriorityFeePerGas }
}

const receiptOf = ({ read, signer }: DaemonVault, { versions }: SentTransaction): SentView['receipt'] => {
  const sequence = versions.findLast(({ intent }) => intent !== undefined)?.intent
  const hash = sequence === undefined ? undefined : auditHashAt(read, sequence)
  if (sequence === undefined || hash === undefined) return undefined
  return { sequence, hash, signature: signer.signReceipt({ sequence, hash }), keyId: signer.keyId }
}

export const viewSent = (vault: DaemonVault, sent: SentTransaction): SentView => ({
  ...sent,
  transactionHash: transactionHashOf(sent),
  isStuck: isStuck(sent),
  versions: sent.versions.map((version) => viewVersion(sent, version)),
  createTimeMs: sent.createMs,
  updateTimeMs: sent.updateMs,
  receipt: receiptOf(vault, sent),
})

/** Refuses with SENT_TRANSACTION_NOT_FOUND what is another project's, of another's wallet, or outside the permission. */
export const getTransaction = (needs: ReadSentNeeds, call: Call, { sendId }: { readonly sendId: string }): SentView => {
  const { read } = needs.vault
  const sent = getSent(read, sendId)
  const wallet = sent && getWallet(read, sent.walletId)
  if (sent === undefined || wallet === undefined || !reaches(reachOf(call.caller), wallet)) throw failure('SENT_TRANSACTION_NOT_FOUND', {})
  try {
    authorize(read, needs, call, 'wallet:read', sent.walletId)
  } catch (error) {
    const narrowed = isFailure(error) && error.reason === 'PERMISSION_MISSING' && 'narrowedBy' in error.facts
    throw narrowed ? failure('SENT_TRANSACTION_NOT_FOUND', {}) : error
  }
  return viewSent(needs.vault, sent)
}

export type SentListRequest = {
  readonly pageSize: number
  readonly cursor: string | undefined
  readonly walletRef: string | undefined
  readonly network: string | undefined
  readonly openOnly: boolean
}

/** What one person may own. */
const OWN_WALLETS_MAX = 500
const BEFORE_ALL = (1n << 62n) - 1n

/** The wallets whose transactions are listed: undefined stands for all of the project's. */
const walletsListed = (needs: ReadSentNeeds, call: Call, walletRef: string | undefined): readonly WalletId[] | undefined => {
  const { read } = needs.vault
  const { caller } = call
  const covered = walletsCovered(grantsOfCaller(read, needs, call), 'wallet:read')
  if (covered !== 'all' && covered.size === 0) throw failure('PERMISSION_MISSING', { permission: 'wallet:read' })
  if (walletRef !== undefined) {
    const { walletId } = resolveWallet(read, caller, walletRef)
    return covered === 'all' || covered.has(walletId) ? [walletId] : []
  }
  if (caller.kind !== 'end_user') return covered === 'all' ? undefined : [...covered]
  const filter = { project: caller.projectId, owner: caller.userId, userId: undefined, keyType: undefined, state: undefined }
  return listWallets(read, { ...filter, after: 0n, limit: OWN_WALLETS_MAX }).map(({ walletId }) => walletId)
}

/** Newest first. The cursor is the number of the last one looked at, in decimal. */
export const listTransactions = (
  needs: ReadSentNeeds,
  call: Call,
  { pageSize, cursor, walletRef, network, openOnly }: SentListRequest,
): { readonly items: readonly SentView[]; readonly nextCursor: string | undefined } => {
  const { read } = needs.vault
  const filter = { project: call.caller.projectId, wallets: walletsListed(needs, call, walletRef), network, openOnly }
  const { items: found, isCut } = listSent(read, filter, cursor === undefined ? BEFORE_ALL : BigInt(cursor), pageSize + 1)
  const items = found.slice(0, pageSize)
  const last = items.at(-1)
  const goesOn = isCut || found.length > pageSize
  assert(!goesOn || last, 'a page that goes on has a last item')
  return { items: items.map((sent) => viewSent(needs.vault, sent)), nextCursor: goesOn ? String(last?.number) : undefined }
}
