/** What C's requests to sign have in common, of either kind of key. */
import { benign } from '../engine/dkls23/fault.ts'

/** How long C waits for the answer. */
export const SIGN_TIMEOUT_MS = 10_000
/** Room for a typed payload in a frame; the limit on a payload itself is lower and is the signing script's. */
const MAX_PAYLOAD_BYTES = 2 * 1024 * 1024 - 4_096

/** What a caller chose must not come to the peer as a violation of this side. @throws RangeError; ProtocolFault class A. */
export const assertSendable = ({ reqId, payload }: { readonly reqId: Uint8Array; readonly payload: Uint8Array }): void => {
  if (reqId.length !== 16) throw new RangeError('a reqId has 16 bytes')
  if (payload.length > MAX_PAYLOAD_BYTES) throw benign('policy_denied', 'the payload is too large')
}
