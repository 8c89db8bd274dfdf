/** C's script of a link set-up with its self-test (docs/protocol.md §4.2, §4.3). Runs under the link lock. */
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import { type LinkMaterial, wipeLinkMaterial } from '../engine/dkls23/link-material.ts'
import {
  abandonLinkSetup,
  advanceLinkC,
  encodeL5,
  finishLinkC,
  type LinkReason,
  startLinkC,
} from '../engine/dkls23/link-setup.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { abandonPresign, advancePresignC, finishPresignC, startPresignC } from '../engine/dkls23/presign.ts'
import { LINK_EPOCH_WINDOW } from '../engine/dkls23/suite.ts'
import type { Exchange } from './frame-exchange.ts'
import type { Link } from './link.ts'
import { PeerRefusal } from './peer-refusal.ts'

export type SetupDeps = { readonly link: Link; readonly entropy: Entropy; readonly exchange: Exchange }

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

const setUpOnce = async ({ link, entropy, exchange }: SetupDeps, reason: LinkReason, lEpoch: number): Promise<void> => {
  const hk = link.material?.hk
  const inputs = { link: link.parties, entropy, lEpoch, reason }
  const first = startLinkC(hk === undefined ? inputs : { ...inputs, hk })
  if (reason === 'erase' || reason === 'boot' || reason === 'relink') link.wipeMaterial()
  let live: Parameters<typeof abandonLinkSetup>[0] = first.state
  let material: LinkMaterial
  let confC: Uint8Array
  let sid: Uint8Array
  try {
    const l2 = await exchange(FRAME_TYPES.L1, NO_SID, lEpoch, first.body, FRAME_TYPES.L2)
    const third = advanceLinkC(first.state, l2)
    live = third.state
    // The peer gives the old material up when it reads L3, so from here on it serves nobody.
    link.wipeMaterial()
    const l4 = await exchange(FRAME_TYPES.L3, l2.sid, lEpoch, third.body, FRAME_TYPES.L4)
    ;({ material, confC, sid } = finishLinkC(third.state, l4.body))
  } catch (error) {
    abandonLinkSetup(live)
    throw error
  }
  try {
    await link.commitEpoch(lEpoch, { relink: reason === 'relink', erase: reason === 'erase' })
    link.wipeMaterial()
    await testMaterial({ link, entropy, exchange }, material, confC, sid)
    if (reason === 'relink') await link.reopen()
    // A burn that came from elsewhere while the peer was at work leaves no Δ behind.
    else link.assertUsable('other')
    link.setMaterial(material)
  } catch (error) {
    wipeLinkMaterial(material)
    throw error
  }
}

/** The self-test: one presign session on the null slot; a failed check in it is a burn like any other. */
const testMaterial = async (
  { link, entropy, exchange }: SetupDeps,
  material: LinkMaterial,
  confC: Uint8Array,
  sid: Uint8Array,
): Promise<void> => {
  const { lEpoch } = material
  const first = startPresignC({ link: link.parties, material, entropy, slots: 'self-test' })
  let live: Parameters<typeof abandonPresign>[0] = first.state
  try {
    const p2 = await exchange(FRAME_TYPES.L5, sid, lEpoch, encodeL5(confC, first.body), FRAME_TYPES.P2)
    const second = advancePresignC(first.state, p2)
    live = second.state
    const p4 = await exchange(FRAME_TYPES.P3, second.sid, lEpoch, second.body, FRAME_TYPES.P4)
    const { presignatures } = finishPresignC(second.state, p4.body)
    if (presignatures.length > 0) throw new ProtocolFault('B', 'internal', 'a self-test has no result')
  } catch (error) {
    abandonPresign(live)
    throw error
  }
}
