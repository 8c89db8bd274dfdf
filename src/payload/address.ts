import { keccak256 } from './keccak.ts'
import { fromHex, toHex } from './bytes.ts'

const LETTERS = /[a-f]/
const CAPITALS = /[A-F]/

/** EIP-55: the address of 20 bytes with its checksum in the letter case. */
export const formatEvmAddress = (address: Uint8Array): `0x${string}` => {
  if (address.length !== 20) throw new Error('assertion: an EVM address has 20 bytes')
  const digits = toHex(address).slice(2)
  const hash = toHex(keccak256(Buffer.from(digits, 'ascii'))).slice(2)
  const cased = Array.from(digits, (digit, at) => ((hash[at] ?? '0') >= '8' ? digit.toUpperCase() : digit))
  return `0x${cased.join('')}`
}

/**
 * The 20 bytes behind an address: 0x and 40 hex digits, in one letter case throughout or, in mixed case, with a
 * valid EIP-55 checksum. Anything else is undefined.
 */
export const parseEvmAddress = (text: string): Uint8Array | undefined => {
  const address = text.length === 42 ? fromHex(text) : undefined
  if (address === undefined) return undefined
  const digits = text.slice(2)
  const mixed = LETTERS.test(digits) && CAPITALS.test(digits)
  return mixed && formatEvmAddress(address) !== text ? undefined : address
}

/**
 * The 20-byte address of an uncompressed secp256k1 public key (65 bytes beginning 04): keccak-256's last 20 bytes.
 */
export const evmAddressOfPublicKey = (publicKey: Uint8Array): Uint8Array => {
  if (publicKey.length !== 65 || publicKey[0] !== 4) throw new Error('assertion: an uncompressed public key')
  return keccak256(publicKey.subarray(1)).slice(12)
}
