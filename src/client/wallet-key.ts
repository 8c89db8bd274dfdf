/** A wallet's id and public key as the parties encode them. */
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'

const bytesOf = (digits: string): Uint8Array => Uint8Array.from(digits.match(/../g) ?? [], (two) => Number.parseInt(two, 16))

/** 16 bytes. */
export const walletIdOf = ({ walletId }: Wallet): Uint8Array => bytesOf(walletId.slice('wal_'.length))

/** Ed25519: 32 bytes. secp256k1: SEC1 compressed, 33 bytes. */
export const publicKeyOf = ({ keyType, publicKey }: Wallet): Uint8Array => {
  const shown = bytesOf(publicKey)
  return keyType === KeyType.ED25519 ? shown : Uint8Array.of(2 + ((shown[64] ?? 0) & 1), ...shown.subarray(1, 33))
}
