/**
 * A party's store in memory, for keys that are thrown away: the protocol peer tool, benchmarks and protocol tests.
 * Nothing in it is durable and no vault is touched.
 */
import { benign } from '../engine/dkls23/fault.ts'
import { decidedState, isNextOf, type LinkRecord, verifyWalletRecord, type WalletRecord } from '../engine/dkls23/records.ts'
import { verdictOn } from '../engine/dkls23/two-phase-switch.ts'
import type { InitiatorStore } from './initiator.ts'
import type { CosignerStore, StoredReply } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

type Slot = {
  record: WalletRecord
  /** Of a key generation that is not decided: `record` itself is PENDING. */
  pendingSid: Uint8Array | undefined
  /** The record of a refresh that is not decided. */
  next?: { readonly record: WalletRecord; readonly sid: Uint8Array } | undefined
  lastUse: number
}

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
  const dropNext = (slot: Slot): void => {
    slot.next?.record.share.fill(0)
    slot.next = undefined
  }
  /** The old share is overwritten; what stopped the wallet stays. */
  const replace = (slot: Slot, record: WalletRecord): void => {
    slot.record.share.fill(0)
    const { state } = slot.record
    slot.record = { ...record, share: record.share.slice(), state: state === 'IMPORTED' || state === 'FORKED' ? 'ACTIVE' : state }
    dropNext(slot)
  }
  const requireRefreshable = (record: WalletRecord): Slot => {
    const slot = slotOf(record.walletId)
    if (slot === undefined || !isNextOf(slot.record, record.wEpoch) || slot.next !== undefined) throw benign('wallet_state', 'the wallet may not be refreshed')
    return slot
  }
  const aborted = new Set<string>()
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
      const refreshed = records.filter(({ wEpoch }) => wEpoch > 0).map((record) => [requireRefreshable(record), record] as const)
      for (const [slot, record] of refreshed) slot.next = { record: { ...record, share: record.share.slice() }, sid }
      for (const record of records) {
        if (record.wEpoch > 0) continue
        const own = { ...record, share: record.share.slice() }
        wallets.set(hexOf(record.walletId), { record: own, pendingSid: sid, lastUse: 0 })
      }
    },
    pendingWallets: async () =>
      [...wallets.values()].flatMap(({ record, pendingSid, next }) => {
        const { walletId, linkId } = record
        if (next !== undefined) return [{ walletId, linkId, wEpoch: next.record.wEpoch, sid: next.sid }]
        return pendingSid === undefined ? [] : [{ walletId, linkId, wEpoch: record.wEpoch, sid: pendingSid }]
      }),
    activate: async (walletId, wEpoch) => {
      const slot = slotOf(walletId)
      if (slot === undefined) throw new Error('no pending wallet')
      if (slot.next?.record.wEpoch === wEpoch) return replace(slot, slot.next.record)
      if (slot.pendingSid === undefined) return
      slot.pendingSid = undefined
      setState(walletId, decidedState(slot.record))
    },
    dropPending: async (walletId, wEpoch) => {
      const slot = slotOf(walletId)
      if (slot?.next?.record.wEpoch === wEpoch) dropNext(slot)
      else if (slot?.pendingSid !== undefined) drop(walletId)
    },
    setWalletState: async (walletId, state) => setState(walletId, state),
    noteUse: async (walletIds, lEpoch) => {
      for (const slot of walletIds.map(slotOf)) if (slot !== undefined) slot.lastUse = Math.max(slot.lastUse, lEpoch)
    },
    lastUse: async (walletId) => slotOf(walletId)?.lastUse ?? 0,
    settleOutcome: async ({ walletId, wEpoch, sid }) => {
      const slot = slotOf(walletId)
      const present = slot?.pendingSid === undefined ? slot?.record.wEpoch : undefined
      if (verdictOn({ wEpoch }, present) === 'COMMITTED') return 'COMMITTED'
      if (slot?.pendingSid !== undefined) drop(walletId)
      aborted.add(hexOf(sid))
      return 'ABORTED'
    },
    commitRefresh: async ({ sid, records }) => {
      if (aborted.has(hexOf(sid))) throw benign('session', 'the refresh was given up')
      for (const [slot, record] of records.map((one) => [requireRefreshable(one), one] as const)) replace(slot, record)
    },
    mayRefresh: () => true,
    admitImport: () => undefined,
    authorizeExport: async () => {
      throw benign('policy_denied', 'nothing is exported from memory')
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
