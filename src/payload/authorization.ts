import { failure } from '../domain/failure.ts'
import { parseEvmAddress } from './address.ts'
import { bigintToMinimalBytes, concatBytes } from './bytes.ts'
import { keccak256 } from './keccak.ts'
import { encodeRlp } from './rlp.ts'

/** EIP-7702: who delegates is the signer; `address` is the delegate, 20 bytes, zero to take a delegation back. */
export type Authorization = { readonly chainId: bigint; readonly address: Uint8Array; readonly nonce: bigint }

/** EIP-2294's bound: the largest chain id for which EIP-155's v fits 64 bits. */
export const MAX_CHAIN_ID = (1n << 64n) / 2n - 36n
/** EIP-2681: an account's nonce stays below this. */
export const MAX_NONCE = (1n << 64n) - 2n

const refuse = (field: string, why: string) => failure('AUTHORIZATION_INVALID', { field, why })

/**
 * Refuses (AUTHORIZATION_INVALID) what no chain accepts. Chain id 0, every chain, passes here: policy decides it.
 */
export const checkAuthorization = (authorization: Authorization): Authorization => {
  const { chainId, address, nonce } = authorization
  if (chainId < 0n || chainId > MAX_CHAIN_ID) throw refuse('chain_id', 'is out of range')
  if (nonce < 0n || nonce > MAX_NONCE) throw refuse('nonce', 'is out of range')
  if (address.length !== 20) throw refuse('address', 'is not 20 bytes')
  return authorization
}

/** An authorization as a caller writes it; the address may be in one letter case or with its EIP-55 checksum. */
export const parseAuthorization = (fields: { chainId: bigint; address: string; nonce: bigint }): Authorization => {
  const address = parseEvmAddress(fields.address)
  if (address === undefined) throw refuse('address', 'is not an address, or its checksum is wrong')
  return checkAuthorization({ chainId: fields.chainId, address, nonce: fields.nonce })
}

/** EIP-7702: keccak256(0x05 ‖ rlp([chain_id, address, nonce])), 32 bytes. */
export const hashAuthorization = (authorization: Authorization): Uint8Array => {
  const { chainId, address, nonce } = checkAuthorization(authorization)
  const fields = encodeRlp([bigintToMinimalBytes(chainId), address, bigintToMinimalBytes(nonce)])
  return keccak256(concatBytes(Uint8Array.of(0x05), fields))
}
