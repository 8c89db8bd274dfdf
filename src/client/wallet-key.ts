/** A wallet's id and public key as the parties encode them, and whether what a daemon shows of a wallet is one key. */
import { publicKeyToAddress } from 'viem/accounts'
import { groupOf } from '../engine/curve/group.ts'
import { decompress } from '../engine/curve/secp256k1.ts'
import { ALG_SECP256K1 } from '../engine/dkls23/suite.ts'
import { equalBytes } from '../engine/hash/encoding.ts'
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

const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

const isEvmKey = (wallet: Wallet): boolean => {
  const point = publicKeyOf(wallet)
  if (!groupOf(ALG_SECP256K1).isPoint(point) || hexOf(decompress(point)) !== wallet.publicKey) return false
  return publicKeyToAddress(`0x${wallet.publicKey}`) === wallet.address
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** The address of 32 bytes; of anything else, text that is no address. */
const base58 = (bytes: Uint8Array): string => {
  const zeros = bytes.findIndex((byte) => byte !== 0)
  let text = ''
  for (let value = BigInt(`0x${hexOf(bytes) || '0'}`); value > 0n; value /= 58n) text = `${BASE58[Number(value % 58n)]}${text}`
  return '1'.repeat(zeros < 0 ? bytes.length : zeros) + text
}

/**
 * Whether the address is that of the public key, which is one. What is signed or summed up names the key, and what people
 * use is the address: a daemon that shows the one of the wallet and the other of its own is found out here.
 */
export const isOneKey = (wallet: Wallet): boolean => {
  if (wallet.keyType === KeyType.SECP256K1) return isEvmKey(wallet)
  const key = publicKeyOf(wallet)
  return key.length === 32 && hexOf(key) === wallet.publicKey && base58(key) === wallet.address
}

/** Whether the wallet is of this key, given as the parties encode it. */
export const isOfKey = (wallet: Wallet, publicKey: Uint8Array): boolean =>
  isOneKey(wallet) && equalBytes(publicKeyOf(wallet), publicKey)
