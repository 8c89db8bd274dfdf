/**
 * Taking a wallet's private key out. Both parties seal their shares to a key that is made here; they are opened and
 * added here and nowhere else. The cosigner is known by its pinned id, never by what the daemon says.
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { type Group, groupOf } from '../engine/curve/group.ts'
import { exportAad } from '../engine/dkls23/export.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S, type Role } from '../engine/dkls23/suite.ts'
import { equalBytes, plainBytes } from '../engine/hash/encoding.ts'
import { x25519PublicKey } from '../engine/sealing/hpke.ts'
import { exportStatement, secretIdOf } from '../engine/sealing/owner-consent.ts'
import { KIND_X25519, openShareOf } from '../engine/sealing/share-envelope.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { ExportPrivateKeyResponse, SealedShare, Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from './countersign-client.ts'
import { isOneKey, publicKeyOf, walletIdOf } from './wallet-key.ts'
import { newConsent, parsePin, type WalletSecret } from './wallet-secret.ts'

/** An X25519 key pair that a private key is sealed to. The secret is the caller's to wipe. */
export type ExportKey = { readonly publicKey: Uint8Array; readonly secret: Uint8Array }

/** To make one beforehand, for the cosigner's operator to approve. */
export const createExportKey = (): ExportKey => {
  const secret = crypto.getRandomValues(new Uint8Array(new ArrayBuffer(32)))
  return { secret, publicKey: x25519PublicKey(secret) }
}

export type ExportOptions = {
  /** A wallet id, an address or a user id. */
  readonly wallet: string
  /** The cosigner's id as its operator gave it, 64 hex digits. */
  readonly cosignerId: string
  /** What the owner knows the wallet by; anything else is not the owner's wallet. */
  readonly address?: string
  readonly consent:
    | { readonly walletSecret: WalletSecret }
    | { readonly approvalId: Uint8Array; readonly exportKey: ExportKey }
  readonly requestId?: string
}

export type ExportedPrivateKey = {
  readonly wallet: Wallet
  /**
   * secp256k1: the key as wallets take it, 32 bytes big-endian. Ed25519: the scalar, 32 bytes little-endian, which is
   * not a seed. The caller wipes it.
   */
  readonly privateKey: Uint8Array
}

/** The daemon, or whoever stands in its place, answered something that is not the wallet's key. */
export class ExportMismatch extends Error {
  override readonly name = 'ExportMismatch'
}

/**
 * Asks both parties for their shares, opens and adds them, and checks the sum against the wallet's public key.
 * @throws CountersignError as ExportPrivateKey is refused; ExportMismatch; TypeError without a pinned cosigner.
 */
export const exportPrivateKey = async (client: CountersignClient, options: ExportOptions): Promise<ExportedPrivateKey> => {
  const partyId = parsePin(options.cosignerId)
  const { wallet } = await client.wallets.getWallet({ wallet: options.wallet })
  if (wallet === undefined) throw new ExportMismatch('no wallet in the answer')
  if (options.address !== undefined && wallet.address !== options.address) throw new ExportMismatch('another address')
  if (!isOneKey(wallet)) throw new ExportMismatch("the address is not the public key's")
  const key = await keyOf(wallet)
  const { consent } = options
  const exportKey = 'exportKey' in consent ? consent.exportKey : createExportKey()
  try {
    const answer = await ask(client, options, { key, partyId, exportKey })
    return { wallet, privateKey: openKey(key, partyId, exportKey, answer) }
  } finally {
    if (!('exportKey' in consent)) exportKey.secret.fill(0)
  }
}

type Asking = { readonly key: WalletKey; readonly partyId: Uint8Array; readonly exportKey: ExportKey }

const ask = async (
  client: CountersignClient,
  { consent, requestId = '' }: ExportOptions,
  { key, partyId, exportKey }: Asking,
): Promise<ExportPrivateKeyResponse> => {
  const once = newConsent()
  const recipient = { kind: KIND_X25519, key: exportKey.publicKey } as const
  return client.wallets.exportPrivateKey({
    wallet: key.walletRef,
    walletEpoch: key.wEpoch,
    exportKey: { case: 'x25519', value: exportKey.publicKey },
    expireTime: { seconds: BigInt(Math.floor(once.expireMs / 1_000)), nanos: (once.expireMs % 1_000) * 1_000_000 },
    nonce: once.nonce,
    consent:
      'approvalId' in consent
        ? { case: 'approvalId', value: consent.approvalId }
        : { case: 'walletSecret', value: await signed(consent.walletSecret, { ...key, ...once, partyId, recipient }) },
    requestId,
  })
}

type WalletKey = {
  readonly alg: Alg
  readonly group: Group
  readonly walletRef: string
  readonly walletId: Uint8Array
  readonly wEpoch: number
  /** As the parties encode it. */
  readonly publicKey: Uint8Array
}

const keyOf = async (wallet: Wallet): Promise<WalletKey> => {
  const alg: Alg = wallet.keyType === KeyType.ED25519 ? ALG_ED25519 : ALG_SECP256K1
  if (alg === ALG_ED25519) await ed25519Ready()
  const point = publicKeyOf(wallet)
  const group = groupOf(alg)
  if (!group.isPoint(point)) throw new ExportMismatch('the public key is no point')
  return { alg, group, walletRef: wallet.walletId, walletId: walletIdOf(wallet), wEpoch: wallet.walletEpoch, publicKey: point }
}

const signed = async ({ publicKey, sign }: WalletSecret, asked: Parameters<typeof exportStatement>[0]) => ({
  secretId: secretIdOf(publicKey),
  signature: await sign(exportStatement(asked)),
})

/** Nothing is the scalar of zero's point, which there is not. */
const isScalarOf = (group: Group, scalar: Uint8Array, point: Uint8Array): boolean => {
  const isScalar = scalar.some((byte) => byte !== 0) && group.isCanonicalScalar(scalar)
  return isScalar && equalBytes(group.mulBase(scalar), point)
}

/** Opens one part: what is inside must be the share of the point beside it. The caller wipes it. */
const openPart = (key: WalletKey, role: Role, exportKey: ExportKey, part: SealedShare | undefined): Uint8Array => {
  const opener = { kind: KIND_X25519, secret: exportKey.secret } as const
  const sealing = { purpose: 'export', aad: exportAad(key, role) } as const
  const share = part && openShareOf(opener, sealing, plainBytes(part.envelope))
  if (share === undefined) throw new ExportMismatch('a share does not open')
  if (isScalarOf(key.group, share, plainBytes(part!.publicShare))) return share
  share.fill(0)
  throw new ExportMismatch('a share is not the one its party says')
}

const openKey = (
  key: WalletKey,
  cosignerId: Uint8Array,
  exportKey: ExportKey,
  { daemonShare, cosignerShare }: ExportPrivateKeyResponse,
): Uint8Array => {
  const { group, alg, publicKey } = key
  if (!equalBytes(plainBytes(cosignerShare?.partyId ?? new Uint8Array(0)), cosignerId)) {
    throw new ExportMismatch('the cosigner is not the one that is pinned')
  }
  const parts: Uint8Array[] = []
  try {
    parts.push(openPart(key, ROLE_C, exportKey, daemonShare), openPart(key, ROLE_S, exportKey, cosignerShare))
    const [first, second] = parts as [Uint8Array, Uint8Array]
    const sum = group.scalarAdd(first, second)
    parts.push(sum)
    if (!isScalarOf(group, sum, publicKey)) throw new ExportMismatch("the shares do not add up to the wallet's key")
    return alg === ALG_ED25519 ? sum.slice() : sum.toReversed()
  } finally {
    for (const part of parts) part.fill(0)
  }
}
