import { ECDH } from 'node:crypto'
import { evmAddressOfPublicKey } from '../address.ts'
import { toHex } from '../bytes.ts'
import { OperatorRefused } from './profile-fault.ts'

/** The EVM address of a compressed secp256k1 key, lower case. About 60 µs: callers that know it pass it instead. */
export const sessionAddress = (publicKey: Uint8Array): string => {
  if (publicKey.length !== 33) throw new OperatorRefused('session', 'has no secp256k1 key of 33 bytes')
  try {
    const point = ECDH.convertKey(publicKey, 'secp256k1', undefined, undefined, 'uncompressed')
    return toHex(evmAddressOfPublicKey(new Uint8Array(point as Buffer)))
  } catch {
    throw new OperatorRefused('session', 'has a public key that is not on the curve')
  }
}
