/**
 * What a delegate without a vault keeps of one access: its share, and how its link stands, as one blob that its host makes
 * durable. A party's store over it.
 */
import { benign } from '../../engine/dkls23/fault.ts'
import {
  decodeLinkRecord,
  decodeWalletRecord,
  encodeLinkRecord,
  encodeWalletRecord,
  isNextOf,
  LINK_RECORD_BYTES,
  type LinkRecord,
  type WalletRecord,
} from '../../engine/dkls23/records.ts'
import { verdictOn } from '../../engine/dkls23/two-phase-switch.ts'
import { concatBytes, u32 } from '../../engine/hash/encoding.ts'
import type { InitiatorStore } from '../initiator.ts'
import { hexOf } from '../presignature-map.ts'

/** Holds the share: keep it as you keep a private key. One process uses it at a time. */
export type DelegateStateStore = {
  /** What `save` was given last; undefined where that never was. */
  readonly load: () => Promise<Uint8Array | undefined>
  /** Resolves once it is durable: the state before must not come back. The bytes are overwritten afterwards. */
  readonly save: (state: Uint8Array) => Promise<void>
}

const VERSION = 1
/** Far more sessions than refreshes; the daemon names them, so that they are counted. */
const MAX_ABORTED = 4_096
const HEAD_BYTES = 1 + 4 + LINK_RECORD_BYTES

type State = { link: LinkRecord; wallet: WalletRecord; lastUse: number }

const encode = ({ link, wallet, lastUse }: State): Uint8Array => {
  const record = encodeWalletRecord(wallet)
  try {
    return concatBytes(Uint8Array.of(VERSION), u32(lastUse), encodeLinkRecord(link), record)
  } finally {
    record.fill(0)
  }
}

/** @throws ProtocolFault class B for bytes that are not such a state. */
const decode = (bytes: Uint8Array): State => {
  if (bytes.length <= HEAD_BYTES || bytes[0] !== VERSION) throw new RangeError('this is no state of delegated access')
  const lastUse = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true)
  return { lastUse, link: decodeLinkRecord(bytes.subarray(5, HEAD_BYTES)), wallet: decodeWalletRecord(bytes.subarray(HEAD_BYTES)) }
}

export type DelegateState = {
  readonly store: InitiatorStore
  readonly link: () => LinkRecord
  /** Without its share. */
  readonly wallet: () => Omit<WalletRecord, 'share'>
  readonly wipe: () => void
}

/** Goes on from what is stored; where nothing is, from `first`, whose share it takes over. */
export const openDelegateState = async (
  host: DelegateStateStore,
  first: { readonly link: LinkRecord; readonly wallet: WalletRecord },
): Promise<DelegateState> => {
  const stored = await host.load()
  const state: State = stored === undefined ? { ...first, lastUse: 0 } : decode(stored)
  stored?.fill(0)
  const isOther = hexOf(state.wallet.walletId) !== hexOf(first.wallet.walletId) || hexOf(state.link.linkId) !== hexOf(first.link.linkId)
  if (isOther) throw new RangeError('the state is of another access')
  if (stored !== undefined) first.wallet.share.fill(0)
  let writing: Promise<void> = Promise.resolve()
  const persist = (): Promise<void> => {
    const turn = writing.catch(() => undefined).then(async () => {
      const bytes = encode(state)
      await host.save(bytes).finally(() => bytes.fill(0))
    })
    writing = turn
    return turn
  }
  return {
    store: storeOver(state, persist),
    link: () => state.link,
    wallet: () => state.wallet,
    wipe: () => state.wallet.share.fill(0),
  }
}

const storeOver = (state: State, persist: () => Promise<void>): InitiatorStore => {
  const aborted = new Set<string>()
  /** New shares that are being stored: until they are, nobody hears of them. */
  let deciding: Promise<void> | undefined
  const isOwn = (walletId: Uint8Array): boolean => hexOf(walletId) === hexOf(state.wallet.walletId)
  const setLink = (records: readonly LinkRecord[]): Promise<void> => {
    const own = records.find(({ linkId }) => hexOf(linkId) === hexOf(state.link.linkId))
    if (own === undefined) return Promise.resolve()
    state.link = own
    return persist()
  }
  return {
    loadLink: async (linkId) => (hexOf(linkId) === hexOf(state.link.linkId) ? state.link : undefined),
    saveLinks: setLink,
    linksOfPair: async () => [state.link],
    recordStrike: (record) => setLink([record]),
    loadWallet: async (walletId) => {
      await deciding?.catch(() => undefined)
      return isOwn(walletId) ? { ...state.wallet, share: state.wallet.share.slice() } : undefined
    },
    savePending: async () => {
      throw benign('wallet_state', 'nothing is made here')
    },
    dropPending: async () => undefined,
    setWalletState: async (walletId, next) => {
      if (!isOwn(walletId)) return
      state.wallet = { ...state.wallet, state: next }
      await persist()
    },
    noteUse: async (walletIds, lEpoch) => {
      if (!walletIds.some(isOwn) || lEpoch <= state.lastUse) return
      state.lastUse = lEpoch
      await persist()
    },
    lastUse: async (walletId) => (isOwn(walletId) ? state.lastUse : 0),
    settleOutcome: async ({ walletId, wEpoch, sid }) => {
      await deciding
      if (isOwn(walletId) && verdictOn({ wEpoch }, state.wallet.wEpoch) === 'COMMITTED') return 'COMMITTED'
      // Told to stop is for good: of more than these nothing is told.
      if (aborted.size >= MAX_ABORTED) throw benign('busy', 'too many outcomes were asked for')
      aborted.add(hexOf(sid))
      return 'ABORTED'
    },
    commitRefresh: async ({ sid, records }) => {
      const [next] = records
      const fits = next !== undefined && isOwn(next.walletId) && isNextOf(state.wallet, next.wEpoch)
      if (!fits || aborted.has(hexOf(sid))) throw benign('session', 'the refresh was given up')
      const before = state.wallet
      state.wallet = { ...next, share: next.share.slice() }
      deciding = persist()
      try {
        await deciding
      } catch (error) {
        // Nobody knows what is stored now: a state that is read again says.
        state.wallet.share.fill(0)
        state.wallet = { ...before, state: 'QUARANTINED' }
        throw error
      } finally {
        deciding = undefined
      }
      before.share.fill(0)
    },
  }
}
