/**
 * Bringing a private key in: it is split here, each half is sealed to its party, and it exists whole nowhere else. The
 * cosigner's import key is taken under the pinned identity alone.
 */
import { hash } from 'node:crypto'
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt'
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { groupOf } from '../engine/curve/group.ts'
import { OWNER_END_USER, OWNER_PROJECT } from '../engine/dkls23/import.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1 } from '../engine/dkls23/suite.ts'
import { plainBytes, secretBytes } from '../engine/hash/encoding.ts'
import type { ImportKey } from '../engine/sealing/import-key.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { type ImportKey as WireImportKey, OwnerType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from './countersign-client.ts'
import { ImportRefused, splitKey } from './split-key.ts'
import { verifyWalletOwner } from './verify-wallet-owner.ts'
import { isOfKey } from './wallet-key.ts'
import { parsePin, proveWalletSecret, type WalletSecret } from './wallet-secret.ts'

/** secp256k1: the key as wallets have it, 32 bytes big-endian. Ed25519: the seed, or a scalar of 32 bytes little-endian. */
export type PrivateKey =
  | { readonly secp256k1: Uint8Array }
  | { readonly ed25519Seed: Uint8Array }
  | { readonly ed25519Scalar: Uint8Array }

export type ImportOptions = {
  /** Only read; the caller erases it once the wallet is there. */
  readonly privateKey: PrivateKey
  /** The project whose wallet it is to be; the halves are sealed under it. */
  readonly projectId: string
  readonly userId: string
  readonly label?: string
  /** The cosigner's id as its operator gave it, 64 hex digits. */
  readonly cosignerId: string
  /** Present: the wallet is the end user's, and this their first wallet secret or one in the cosigner's register. */
  readonly walletSecret?: WalletSecret
  /** All that may speak for the user at the cosigner, as SubjectPublicKeyInfo in DER; left out, `walletSecret` alone. */
  readonly ownerSecrets?: readonly Uint8Array[]
  readonly endUserOwned?: boolean
  readonly requestId?: string
}

/** The answer names another wallet than the key's. What the cosigner has of the key is not what was asked for. */
export class ImportMismatch extends Error {
  override readonly name = 'ImportMismatch'
}

const EXPIRE_MS = 600_000

/**
 * Splits the key, has both parties take their halves in, and answers the wallet, whose shares were changed since.
 * @throws CountersignError as GetImportKeys and ImportPrivateKey are refused; ImportRefused, before anything was sent: the
 *   import key is not the pinned cosigner's, or the key is out of range; TypeError without a pinned cosigner. Once it was sent:
 *   ImportMismatch; OwnerMismatch where a wallet secret was given and the pinned cosigner does not say that it, and nobody
 *   else's, speaks for the wallet: what the key holds is to be moved.
 */
export const importPrivateKey = async (client: CountersignClient, options: ImportOptions): Promise<Wallet> => {
  const cosignerId = parsePin(options.cosignerId)
  const isEndUsers = options.endUserOwned === true || options.walletSecret !== undefined
  const { projectId, userId, label = '', privateKey, walletSecret } = options
  const alg: Alg = 'secp256k1' in privateKey ? ALG_SECP256K1 : ALG_ED25519
  if (alg === ALG_ED25519) await ed25519Ready()
  const keys = await client.wallets.getImportKeys({})
  const nowMs = Date.now()
  const expireMs = nowMs + EXPIRE_MS
  const owner = { expireMs, ownerType: isEndUsers ? OWNER_END_USER : OWNER_PROJECT, project: projectId, userId } as const
  const both = { daemon: readKey(keys.daemon), cosigner: readKey(keys.cosigner) }
  const scalar = scalarOf(privateKey)
  let split: ReturnType<typeof splitKey>
  try {
    split = splitKey(alg, scalar, owner, both, { cosignerId, nowMs })
  } finally {
    scalar.fill(0)
  }
  const { opening } = split
  const answer = await client.wallets.importPrivateKey({
    userId,
    keyType: alg === ALG_ED25519 ? KeyType.ED25519 : KeyType.SECP256K1,
    ownerType: isEndUsers ? OwnerType.END_USER : OwnerType.PROJECT,
    label,
    importId: opening.importId,
    expireTime: timestampFromMs(expireMs),
    publicKey: opening.publicKey,
    daemonPoint: opening.pointC,
    cosignerPoint: opening.pointS,
    chainCode: opening.chainCode,
    daemonEnvelope: split.daemonEnvelope,
    cosignerEnvelope: split.cosignerEnvelope,
    ...(walletSecret && { walletSecret: await proveWalletSecret({ ...options }, walletSecret) }),
    requestId: options.requestId ?? '',
  })
  const { wallet } = answer
  if (wallet === undefined || !isOfKey(wallet, opening.publicKey)) throw new ImportMismatch('the wallet is of another key')
  if (walletSecret !== undefined) verifyWalletOwner(answer, options, options.ownerSecrets ?? [walletSecret.publicKey])
  return wallet
}

const readKey = (key: WireImportKey | undefined): ImportKey => {
  if (key?.expireTime === undefined) throw new ImportRefused('no import key in the answer')
  return {
    partyId: plainBytes(key.partyId),
    identityKey: plainBytes(key.identityKey),
    key: plainBytes(key.key),
    expireMs: timestampMs(key.expireTime),
    signature: plainBytes(key.signature),
  }
}

/** 32 bytes little-endian, which the caller wipes. */
const scalarOf = (privateKey: PrivateKey): Uint8Array => {
  if ('secp256k1' in privateKey) return reversed(privateKey.secp256k1)
  return 'ed25519Scalar' in privateKey ? copied(privateKey.ed25519Scalar) : scalarOfSeed(privateKey.ed25519Seed)
}

const copied = (bytes: Uint8Array): Uint8Array => {
  const out = secretBytes(bytes.length)
  out.set(bytes)
  return out
}

const reversed = (bytes: Uint8Array): Uint8Array => {
  const out = secretBytes(bytes.length)
  for (const [at, byte] of bytes.entries()) out[bytes.length - 1 - at] = byte
  return out
}

/** RFC 8032 §5.1.5: the scalar of a seed, modulo the order of the group. */
const scalarOfSeed = (seed: Uint8Array): Uint8Array => {
  if (seed.length !== 32) throw new ImportRefused('a seed has 32 bytes')
  const digest = hash('sha512', seed, 'buffer')
  const wide = secretBytes(64)
  try {
    wide.set(digest.subarray(0, 32))
    wide[0] = (wide[0] ?? 0) & 0xf8
    wide[31] = ((wide[31] ?? 0) & 0x7f) | 0x40
    return groupOf(ALG_ED25519).scalarReduceWide(wide)
  } finally {
    digest.fill(0)
    wide.fill(0)
  }
}
