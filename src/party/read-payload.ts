import { walletIdFromBytes } from '../domain/ids.ts'
import { examineEd25519 } from '../payload/examine-ed25519.ts'
import { examine } from '../payload/examine.ts'
import { parseSigningPayload, type SigningPayload } from '../payload/signing-payload.ts'
import type { ReadEdPayload } from './ed-responder.ts'
import type { ReadPayload } from './sign-responder.ts'

const parseFor = (bytes: Uint8Array, walletId: Uint8Array): SigningPayload => {
  const payload = parseSigningPayload(bytes)
  if (payload.walletId !== walletIdFromBytes(walletId)) throw new Error('the payload is for another wallet')
  return payload
}

/** The cosigner's own reading of a typed request: what it is for, what it says, what digest follows from it. */
export const readSigningPayload: ReadPayload = (bytes, walletId) => {
  const { digest, facts } = examine(parseFor(bytes, walletId).content)
  return { digest, summary: facts.summary }
}

/** The same for an Ed25519 wallet, whose messages have no digest and whose transactions have to name its key. */
export const readEd25519Payload: ReadEdPayload = (bytes, walletId, publicKey) => {
  const { message, facts } = examineEd25519(parseFor(bytes, walletId).content, publicKey)
  return { message, summary: facts.summary }
}
