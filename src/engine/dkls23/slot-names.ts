/**
 * What the first message of a presign session and of a refresh begins with (docs/protocol.md §9.1, §12, §18):
 * N ‖ u16 n ‖ n×(walletId ‖ u32 wEpoch).
 */
import { concatBytes, u16, u32 } from '../hash/encoding.ts'
import { violation } from './fault.ts'
import { assertBodyLength, assertNoSid, bodyLengthFromCounts, type FRAME_TYPES, type SessionMessage } from './frame.ts'
import type { SlotName } from './presign-plan.ts'
import { NONCE_BYTES, SHORT_ID_BYTES } from './suite.ts'
import { BodyReader } from './wire.ts'

export function encodeSlotNames(nonce: Uint8Array, names: readonly SlotName[]): Uint8Array {
  return concatBytes(nonce, u16(names.length), ...names.map(encodeSlotName))
}

/** walletId ‖ u32 wEpoch. */
export function encodeSlotName({ walletId, wEpoch }: SlotName): Uint8Array {
  return concatBytes(walletId, u32(wEpoch))
}

/**
 * The nonce and the names, which are views of the body, and the reader where they end.
 * @throws ProtocolFault class C: a sid in the header, n = 0 or above `max`, a body of another length than n gives.
 */
export function readSlotNames(
  type: (typeof FRAME_TYPES)['P1' | 'E1' | 'F1' | 'FORK1'],
  { sid, body }: SessionMessage,
  max: number,
): { readonly nonce: Uint8Array; readonly names: readonly SlotName[]; readonly rest: BodyReader } {
  assertNoSid(sid)
  const count = body.length < NONCE_BYTES + 2 ? 0 : new BodyReader(body.subarray(NONCE_BYTES)).u16()
  if (count < 1 || count > max) throw violation('number of wallets')
  assertBodyLength(body, bodyLengthFromCounts(type, body))
  const rest = new BodyReader(body)
  const nonce = rest.take(NONCE_BYTES)
  rest.u16()
  const names = Array.from({ length: count }, () => ({ walletId: rest.take(SHORT_ID_BYTES), wEpoch: rest.u32() }))
  return { nonce, names, rest }
}
