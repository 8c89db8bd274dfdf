/** Deliveries as others make them: WebCrypto and nothing of ours seals, and shares of a key that is split here. */
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, randomUUID, webcrypto } from 'node:crypto'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { ALG_SECP256K1, type Alg } from '../../src/engine/dkls23/suite.ts'
import { type DelegatedShare, encodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { walletsOf } from '../engine/refresh-fixtures.ts'

const { subtle } = webcrypto
const text = (value: ArrayBuffer | Uint8Array): string => Buffer.from(value as Uint8Array).toString('base64url')

/** One for all: making one takes long. */
export const receiver = generateKeyPairSync('rsa', { modulusLength: 3072 })

export type SealedText = {
  readonly alg: string
  readonly iv: string
  readonly ct: string
  readonly tag: string
  readonly ek: string
  readonly kid?: string
}

export const sealForeign = async (publicKey: KeyObject, plaintext: Uint8Array, kid?: string): Promise<SealedText> => {
  const spki = Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' }))
  const key = await subtle.importKey('spki', spki, { name: 'RSA-OAEP', hash: 'SHA-256' }, false, ['encrypt'])
  const raw = webcrypto.getRandomValues(new Uint8Array(32))
  const iv = webcrypto.getRandomValues(new Uint8Array(16))
  const aes = await subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt'])
  const sealed = new Uint8Array(await subtle.encrypt({ name: 'AES-GCM', iv, tagLength: 128 }, aes, Uint8Array.from(plaintext)))
  const ek = await subtle.encrypt({ name: 'RSA-OAEP' }, key, raw)
  const parts = { iv: text(iv), ct: text(sealed.subarray(0, -16)), tag: text(sealed.subarray(-16)), ek: text(ek) }
  return { alg: 'HYBRID-RSA-AES-256', ...parts, ...(kid === undefined ? {} : { kid }) }
}

/** A share for `idG`, by `idD`, of a key that nobody else has. */
export const delegatedShare = (idG: Uint8Array, idD: Uint8Array, alg: Alg = ALG_SECP256K1): DelegatedShare => {
  const [wallet] = walletsOf(alg, 1, randomUUID()).c
  if (wallet === undefined) throw new Error('a wallet')
  const { publicKey, pointC, pointS, chainCode, share } = wallet
  const walletId = new Uint8Array(randomBytes(16))
  const { linkId } = makeLinkParties(idG, idD, 0, 16)
  return { alg, walletId, linkId, idG, idD, publicKey, pointG: pointC, pointD: pointS, chainCode, share }
}

export const API_KEY = `cdk_${'A'.repeat(43)}`
export const FOREIGN_SHARE = Buffer.from(JSON.stringify({ pubkey: {}, secretShare: 'ab'.repeat(400) }))

export const deliveryOf = async (share: DelegatedShare | Uint8Array, kid?: string) => ({
  encryptedDelegatedShare: await sealForeign(receiver.publicKey, share instanceof Uint8Array ? share : encodeDelegatedShare(share)),
  encryptedWalletApiKey: await sealForeign(receiver.publicKey, Buffer.from(API_KEY), kid),
})

export const uuidOf = (id: Uint8Array): string =>
  Buffer.from(id).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

export type Told = { readonly eventId?: string; readonly timeMs?: number }

/** As Dynamic sends them: compact JSON. */
export const webhookBody = (eventName: string, data: object, { eventId = randomUUID(), timeMs = Date.now() }: Told = {}): Buffer =>
  Buffer.from(
    JSON.stringify({
      messageId: randomUUID(),
      eventId,
      eventName,
      timestamp: new Date(timeMs).toISOString(),
      webhookId: randomUUID(),
      userId: null,
      environmentId: randomUUID(),
      data,
    }),
  )

export const signatureOf = (secret: string, body: Uint8Array): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
