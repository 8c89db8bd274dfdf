/**
 * The randomness of the peer tool: everything that a run draws comes from its seed, so that the same seeds and the same
 * operations put the same bytes on the wire. Keys made from it are worth nothing; no other part of the program uses it.
 */
import { createCipheriv, createHash } from 'node:crypto'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'

export type SeededEntropy = Entropy & { readonly bytes: (length: number) => Uint8Array }

/**
 * The stream AES-256-CTR(key SHA-256("countersign/engine-peer/v1/" ‖ role ‖ "/" ‖ seed), IV 0), taken in the order of
 * the draws. The clock that goes into the operation generator stands at zero.
 */
export const seededEntropy = (role: 'C' | 'S', seed: string): SeededEntropy => {
  const key = createHash('sha256').update(`countersign/engine-peer/v1/${role}/${seed}`).digest()
  const stream = createCipheriv('aes-256-ctr', key, new Uint8Array(16))
  const bytes = (length: number): Uint8Array => new Uint8Array(stream.update(new Uint8Array(length)))
  return {
    bytes,
    osRandom64: () => bytes(64),
    nonce32: () => bytes(32),
    clock: () => ({ wallNs: 0n, monotonicNs: 0n }),
  }
}
