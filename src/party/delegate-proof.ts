/** What a delegate and its granting daemon sign to each other, as the engine computes it for clients too. */
export { COSIGN_NONCE_BYTES, type CosignParties, cosignStatement, isCosignProven } from '../engine/sealing/cosign-proof.ts'
