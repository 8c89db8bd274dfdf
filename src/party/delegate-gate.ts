/**
 * What a delegate may say over the stream of one access: frames of the protocol that sign, make presignatures, set up the
 * link or refresh, and that name the access's wallet and no other. Everything else is class A: a caller chose it.
 */
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import { decodeFrame, encodeFault, encodeFrame, type Frame, FRAME_TYPES, type FrameType } from '../engine/dkls23/frame.ts'
import { decodeOutcomeAnswers } from '../engine/dkls23/outcome.ts'
import { decodeP1 } from '../engine/dkls23/presign-plan.ts'
import { readRefreshNames } from '../engine/dkls23/refresh.ts'
import { ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { slotNamesInE1 } from '../engine/frost/presign.ts'
import type { RequestOf } from './delegate-store.ts'
import { hexOf } from './presignature-map.ts'

const {
  ERROR, HELLO, L1, L3, L5, P1, P3, E1, F1, F3, F5, SIGN_REQUEST, ED_SIGN_REQUEST, OUTCOME_ANSWER,
} = FRAME_TYPES

const SERVED: ReadonlySet<FrameType> = new Set<FrameType>([
  ERROR, HELLO, L1, L3, L5, P1, P3, E1, F1, F3, F5, SIGN_REQUEST, ED_SIGN_REQUEST, OUTCOME_ANSWER,
])

/** What is computed in the link's crypto worker. */
const HEAVY: ReadonlySet<FrameType> = new Set<FrameType>([L1, P1])

/** A request to sign begins with linkId 16 ‖ walletId 16 ‖ wEpoch u32 ‖ presigId 16 ‖ reqId 16. */
const WALLET_AT = 16
const PRESIG_AT = 36
const REQ_ID_AT = 52
const HEADER_BYTES = 64
const TYPE_AT = 5

export const isSignFrame = ({ [TYPE_AT]: type }: Uint8Array): boolean => type === SIGN_REQUEST || type === ED_SIGN_REQUEST

/** P2 of a session of 64 slots. */
const P2_MAX_BYTES = 448 * 1024

/** About what the answer to a frame may take: P2 is large for the least P1, P4 as large as P3. */
export const answerBytesOf = (frame: Uint8Array): number => {
  if (frame[TYPE_AT] === P1) return P2_MAX_BYTES
  return frame[TYPE_AT] === P3 ? frame.length : 0
}

export const isSignAnswer = ({ [TYPE_AT]: type }: Uint8Array): boolean =>
  type === FRAME_TYPES.SIGN_RESPONSE || type === FRAME_TYPES.ED_SIGN_RESPONSE

/** The presignature that a request to sign names. */
export const presigIdIn = (frame: Uint8Array): Uint8Array => frame.slice(HEADER_BYTES + PRESIG_AT, HEADER_BYTES + PRESIG_AT + 16)

/** Wallet and request of a frame that asks for a signature, in hexadecimal; of a shorter frame a part of it. */
export const signNameOf = (frame: Uint8Array): string => {
  const body = frame.subarray(HEADER_BYTES)
  return hexOf(body.subarray(WALLET_AT, WALLET_AT + 16)) + hexOf(body.subarray(REQ_ID_AT, REQ_ID_AT + 16))
}

/** Longer ones are not read before party S has looked at them: it may refuse them for nothing. */
const MAX_FORESEEN_BYTES = 4_096
/** Where the typed payload of a request begins, which goes to its end; of secp256k1 behind a path. */
const PAYLOAD_AT = 218
const DEPTH_AT = 100
const ED_PAYLOAD_AT = 136

/** What a short request to sign asks for; undefined for what is none, or is not of this wallet. */
export const requestIn = (frame: Uint8Array, walletId: Uint8Array): RequestOf | undefined => {
  const body = frame.subarray(HEADER_BYTES)
  if (!isSignFrame(frame) || body.length > MAX_FORESEEN_BYTES) return undefined
  if (hexOf(body.subarray(WALLET_AT, WALLET_AT + 16)) !== hexOf(walletId)) return undefined
  const isEd25519 = frame[TYPE_AT] === ED_SIGN_REQUEST
  const payload = body.subarray(isEd25519 ? ED_PAYLOAD_AT : PAYLOAD_AT + 4 * (body[DEPTH_AT] ?? 0))
  return { walletId, reqId: body.subarray(REQ_ID_AT, REQ_ID_AT + 16), payload }
}

/** The wallets that a frame of party C names. @throws ProtocolFault for one that does not decode. */
export const walletsNamedIn = (frame: Frame): readonly Uint8Array[] => {
  switch (frame.type) {
    case P1:
      return decodeP1(frame).names.map(({ walletId }) => walletId)
    case E1:
      return slotNamesInE1(frame).map(({ walletId }) => walletId)
    case F1:
      return readRefreshNames(frame).map(({ walletId }) => walletId)
    case OUTCOME_ANSWER:
      return decodeOutcomeAnswers(frame.body).map(({ walletId }) => walletId)
    case SIGN_REQUEST:
    case ED_SIGN_REQUEST:
      return [frame.body.subarray(WALLET_AT, WALLET_AT + 16)]
    default:
      return []
  }
}

export type Judged = {
  /** The frame that refuses; absent for one that party S may be asked. */
  readonly refusal?: Uint8Array
  readonly needsWorker?: boolean
}

const refusalOf = ({ linkId, sid }: Pick<Frame, 'linkId' | 'sid'>, lEpoch: number, fault: ProtocolFault): Uint8Array =>
  encodeFrame({ type: ERROR, role: ROLE_S, linkId, lEpoch, sid, body: encodeFault(fault) })

/** Of a frame that was judged: what computes it is not there now. */
export const refuseAsBusy = (bytes: Uint8Array, lEpoch: number): Uint8Array =>
  refusalOf(decodeFrame(bytes, ROLE_C), lEpoch, benign('busy', 'the crypto worker is being started'))

/** What does not decode is party S's to refuse, as it refuses it of anybody. */
export const judgeDelegateFrame = (bytes: Uint8Array, walletId: Uint8Array, lEpoch: number): Judged => {
  const refuse = (frame: Frame, fault: ProtocolFault): Judged => ({ refusal: refusalOf(frame, lEpoch, fault) })
  let frame: Frame | undefined
  try {
    frame = decodeFrame(bytes, ROLE_C)
    if (!SERVED.has(frame.type)) return refuse(frame, benign('policy_denied', 'not for delegates'))
    const own = hexOf(walletId)
    const isForeign = walletsNamedIn(frame).some((named) => hexOf(named) !== own)
    if (isForeign) return refuse(frame, benign('wallet_state', 'another wallet'))
    return HEAVY.has(frame.type) ? { needsWorker: true } : {}
  } catch (error) {
    if (error instanceof ProtocolFault) return {}
    throw error
  }
}
