/** C's script of a link set-up with its self-test (docs/protocol.md §4.2, §4.3). Runs under the link lock. */
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import { encodeL5, type LinkReason } from '../engine/dkls23/link-setup.ts'
import { LINK_EPOCH_WINDOW } from '../engine/dkls23/suite.ts'
import type { Exchange } from './frame-exchange.ts'
import type { Link } from './link.ts'
import { PeerRefusal } from './peer-refusal.ts'
import type { FinishedSetupC, HeldMaterial, OpenStep, SessionsOfC } from './session-engine.ts'

export type SetupDeps = { readonly link: Link; readonly sessions: SessionsOfC; readonly exchange: Exchange }

const BUSY_RETRY_MS = 500
/** The peer spaces set-ups by five seconds; two rounds of that are waited for. */
const MAX_ATTEMPTS = 22

/**
 * Makes fresh material: READY when P4 of the self-test verified. Until then no wallet's share was an input.
 * A peer that is ahead (epoch_rejected) is followed at most 1 024 epochs.
 */
export const setUpLink = async (deps: SetupDeps, reason: LinkReason): Promise<void> => {
  const { link } = deps
  let lEpoch = 0
  for (let attempt = 1; ; attempt++) {
    // Before each try: the one before may have used up an epoch and a grant, and the link may have stopped meanwhile.
    assertMayBegin(link, reason)
    lEpoch = Math.max(lEpoch, link.record.lEpoch + 1)
    try {
      return await setUpOnce(deps, reason, lEpoch)
    } catch (error) {
      if (!(error instanceof PeerRefusal) || attempt >= MAX_ATTEMPTS) throw error
      const { refusal } = error
      if (refusal.code === 'busy') await new Promise((wake) => setTimeout(wake, BUSY_RETRY_MS))
      else if (refusal.code === 'epoch_rejected' && refusal.lEpoch < link.record.lEpoch + LINK_EPOCH_WINDOW) {
        lEpoch = Math.max(refusal.lEpoch, link.record.lEpoch) + 1
      } else throw error
    }
  }
}

/** Class A: stopped, or burned without a grant that allows one more set-up. */
const assertMayBegin = (link: Link, reason: LinkReason): void => {
  if (reason !== 'relink') link.assertUsable('other')
  else if (!link.mayRelink) throw benign('link_burned', 'no relink grant on this side')
}

const setUpOnce = async (deps: SetupDeps, reason: LinkReason, lEpoch: number): Promise<void> => {
  const { link, sessions } = deps
  const { material, confC, sid } = await exchangeSetup(deps, reason, lEpoch)
  try {
    await link.commitEpoch(lEpoch, { relink: reason === 'relink', erase: reason === 'erase' })
    link.wipeMaterial()
    await testMaterial(deps, material, confC, sid)
    if (reason === 'relink') await link.reopen()
    // A burn that came from elsewhere while the peer was at work leaves no Δ behind.
    link.assertUsable('other')
    link.setMaterial(material)
  } catch (error) {
    sessions.wipeMaterial(material)
    throw error
  }
}

/** L1 to L4. */
const exchangeSetup = async (
  { link, sessions, exchange }: SetupDeps,
  reason: LinkReason,
  lEpoch: number,
): Promise<FinishedSetupC> => {
  const first = await sessions.startSetup({ lEpoch, reason, replaces: link.material })
  let live: OpenStep = first
  try {
    if (reason === 'erase' || reason === 'boot' || reason === 'relink') link.wipeMaterial()
    const l2 = await exchange(FRAME_TYPES.L1, NO_SID, lEpoch, first.body, FRAME_TYPES.L2)
    const sid = l2.sid.slice()
    const third = await first.advance(l2)
    live = third
    // The peer gives the old material up when it reads L3, so from here on it serves nobody.
    link.wipeMaterial()
    const l4 = await exchange(FRAME_TYPES.L3, sid, lEpoch, third.body, FRAME_TYPES.L4)
    return await third.finish(l4.body)
  } catch (error) {
    live.abandon()
    throw error
  }
}

/** The self-test: one presign session on the null slot; a failed check in it is a burn like any other. */
const testMaterial = async (
  { sessions, exchange }: SetupDeps,
  material: HeldMaterial,
  confC: Uint8Array,
  sid: Uint8Array,
): Promise<void> => {
  const { lEpoch } = material
  const first = await sessions.startPresign(material, 'self-test')
  let live: OpenStep = first
  try {
    const p2 = await exchange(FRAME_TYPES.L5, sid, lEpoch, encodeL5(confC, first.body), FRAME_TYPES.P2)
    const second = await first.advance(p2)
    live = second
    const p4 = await exchange(FRAME_TYPES.P3, second.sid, lEpoch, second.body, FRAME_TYPES.P4)
    const presignatures = await second.finish(p4.body)
    if (presignatures.length > 0) throw new ProtocolFault('B', 'internal', 'a self-test has no result')
  } catch (error) {
    live.abandon()
    throw error
  }
}
