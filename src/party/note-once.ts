import type { PartyStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

/** Writes of each wallet once in a link epoch: presigning asks for it with every session. A write that fails is made again. */
export const noteOnce = (write: PartyStore['noteUse']): PartyStore['noteUse'] => {
  const noted = new Map<string, number>()
  return async (walletIds, lEpoch) => {
    const fresh = walletIds.filter((walletId) => noted.get(hexOf(walletId)) !== lEpoch)
    if (fresh.length === 0) return
    await write(fresh, lEpoch)
    for (const walletId of fresh) noted.set(hexOf(walletId), lEpoch)
  }
}
