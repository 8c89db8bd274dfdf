/** Randomness and time of a share-holding process, as the engine wants them (docs/protocol.md §2). */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import type { Clock } from '../domain/clock.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { secretBytes } from '../engine/hash/encoding.ts'

/** 32 bytes from the kernel itself: a resumed snapshot repeats the process's generator, not the kernel's. */
const kernelBytes = (descriptor: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const read = readSync(descriptor, bytes, filled, length - filled, null)
    if (read <= 0) throw new Error('/dev/urandom gives nothing')
    filled += read
  }
  return bytes
}

export const createEntropy = (clock: Clock): Entropy & { readonly close: () => void } => {
  const descriptor = openSync('/dev/urandom', 'r')
  return {
    osRandom64: () => {
      const out = secretBytes(64)
      const kernel = kernelBytes(descriptor, 32)
      const library = randomBytes(32)
      out.set(kernel)
      out.set(library, 32)
      kernel.fill(0)
      library.fill(0)
      return out
    },
    nonce32: () => new Uint8Array(randomBytes(32)),
    clock: () => ({ wallNs: BigInt(Math.trunc(clock.nowMs())) * 1_000_000n, monotonicNs: clock.monotonicNs() }),
    close: () => closeSync(descriptor),
  }
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicNs: () => process.hrtime.bigint(),
}
