import { parseEvmAddress } from './address.ts'
import { equalBytes, toHex } from './bytes.ts'
import { checkDigest } from './digest.ts'
import type { EvmSignature } from './signature.ts'
import { checkSignature, formatSignature } from './signature.ts'

/**
 * The 20-byte address whose key made a signature over a digest, or undefined when r is no point's x coordinate.
 * Refuses a digest that is never signed (DIGEST_REFUSED) and a signature out of range or with high s
 * (SIGNATURE_MALFORMED).
 */
export const recoverSigner = async (
  digest: Uint8Array,
  signature: EvmSignature,
): Promise<Uint8Array | undefined> => {
  const hash = toHex(checkDigest(digest))
  const { hex } = formatSignature(checkSignature(signature))
  // Only when somebody asks: it is a fifth of what a start loads, and a tenth of the memory.
  const { recoverAddress } = await import('viem/utils')
  const address = await recoverAddress({ hash, signature: hex }).catch(() => undefined)
  return address === undefined ? undefined : parseEvmAddress(address)
}

/** Whether an externally owned account signed a digest. Throws as `recoverSigner` does. */
export const verifySigner = async (
  digest: Uint8Array,
  signature: EvmSignature,
  address: Uint8Array,
): Promise<boolean> => {
  const signer = await recoverSigner(digest, signature)
  return signer !== undefined && equalBytes(signer, address)
}
