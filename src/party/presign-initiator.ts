/** C's script of one presign session (docs/protocol.md §9). Runs under the link lock. */
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import { presignSlotOf } from '../engine/dkls23/presign-plan.ts'
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import type { Exchange } from './frame-exchange.ts'
import type { Link } from './link.ts'
import type { PartyStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'
import type { HeldMaterial, OpenStep, PresignC1, SessionsOfC } from './session-engine.ts'
import { wipeShares } from './session-wallets.ts'

type Deps = {
  readonly link: Link
  readonly store: PartyStore
  readonly sessions: SessionsOfC
  readonly exchange: Exchange
}

/**
 * The records that may presign over the live material, one an entry; the caller wipes them. One that does not open was
 * quarantined by the store and is left out like one that is not ACTIVE.
 */
export const loadForPresign = async (
  store: PartyStore,
  { parties, material }: Link,
  walletIds: readonly Uint8Array[],
): Promise<readonly WalletRecord[]> => {
  const known = new Map<string, WalletRecord | undefined>()
  try {
    const records: WalletRecord[] = []
    for (const walletId of walletIds) {
      const key = hexOf(walletId)
      if (!known.has(key)) known.set(key, await loadOrSkip(store, walletId))
      const record = known.get(key)
      if (record === undefined || material === undefined) continue
      if (presignSlotOf(parties, material, record) === undefined) record.share.fill(0)
      else records.push(record)
    }
    return records
  } catch (error) {
    for (const record of known.values()) record?.share.fill(0)
    throw error
  }
}

/** P1 to P4. The shares in `records` are overwritten as soon as the session has its copies. */
export const runPresign = async (deps: Deps, records: readonly WalletRecord[]): Promise<readonly Presignature[]> => {
  const { link, store, sessions } = deps
  const { material, parties } = link
  if (material === undefined) throw stale()
  const names = new Map(records.map(({ walletId }) => [hexOf(walletId), walletId]))
  await store.noteUse([...names.values()], material.lEpoch)
  assertLive(link, material)
  const slots = records.flatMap((record) => presignSlotOf(parties, material, record) ?? [])
  if (slots.length < records.length) throw stale()
  const starting = sessions.startPresign(material, slots)
  wipeShares(records)
  return exchangeSession(deps, material, await starting, slots.length)
}

const exchangeSession = async (
  { link, exchange }: Deps,
  material: HeldMaterial,
  first: PresignC1,
  slots: number,
): Promise<readonly Presignature[]> => {
  const { P1, P2, P3, P4 } = FRAME_TYPES
  const { lEpoch } = material
  let live: OpenStep = first
  try {
    const p2 = await exchange(P1, NO_SID, lEpoch, first.body, P2)
    link.countSlots(slots)
    assertLive(link, material)
    const second = await first.advance(p2)
    live = second
    const p4 = await exchange(P3, second.sid, lEpoch, second.body, P4)
    assertLive(link, material)
    return keepIfLive(link, material, await second.finish(p4.body))
  } catch (error) {
    live.abandon()
    throw error
  }
}

const loadOrSkip = async (store: PartyStore, walletId: Uint8Array): Promise<WalletRecord | undefined> => {
  try {
    return await store.loadWallet(walletId)
  } catch (error) {
    if (error instanceof ProtocolFault && error.consequence === 'quarantine-wallet') return undefined
    throw error
  }
}

/** Material that was overwritten while the peer was at work would fail a check of an honest session. */
const assertLive = (link: Link, material: HeldMaterial): void => {
  if (link.material !== material) throw stale()
}

/** Of a link that was burned while the last step ran, nothing is kept. */
const keepIfLive = (
  link: Link,
  material: HeldMaterial,
  presignatures: readonly Presignature[],
): readonly Presignature[] => {
  try {
    assertLive(link, material)
    return presignatures
  } catch (error) {
    for (const presignature of presignatures) wipePresignature(presignature)
    throw error
  }
}

const stale = (): ProtocolFault => benign('link_stale', 'the material is gone')
