/**
 * The daemon's wallet records, as the threads of its parties use them: the sealed rows are the main thread's, the key that
 * opens them is here.
 */
import type { WalletState } from '../engine/dkls23/records.ts'
import type { StoredShare } from '../vault/wallet-shares.ts'
import { noteOnce } from './note-once.ts'
import type { PartyStore } from './party-store.ts'
import type { PortEnd } from './port-calls.ts'
import { openOrQuarantine, type ShareSeal } from './share-sealing.ts'

/** What the main thread serves. Every answer of a write means that it is on disk. */
export type WalletCalls = {
  readonly setWalletState: (args: {
    readonly walletId: Uint8Array
    readonly state: WalletState
    readonly why: string
  }) => Promise<void>
  readonly noteUse: (args: { readonly walletIds: readonly Uint8Array[]; readonly lEpoch: number }) => Promise<void>
}

/** `load`: the present row, of those that this thread may have. */
export const hostedWallets = (
  host: PortEnd<WalletCalls>,
  seal: ShareSeal,
  load: (walletId: Uint8Array) => Promise<StoredShare | undefined>,
): Pick<PartyStore, 'loadWallet' | 'setWalletState' | 'noteUse' | 'lastUse'> => ({
  loadWallet: async (walletId) => {
    const stored = await load(walletId)
    if (stored === undefined) return undefined
    return openOrQuarantine(seal, stored, (state, why) => host.call('setWalletState', { walletId, state, why }))
  },
  setWalletState: (walletId, state, why) => host.call('setWalletState', { walletId, state, why }),
  noteUse: noteOnce((walletIds, lEpoch) => host.call('noteUse', { walletIds, lEpoch })),
  lastUse: async (walletId) => (await load(walletId))?.lastUsedEpoch ?? 0,
})
