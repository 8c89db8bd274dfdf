/**
 * A refresh by party C of the peer tool: one exchange over all wallets named, at once and as they are. What renews the
 * link before it, as the order that heals wants, is the operation `link`.
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { ProtocolFault } from '../engine/dkls23/fault.ts'
import { encodeFrame, FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { abandonRefresh, finishRefreshC, openRefreshC, startRefreshC } from '../engine/dkls23/refresh.ts'
import { ROLE_C } from '../engine/dkls23/suite.ts'
import type { Counterparty } from '../party/counterparty.ts'
import { openExchange, STEP_TIMEOUT_MS } from '../party/frame-exchange.ts'
import type { InitiatorStore } from '../party/initiator.ts'
import type { Link } from '../party/link.ts'
import { CommandRefusal } from './terminal.ts'

type Parts = {
  readonly link: Link
  readonly store: InitiatorStore
  readonly entropy: Entropy
  readonly peer: Counterparty
}

/** The records of the next epoch, shares overwritten, once C has committed them. A fault costs what it costs. */
export const refreshTogether = async (
  parts: Parts,
  walletIds: readonly Uint8Array[],
): Promise<readonly WalletRecord[]> => {
  const { link, peer } = parts
  await ed25519Ready()
  const records = await loadAll(parts.store, walletIds)
  try {
    const { sid, records: next } = await exchangeShares(parts, records)
    const { lEpoch } = link.record
    const { linkId } = link.parties
    const ack = encodeFrame({ type: FRAME_TYPES.F5, role: ROLE_C, linkId, lEpoch, sid, body: new Uint8Array(0) })
    await peer.exchange(ack, STEP_TIMEOUT_MS)
    await noteErased(parts, walletIds)
    return next
  } catch (error) {
    if (error instanceof ProtocolFault) await link.punish(error)
    throw error
  } finally {
    for (const { share } of records) share.fill(0)
  }
}

const exchangeShares = async ({ link, store, entropy, peer }: Parts, records: readonly WalletRecord[]) => {
  const exchange = openExchange(link.parties, peer)
  const { lEpoch } = link.record
  const hk = link.material?.hk
  const first = startRefreshC({ link: link.parties, entropy, ...(hk === undefined ? {} : { hk }) }, records)
  let live: Parameters<typeof abandonRefresh>[0] = first.state
  try {
    const f2 = await exchange(FRAME_TYPES.F1, NO_SID, lEpoch, first.body, FRAME_TYPES.F2)
    const opened = openRefreshC(first.state, f2)
    live = opened.state
    const f4 = await exchange(FRAME_TYPES.F3, f2.sid, lEpoch, opened.body, FRAME_TYPES.F4)
    const decided = finishRefreshC(opened.state, f4.body)
    try {
      await store.commitRefresh(decided)
    } finally {
      for (const { share } of decided.records) share.fill(0)
    }
    return decided
  } finally {
    abandonRefresh(live)
  }
}

/** Material that met an erased share goes with it. */
const noteErased = async ({ link, store }: Parts, walletIds: readonly Uint8Array[]): Promise<void> => {
  const uses = await Promise.all(walletIds.map((walletId) => store.lastUse(walletId)))
  if (uses.some((lEpoch) => lEpoch > 0 && lEpoch >= link.record.lEpoch)) await link.markEraseDue()
}

const loadAll = async (store: InitiatorStore, walletIds: readonly Uint8Array[]): Promise<WalletRecord[]> => {
  const records = []
  for (const walletId of walletIds) {
    const record = await store.loadWallet(walletId)
    if (record === undefined) throw new CommandRefusal('no such wallet')
    records.push(record)
  }
  return records
}
