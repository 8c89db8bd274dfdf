/**
 * What a link set-up leaves behind: the OT correlation of two parties in both directions (docs/protocol.md §6.2).
 * It lives in the memory of the share-holding process only. Δ is a decryption key for every share that this party
 * ever put into a multiplication under it, and is guarded like all of them together.
 */
import { taggedHash } from '../hash/tagged-hash.ts'
import { dropSeedCiphers, keepSeedCiphers } from './seed-ciphers.ts'
import { BLOCK_BYTES, LAMBDA_C, type Role } from './suite.ts'

export type LinkMaterial = {
  readonly role: Role
  readonly lEpoch: number
  /** Names this material; goes into every presign sid. */
  readonly lctx: Uint8Array
  /** Δ, 16 bytes: own choice bits as base-OT receiver; own key as OT-extension and RVOLE sender. Secret. */
  readonly delta: Uint8Array
  /** k_0‖…‖k_127, 2 048 bytes: the seeds that Δ chose. Secret. */
  readonly chosenSeeds: Uint8Array
  /** k0_0‖…‖k0_127‖k1_0‖…‖k1_127, 4 096 bytes: both seeds, for the direction where this party receives. Secret. */
  readonly seedPairs: Uint8Array
  /** TH("ote/hk"; seedPairs): feeds the operation generator. Secret. */
  readonly hk: Uint8Array
}

/** Takes ownership of the secret arrays. */
export function makeLinkMaterial(parts: Omit<LinkMaterial, 'hk'>): LinkMaterial {
  const sizes: readonly [Uint8Array, number][] = [
    [parts.lctx, 32],
    [parts.delta, BLOCK_BYTES],
    [parts.chosenSeeds, LAMBDA_C * BLOCK_BYTES],
    [parts.seedPairs, 2 * LAMBDA_C * BLOCK_BYTES],
  ]
  if (sizes.some(([bytes, size]) => bytes.length !== size)) throw new RangeError('link material has fixed sizes')
  keepSeedCiphers(parts.chosenSeeds)
  keepSeedCiphers(parts.seedPairs)
  return { ...parts, hk: taggedHash('ote/hk', parts.seedPairs) }
}

/** Overwrites every secret of the material in place. */
export function wipeLinkMaterial(material: LinkMaterial): void {
  dropSeedCiphers(material.chosenSeeds)
  dropSeedCiphers(material.seedPairs)
  material.delta.fill(0)
  material.chosenSeeds.fill(0)
  material.seedPairs.fill(0)
  material.hk.fill(0)
}
