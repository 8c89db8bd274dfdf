import { contextRandomize } from '../engine/curve/secp256k1.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'

const RANDOMIZE_MS = 3_600_000

/** Blinds what this thread computes with secrets on secp256k1, now and every hour anew. */
export const keepCurveBlinded = (entropy: Pick<Entropy, 'nonce32'>): void => {
  contextRandomize(entropy.nonce32())
  setInterval(() => contextRandomize(entropy.nonce32()), RANDOMIZE_MS).unref()
}
