/**
 * Party S's store over the daemon's vault, of one link to a delegate: the vault stays with the main thread, which stores
 * and hands over sealed rows of this link and decides; shares are sealed and opened here.
 */
import type { Clock } from '../domain/clock.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { SealedShare } from '../vault/sealed-record.ts'
import type { StoredShare } from '../vault/wallet-shares.ts'
import { hostedWallets, type WalletCalls } from './hosted-wallets.ts'
import { hostedLinks, type LinkCalls } from './link-rows.ts'
import type { CosignerIntent, CosignerStore, PendingWallet, StoredReply } from './party-store.ts'
import { type PortEnd, PortFailure } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'
import { openRecord, sealRecord, type ShareSeal } from './share-sealing.ts'

type ShareName = { readonly linkId: Uint8Array; readonly walletId: Uint8Array; readonly slot: 'current' | 'pending' }

/** What a request to sign is told apart by. */
export type RequestOf = Pick<CosignerIntent, 'walletId' | 'reqId' | 'payload'>

/** What the main thread serves to the thread of delegates' links. Every answer of a write means that it is on disk. */
export type DelegateHostCalls = LinkCalls & WalletCalls & {
  /** Only of that link. */
  readonly loadShare: (name: ShareName) => StoredShare | undefined
  readonly pendingOf: (args: { readonly linkId: Uint8Array }) => readonly PendingWallet[]
  /** Refuses with WALLET_STATE what may not be refreshed. */
  readonly savePending: (args: {
    readonly linkId: Uint8Array
    readonly sid: Uint8Array
    readonly shares: readonly SealedShare[]
  }) => Promise<void>
  readonly dropPending: (args: { readonly walletId: Uint8Array }) => Promise<void>
  readonly activate: (args: { readonly linkId: Uint8Array; readonly share: SealedShare }) => Promise<void>
  readonly mayRefresh: (args: { readonly walletId: Uint8Array }) => boolean
  readonly admits: (args: RequestOf) => boolean
  readonly commitIntent: (intent: CosignerIntent) => Promise<'committed' | 'denied' | 'duplicate'>
  readonly completeIntent: (args: {
    readonly intent: CosignerIntent
    readonly response: Uint8Array | undefined
    readonly failed: string | undefined
  }) => void
  /** A question of party S, over whichever stream of the delegate is open. */
  readonly question: (args: { readonly linkId: Uint8Array; readonly frame: Uint8Array }) => Promise<Uint8Array | undefined>
  readonly alert: (args: { readonly what: string; readonly detail: string }) => void
}

/** How long a lost answer can be asked for again; after that, and after a restart, a retry is decided anew. */
const REPLY_LIFE_MS = 600_000
const MAX_REPLIES = 10_000

type Kept = StoredReply & { readonly untilMs: number }

/** What was answered, by wallet and request id, for as long as the protocol keeps it (docs/protocol.md §17). */
class Replies {
  readonly #clock: Clock
  readonly #kept = new Map<string, Kept>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find(name: string): StoredReply | undefined {
    const found = this.#kept.get(name)
    return found !== undefined && found.untilMs > this.#clock.nowMs() ? found : undefined
  }

  set(name: string, reply: StoredReply): void {
    const nowMs = this.#clock.nowMs()
    this.#kept.delete(name)
    for (const [old, { untilMs }] of this.#kept) {
      if (untilMs > nowMs && this.#kept.size < MAX_REPLIES) break
      this.#kept.delete(old)
    }
    this.#kept.set(name, { ...reply, untilMs: nowMs + REPLY_LIFE_MS })
  }
}

const nameOf = (walletId: Uint8Array, reqId: Uint8Array): string => hexOf(walletId) + hexOf(reqId)

/** @throws ProtocolFault class A where the host refuses a change of the wallet. */
const orWalletState = async (work: Promise<void>): Promise<void> => {
  try {
    await work
  } catch (error) {
    const isRefusal = error instanceof PortFailure && error.reason === 'WALLET_STATE'
    throw isRefusal ? benign('wallet_state', 'the wallet may not be refreshed') : error
  }
}

export const createDelegateStore = async (
  host: PortEnd<DelegateHostCalls>,
  seal: ShareSeal,
  clock: Clock,
  linkId: Uint8Array,
): Promise<CosignerStore> => {
  const replies = new Replies(clock)
  const pending = await host.call('pendingOf', { linkId })
  const undecided = new Map<string, PendingWallet>(pending.map((one) => [hexOf(one.walletId), one]))
  const load = (walletId: Uint8Array, slot: ShareName['slot'] = 'current') => host.call('loadShare', { linkId, walletId, slot })
  const nextVersion = async (walletId: Uint8Array): Promise<bigint> => {
    const rows = await Promise.all([load(walletId), load(walletId, 'pending')])
    return rows.reduce((max, row) => (row !== undefined && row.recordVersion > max ? row.recordVersion : max), 0n) + 1n
  }
  return {
    ...hostedLinks(host),
    ...hostedWallets(host, seal, load),
    savePending: async ({ sid, records }) => {
      const shares: SealedShare[] = []
      for (const record of records) shares.push(sealRecord(seal, record, await nextVersion(record.walletId)))
      await orWalletState(host.call('savePending', { linkId, sid, shares }))
      for (const { walletId, wEpoch } of records) {
        undecided.set(hexOf(walletId), { walletId: walletId.slice(), linkId, wEpoch, sid: sid.slice() })
      }
    },
    pendingWallets: async () => [...undecided.values()],
    activate: async (walletId, wEpoch) => {
      const stored = await load(walletId, 'pending')
      if (stored === undefined || stored.wEpoch !== wEpoch) return void undecided.delete(hexOf(walletId))
      const record = openRecord(seal, stored)
      try {
        const share = sealRecord(seal, { ...record, state: 'ACTIVE' }, await nextVersion(walletId))
        await host.call('activate', { linkId, share })
      } finally {
        record.share.fill(0)
      }
      undecided.delete(hexOf(walletId))
    },
    dropPending: async (walletId) => {
      await host.call('dropPending', { walletId })
      undecided.delete(hexOf(walletId))
    },
    mayRefresh: (walletId) => host.call('mayRefresh', { walletId }),
    admits: ({ walletId, reqId, payload }) => host.call('admits', { walletId, reqId, payload }),
    admitImport: () => {
      throw benign('import_refused', 'a delegate brings no keys')
    },
    authorizeExport: async () => {
      throw benign('policy_denied', 'a delegate is handed no share')
    },
    findReply: (walletId, reqId) => replies.find(nameOf(walletId, reqId)),
    commitIntent: async ({ requestKey, ...intent }) => {
      const verdict = await host.call('commitIntent', intent)
      const name = nameOf(intent.walletId, intent.reqId)
      if (verdict === 'committed') replies.set(name, { requestKey: requestKey.slice(), state: 'RUNNING', response: undefined })
      return verdict
    },
    completeIntent: (intent, result) => {
      const name = nameOf(intent.walletId, intent.reqId)
      const before = replies.find(name)
      const response = 'response' in result ? result.response.slice() : undefined
      const failed = 'failed' in result ? result.failed : undefined
      if (before !== undefined) replies.set(name, { ...before, state: response === undefined ? 'FAILED' : 'DONE', response })
      host.tell('completeIntent', { intent, response, failed })
    },
  }
}
