/**
 * A party's store in memory, for keys that are thrown away: the protocol peer tool, benchmarks and protocol tests.
 * Nothing in it is durable and no vault is touched.
 */
import { type LinkRecord, verifyWalletRecord, type WalletRecord } from '../engine/dkls23/records.ts'
import type { InitiatorStore } from './initiator.ts'
import type { CosignerStore, StoredReply } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

type Slot = { record: WalletRecord; pendingSid: Uint8Array | undefined }

export type MemoryStore = InitiatorStore & CosignerStore & { readonly wallets: ReadonlyMap<string, Slot> }

export const createMemoryStore = (): MemoryStore => {
  const links = new Map<string, LinkRecord>()
  const wallets = new Map<string, Slot>()
  const replies = new Map<string, StoredReply>()
  const used = new Set<string>()
  const slotOf = (walletId: Uint8Array): Slot | undefined => wallets.get(hexOf(walletId))
  const setState = (walletId: Uint8Array, state: WalletRecord['state']): void => {
    const slot = slotOf(walletId)
    if (slot !== undefined) slot.record = { ...slot.record, state }
  }
  const drop = (walletId: Uint8Array): void => {
    slotOf(walletId)?.record.share.fill(0)
    wallets.delete(hexOf(walletId))
  }
  const replyKey = (walletId: Uint8Array, reqId: Uint8Array): string => `${hexOf(walletId)}${hexOf(reqId)}`
  return {
    wallets,
    loadLink: async (linkId) => links.get(hexOf(linkId)),
    saveLinks: async (records) => {
      for (const record of records) links.set(hexOf(record.linkId), record)
    },
    linksOfPair: async (idA, idB) =>
      [...links.values()].filter(({ idC, idS }) =>
        [hexOf(idA) + hexOf(idB), hexOf(idB) + hexOf(idA)].includes(hexOf(idC) + hexOf(idS)),
      ),
    recordStrike: async (record) => {
      links.set(hexOf(record.linkId), record)
    },
    loadWallet: async (walletId) => {
      const slot = slotOf(walletId)
      if (slot === undefined) return undefined
      try {
        verifyWalletRecord(slot.record)
      } catch (error) {
        setState(walletId, 'QUARANTINED')
        throw error
      }
      return { ...slot.record, share: slot.record.share.slice() }
    },
    savePending: async ({ sid, records }) => {
      for (const record of records) {
        wallets.set(hexOf(record.walletId), { record: { ...record, share: record.share.slice() }, pendingSid: sid })
      }
    },
    pendingWallets: async () =>
      [...wallets.values()].flatMap(({ record, pendingSid }) =>
        pendingSid === undefined ? [] : [{ walletId: record.walletId, wEpoch: record.wEpoch, sid: pendingSid }],
      ),
    activate: async (walletId) => {
      const slot = slotOf(walletId)
      if (slot === undefined) throw new Error('no pending wallet')
      slot.pendingSid = undefined
      setState(walletId, 'ACTIVE')
    },
    dropPending: async (walletId) => {
      if (slotOf(walletId)?.pendingSid !== undefined) drop(walletId)
    },
    setWalletState: async (walletId, state) => setState(walletId, state),
    noteUse: async () => {},
    settleOutcome: async ({ walletId }) => {
      const slot = slotOf(walletId)
      if (slot !== undefined && slot.pendingSid === undefined) return 'COMMITTED'
      drop(walletId)
      return 'ABORTED'
    },
    admits: () => true,
    findReply: (walletId, reqId) => replies.get(replyKey(walletId, reqId)),
    commitIntent: async ({ walletId, reqId, presigId, noncePoint, requestKey }) => {
      const marks = [presigId, noncePoint].map((mark) => `${hexOf(walletId)}:${hexOf(mark)}`)
      if (marks.some((mark) => used.has(mark))) return 'duplicate'
      if ((replies.get(replyKey(walletId, reqId))?.state ?? 'FAILED') !== 'FAILED') return 'denied'
      for (const mark of marks) used.add(mark)
      replies.set(replyKey(walletId, reqId), { requestKey, state: 'RUNNING', response: undefined })
      return 'committed'
    },
    completeIntent: ({ walletId, reqId }, result) => {
      const key = replyKey(walletId, reqId)
      const before = replies.get(key)
      if (before === undefined) return
      const done = 'response' in result
      const response = done ? result.response : undefined
      replies.set(key, { ...before, state: done ? 'DONE' : 'FAILED', response })
    },
  }
}
