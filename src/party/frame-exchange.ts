/** One message of party C and its answer, judged before anybody reads the body (docs/protocol.md §16). */
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { benign, violation } from '../engine/dkls23/fault.ts'
import { decodeError, decodeFrame, encodeFrame, type Frame, FRAME_TYPES, type FrameType } from '../engine/dkls23/frame.ts'
import { ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import type { Counterparty } from './counterparty.ts'
import { PeerRefusal } from './peer-refusal.ts'
import { hexOf } from './presignature-map.ts'

export const STEP_TIMEOUT_MS = 2_000

/** The id of the link that a frame is of, in hexadecimal, before the frame is judged. */
export const linkIdIn = (frame: Uint8Array): string => hexOf(frame.subarray(8, 24))

export type Exchange = (
  type: FrameType,
  sid: Uint8Array,
  lEpoch: number,
  body: Uint8Array,
  expects: FrameType,
  timeoutMs?: number,
) => Promise<Frame>

/** Answers with a sid of their own: the engine recomputes it. */
const BRINGS_SID: ReadonlySet<FrameType> = new Set([
  FRAME_TYPES.L2,
  FRAME_TYPES.W2,
  FRAME_TYPES.P2,
  FRAME_TYPES.E2,
  FRAME_TYPES.F2,
  FRAME_TYPES.FORK2,
  FRAME_TYPES.IM2,
])

/** Answers that carry the own epoch of who sends them. */
const HAS_OWN_EPOCH: ReadonlySet<FrameType> = new Set([
  FRAME_TYPES.HELLO,
  FRAME_TYPES.EXPORT_ANSWER,
  FRAME_TYPES.SEALED_SHARE,
])

/**
 * An answer over another link, epoch or session is none of ours (class A); one of another type is the peer's violation
 * (class C); an error frame is a PeerRefusal.
 */
export const openExchange =
  ({ linkId }: LinkParties, peer: Counterparty): Exchange =>
  async (type, sid, lEpoch, body, expects, timeoutMs = STEP_TIMEOUT_MS) => {
    const bytes = await peer.exchange(encodeFrame({ type, role: ROLE_C, linkId, lEpoch, sid, body }), timeoutMs)
    if (bytes === undefined) throw benign('session', 'no answer')
    const frame = decodeFrame(bytes, ROLE_S)
    if (hexOf(frame.linkId) !== hexOf(linkId)) throw benign('session', 'another link')
    if (frame.type === FRAME_TYPES.ERROR) throw new PeerRefusal(decodeError(frame.body))
    if (frame.lEpoch !== lEpoch && !HAS_OWN_EPOCH.has(expects)) throw benign('session', 'another link epoch')
    if (!BRINGS_SID.has(expects) && hexOf(frame.sid) !== hexOf(sid)) throw benign('session', 'another session')
    if (frame.type !== expects) throw violation('type of the answer')
    return frame
  }
