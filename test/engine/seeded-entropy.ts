import { createHash } from 'node:crypto'
import type { Entropy } from '../../src/engine/dkls23/operation-generator.ts'

/** Entropy that repeats for a seed, so that a statistical test gives the same verdict every time. */
export function seededEntropy(seed: string): Entropy {
  let counter = 0
  const next = (length: 32 | 64): Uint8Array => {
    const algorithm = length === 32 ? 'sha256' : 'sha512'
    counter += 1
    return new Uint8Array(createHash(algorithm).update(`${seed}/${counter}`).digest())
  }
  return {
    osRandom64: () => next(64),
    nonce32: () => next(32),
    clock: () => ({ wallNs: BigInt(counter), monotonicNs: BigInt(counter) }),
  }
}
