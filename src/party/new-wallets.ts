/** What C's scripts of key generation and import share (docs/protocol.md §5, §14). They need no lock. */
import type { WalletBinding } from '../engine/dkls23/contexts.ts'
import type { PendingWallets } from '../engine/dkls23/dkg.ts'
import type { Frame } from '../engine/dkls23/frame.ts'
import type { Link } from './link.ts'
import type { OpeningDeps } from './operation-deps.ts'
import { savePending } from './session-wallets.ts'

export type Generated = { readonly sid: Uint8Array; readonly wallets: readonly WalletBinding[] }

export const newWalletInputs = ({ link, entropy }: Pick<OpeningDeps, 'link' | 'entropy'>, lEpoch: number) =>
  ({ link: link.parties, entropy, lEpoch, nowMs: link.nowMs, ...link.hedge })

/** The answer, unless the link was burned or suspended meanwhile. Class A. */
export const whileUsable = async (link: Link, answer: Promise<Frame>): Promise<Frame> => {
  const frame = await answer
  link.assertUsable('other')
  return frame
}

/** The own records are durable before `confirm` asks for the peer's; where those are not to be had they are dropped again. */
export const holdPending = async (
  { store }: Pick<OpeningDeps, 'store'>,
  pending: PendingWallets,
  confirm: () => Promise<void>,
): Promise<Generated> => {
  await savePending(store, pending)
  try {
    await confirm()
  } catch (error) {
    for (const { walletId, wEpoch } of pending.records) await store.dropPending(walletId, wEpoch)
    throw error
  }
  return { sid: pending.sid, wallets: pending.records.map(({ share: _, ...binding }) => binding) }
}
