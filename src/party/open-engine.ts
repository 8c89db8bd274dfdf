import { failure } from '../domain/failure.ts'
import { ed25519Ready } from '../engine/curve/ed25519.ts'

/**
 * Opens what a party's thread computes with, before it serves anything. A libsodium that fails its known answers is
 * refused with COSIGNER_UNAVAILABLE: nothing is signed, with either kind of key, until another one is installed.
 */
export const openEngine = async (ready: () => Promise<void> = ed25519Ready): Promise<void> => {
  try {
    await ready()
  } catch (error) {
    const why = error instanceof Error ? error.message : 'it does not open'
    throw failure('COSIGNER_UNAVAILABLE', { why: `its Ed25519 library is refused: ${why}` })
  }
}
