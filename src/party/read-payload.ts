import { walletIdFromBytes } from '../domain/ids.ts'
import { examine } from '../payload/examine.ts'
import { parseSigningPayload } from '../payload/signing-payload.ts'
import type { ReadPayload } from './sign-responder.ts'

/** The cosigner's own reading of a typed request: what it is for, what it says, what digest follows from it. */
export const readSigningPayload: ReadPayload = (bytes, walletId) => {
  const payload = parseSigningPayload(bytes)
  if (payload.walletId !== walletIdFromBytes(walletId)) throw new Error('the payload is for another wallet')
  const { digest, facts } = examine(payload.content)
  return { digest, summary: facts.summary }
}
