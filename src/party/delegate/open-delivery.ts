/**
 * Opens what was delivered to a delegate, in the thread where shares are in clear: the envelopes with the RSA key, the
 * share with what it says of itself. What leaves is sealed for the vault.
 */
import type { SealedEnvelope } from '../../domain/sealed-envelope.ts'
import { decompress } from '../../engine/curve/secp256k1.ts'
import { makeLinkParties } from '../../engine/dkls23/contexts.ts'
import { ALG_ED25519, ROLE_C } from '../../engine/dkls23/suite.ts'
import type { WalletRecord } from '../../engine/dkls23/records.ts'
import { decodeDelegatedShare, type DelegatedShare } from '../../engine/sealing/delegated-share.ts'
import { openDynamicEnvelope } from '../../engine/sealing/dynamic-envelope.ts'
import { type SealedImportedSecret, sealImportedSecret } from '../../vault/imported-secrets.ts'
import { readRsaKey } from '../../vault/own-delegate-keys.ts'
import type { SealedShare } from '../../vault/sealed-record.ts'
import type { KeyType } from '../../vault/wallets.ts'
import { hexOf } from '../presignature-map.ts'
import { sealRecord, type ShareSeal } from '../share-sealing.ts'
import { MAX_SHARDS } from '../shards.ts'

export type Delivery = {
  readonly encryptedDelegatedShare: SealedEnvelope
  readonly encryptedWalletApiKey: SealedEnvelope
}

export type DeliveryOrder = {
  readonly delivery: Delivery
  /** PKCS #8 of the keys that it may be sealed to, which are overwritten. */
  readonly keys: readonly Uint8Array[]
  /** Party id of this delegate. */
  readonly idG: Uint8Array
  /** Under which what another system delegated is kept. */
  readonly foreignId: Uint8Array | undefined
  readonly nowMs: number
}

export type OpenedDelivery =
  | {
      readonly kind: 'own'
      /** 16 bytes: the wallet id of the pair of shares. */
      readonly accessId: Uint8Array
      readonly grantingId: Uint8Array
      readonly linkId: Uint8Array
      readonly keyType: KeyType
      readonly publicKey: Uint8Array
      /** secp256k1 65 bytes beginning 04, Ed25519 32. */
      readonly shownPublicKey: Uint8Array
      readonly share: SealedShare
      readonly apiKey: SealedImportedSecret
    }
  | { readonly kind: 'foreign'; readonly share: SealedImportedSecret; readonly apiKey: SealedImportedSecret }
  | { readonly kind: 'invalid'; readonly why: string }

const API_KEY = /^cdk_[A-Za-z0-9_-]{43}$/
const FIRST_VERSION = 1n

const invalid = (why: string): OpenedDelivery => ({ kind: 'invalid', why })

/** For Ed25519 after `openEngine`. Everything in clear is overwritten when this returns. */
export const openDelivery = (seal: ShareSeal, order: DeliveryOrder): OpenedDelivery => {
  const opened = openEnvelopes(order)
  if (opened === undefined) return invalid('no key of this daemon opens it')
  try {
    return judge(seal, order, opened)
  } finally {
    opened.share.fill(0)
    opened.apiKey.fill(0)
  }
}

type Opened = { readonly share: Uint8Array; readonly apiKey: Uint8Array }

const openEnvelopes = ({ delivery, keys }: DeliveryOrder): Opened | undefined => {
  try {
    for (const pkcs8 of keys) {
      const key = readRsaKey(pkcs8)
      const apiKey = openDynamicEnvelope(key, delivery.encryptedWalletApiKey)
      const share = openDynamicEnvelope(key, delivery.encryptedDelegatedShare)
      if (share !== undefined && apiKey !== undefined) return { share, apiKey }
      share?.fill(0)
      apiKey?.fill(0)
    }
    return undefined
  } finally {
    for (const pkcs8 of keys) pkcs8.fill(0)
  }
}

const judge = (seal: ShareSeal, order: DeliveryOrder, { share: text, apiKey }: Opened): OpenedDelivery => {
  const read = decodeDelegatedShare(text)
  if (read.kind === 'malformed') return invalid('it holds no share that is what it says')
  if (read.kind === 'foreign') {
    const { foreignId: accessId } = order
    if (accessId === undefined) return invalid('a share of another system names no wallet')
    return {
      kind: 'foreign',
      share: sealSecret(seal, { accessId, name: 'foreign-share', recordVersion: FIRST_VERSION }, text),
      apiKey: sealSecret(seal, { accessId, name: 'api-key', recordVersion: FIRST_VERSION }, apiKey),
    }
  }
  try {
    return judgeOwn(seal, order, read.share, apiKey)
  } finally {
    read.share.share.fill(0)
  }
}

const sealSecret = (seal: ShareSeal, place: Parameters<typeof sealImportedSecret>[2], secret: Uint8Array): SealedImportedSecret =>
  sealImportedSecret(seal.shareKey, seal.vaultId, place, secret)

const judgeOwn = (seal: ShareSeal, order: DeliveryOrder, own: DelegatedShare, apiKey: Uint8Array): OpenedDelivery => {
  const { alg, walletId, idG, idD, linkId, publicKey } = own
  if (hexOf(idG) !== hexOf(order.idG)) return invalid('it is for another delegate')
  if (hexOf(idD) === hexOf(idG)) return invalid('nobody delegates to themselves')
  if (hexOf(makeLinkParties(idG, idD, 0, MAX_SHARDS).linkId) !== hexOf(linkId)) return invalid('it is for another link')
  if (!API_KEY.test(Buffer.from(apiKey).toString('latin1'))) return invalid('it holds no wallet API key')
  return {
    kind: 'own',
    accessId: walletId,
    grantingId: idD,
    linkId,
    keyType: alg === ALG_ED25519 ? 'ed25519' : 'secp256k1',
    publicKey,
    shownPublicKey: alg === ALG_ED25519 ? publicKey : decompress(publicKey),
    share: sealRecord(seal, recordOf(own, order.nowMs), FIRST_VERSION),
    apiKey: sealSecret(seal, { accessId: walletId, name: 'api-key', recordVersion: FIRST_VERSION }, apiKey),
  }
}

/** The first record of party C on the link to who delegated: it signs nothing before it is refreshed. */
export const recordOf = (own: DelegatedShare, nowMs: number): WalletRecord => ({
  alg: own.alg,
  role: ROLE_C,
  state: 'FORKED',
  walletId: own.walletId,
  linkId: own.linkId,
  wEpoch: 0,
  minLinkEpoch: 0,
  share: own.share,
  pointC: own.pointG,
  pointS: own.pointD,
  publicKey: own.publicKey,
  chainCode: own.chainCode,
  origin: 'fork',
  createdAtMs: BigInt(nowMs),
  refreshCount: 0,
})
