import { edMessageHash } from '../engine/frost/sign-messages.ts'

/**
 * The 32 bytes that stand for an Ed25519 message in intent rows and audit rows, at both parties: TH("ed/msg"; m)
 * (docs/protocol.md §18). Never signed: Ed25519 signs the message itself.
 */
export const intentDigestOfMessage = (message: Uint8Array): Uint8Array => edMessageHash(message)
