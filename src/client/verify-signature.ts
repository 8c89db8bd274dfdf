import { bytesToHex, type Hex, hexToBigInt, isAddressEqual, recoverAddress, type Address } from 'viem'
import type { Signature } from '../../gen/countersign/v1/common_pb.ts'

/** Half the order of secp256k1 (SEC 2, §2.4.1): EIP-2 refuses a transaction whose s is above it. */
const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n

/** The daemon answered with something other than what was asked for. Nothing of the answer is passed on. */
export class AnswerMismatchError extends Error {
  constructor(what: string) {
    super(`the daemon's answer is not what was asked for: ${what}`)
    this.name = 'AnswerMismatchError'
  }
}

/** An ECDSA signature in viem's object form. */
export type VerifiedSignature = {
  readonly r: Hex
  readonly s: Hex
  readonly v: bigint
  readonly yParity: number
  readonly hex: Hex
}

/**
 * Takes a signature over only if it is `address`'s over `hash`, with s in the lower half of the order, and every form
 * in the answer holds the same signature. Throws AnswerMismatchError otherwise. `hash` must come from the caller's own
 * copy of what is signed, never from the answer.
 */
export const verifySignature = async (
  hash: Hex,
  address: Address,
  signature: Signature | undefined,
): Promise<VerifiedSignature> => {
  if (signature === undefined) throw new AnswerMismatchError('it holds no signature')
  const { yParity } = signature
  if (signature.r.length !== 32 || signature.s.length !== 32 || (yParity !== 0 && yParity !== 1)) {
    throw new AnswerMismatchError('it is no secp256k1 signature')
  }
  const r = bytesToHex(signature.r)
  const s = bytesToHex(signature.s)
  const v = 27n + BigInt(yParity)
  const hex: Hex = `${r}${s.slice(2)}${v.toString(16)}`
  if (hexToBigInt(s) > HALF_ORDER) throw new AnswerMismatchError('s is in the upper half of the order')
  if (signature.hex !== hex || bytesToHex(signature.raw) !== hex || signature.v !== Number(v)) {
    throw new AnswerMismatchError('its forms of the signature differ')
  }
  if (!(await isSignedBy(hash, address, hex))) throw new AnswerMismatchError('the signature is not the wallet\'s')
  return { r, s, v, yParity, hex }
}

const isSignedBy = async (hash: Hex, address: Address, signature: Hex): Promise<boolean> => {
  try {
    return isAddressEqual(await recoverAddress({ hash, signature }), address)
  } catch {
    return false
  }
}
