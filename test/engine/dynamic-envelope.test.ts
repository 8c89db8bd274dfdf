import { createPrivateKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { SealedEnvelope } from '../../src/domain/sealed-envelope.ts'
import {
  decodeEnvelopeBytes,
  encodeEnvelopeBytes,
  envelopeText,
  openDynamicEnvelope,
  sealDynamicBytes,
  sealDynamicEnvelope,
} from '../../src/engine/sealing/dynamic-envelope.ts'

const pair = generateKeyPairSync('rsa', { modulusLength: 3072 })
const rsaKey = Uint8Array.from(pair.publicKey.export({ format: 'der', type: 'spki' }))
const { subtle } = webcrypto
const bytes = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(text, 'base64url'))
const text = (value: ArrayBuffer | Uint8Array): string => Buffer.from(value as Uint8Array).toString('base64url')
const utf8 = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value)

/** As Dynamic's browser package seals: WebCrypto and nothing of ours. */
const sealInBrowser = async (plaintext: string): Promise<SealedEnvelope> => {
  const oaep = { name: 'RSA-OAEP', hash: 'SHA-256' }
  const key = await subtle.importKey('spki', Uint8Array.from(rsaKey), oaep, false, ['encrypt'])
  const raw = webcrypto.getRandomValues(new Uint8Array(32))
  const iv = webcrypto.getRandomValues(new Uint8Array(16))
  const aes = await subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt'])
  const sealed = new Uint8Array(await subtle.encrypt({ name: 'AES-GCM', iv, tagLength: 128 }, aes, utf8(plaintext)))
  const ek = await subtle.encrypt({ name: 'RSA-OAEP' }, key, raw)
  return { alg: 'HYBRID-RSA-AES-256', iv: text(iv), ct: text(sealed.subarray(0, -16)), tag: text(sealed.subarray(-16)), ek: text(ek) }
}

/** As a receiver without our code opens. */
const openInBrowser = async ({ iv, ct, tag, ek }: SealedEnvelope): Promise<string> => {
  const der = Uint8Array.from(pair.privateKey.export({ format: 'der', type: 'pkcs8' }))
  const key = await subtle.importKey('pkcs8', der, { name: 'RSA-OAEP', hash: 'SHA-256' }, false, ['decrypt'])
  const raw = await subtle.decrypt({ name: 'RSA-OAEP' }, key, bytes(ek))
  const aes = await subtle.importKey('raw', raw, 'AES-GCM', false, ['decrypt'])
  const sealed = Uint8Array.from([...bytes(ct), ...bytes(tag)])
  return Buffer.from(await subtle.decrypt({ name: 'AES-GCM', iv: bytes(iv), tagLength: 128 }, aes, sealed)).toString('utf8')
}

const PLAINTEXT = '{"pubkey":{},"secretShare":"00"}'

describe('the envelope of delegated access', () => {
  test('the fixed vector of its content cipher', () => {
    const random = Uint8Array.from([...Array<number>(32).fill(0x11), ...Array<number>(16).fill(0x22)])
    const { iv, ct, tag } = sealDynamicEnvelope({ rsaKey }, random, utf8(PLAINTEXT))
    expect({ iv, ct, tag }).toEqual({
      iv: 'IiIiIiIiIiIiIiIiIiIiIg',
      ct: 'Z5FhWvyM-ssRy51K4w5OQWSvCtF-N1Pn3wu0IM6hVWY',
      tag: 'Paj6BQSTlpJWqhfh7BoJtw',
    })
  })

  test('opens with WebCrypto, in the lengths that receivers know', async () => {
    const envelope = sealDynamicEnvelope({ rsaKey, kid: 'key-1' }, randomBytes(48), utf8(PLAINTEXT))
    expect(envelope).toMatchObject({ alg: 'HYBRID-RSA-AES-256', kid: 'key-1' })
    expect([envelope.iv, envelope.tag, envelope.ek].map(({ length }) => length)).toEqual([22, 22, 512])
    await expect(openInBrowser(envelope)).resolves.toBe(PLAINTEXT)
  })

  test('opens what WebCrypto sealed, under either name', async () => {
    const envelope = await sealInBrowser(PLAINTEXT)
    for (const alg of ['HYBRID-RSA-AES-256', 'RSA-OAEP-256']) {
      expect(openDynamicEnvelope(pair.privateKey, { ...envelope, alg })).toEqual(utf8(PLAINTEXT))
    }
  })

  test('nothing else opens', async () => {
    const envelope = await sealInBrowser(PLAINTEXT)
    const open = (change: Partial<SealedEnvelope>) => openDynamicEnvelope(pair.privateKey, { ...envelope, ...change })
    const bent = (value: string): string => {
      const flipped = bytes(value)
      flipped[0]! ^= 1
      return text(flipped)
    }
    for (const part of ['iv', 'ct', 'tag', 'ek'] as const) {
      expect(open({ [part]: bent(envelope[part]) }), `${part} bent`).toBeUndefined()
      expect(open({ [part]: '' }), `${part} empty`).toBeUndefined()
      expect(open({ [part]: `${envelope[part]}=` }), `${part} padded`).toBeUndefined()
      expect(open({ [part]: 'A'.repeat(5_000) }), `${part} long`).toBeUndefined()
      expect(open({ [part]: 7 as unknown as string }), `${part} no text`).toBeUndefined()
    }
    expect(open({ iv: text(bytes(envelope.iv).subarray(0, 12)) })).toBeUndefined()
    expect(open({ alg: 'RSA-OAEP' })).toBeUndefined()
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    expect(openDynamicEnvelope(other, envelope)).toBeUndefined()
    const ec = createPrivateKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }))
    expect(openDynamicEnvelope(ec, envelope)).toBeUndefined()
  })

  test('small and odd RSA keys are not sealed to, and no more than fits', () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'der', type: 'spki' })
    expect(() => sealDynamicBytes(small, randomBytes(48), utf8('x'))).toThrow(RangeError)
    expect(() => sealDynamicBytes(rsaKey, randomBytes(47), utf8('x'))).toThrow(RangeError)
    expect(() => sealDynamicBytes(rsaKey, randomBytes(48), new Uint8Array(3_073))).toThrow(RangeError)
  })

  test('the bytes that parties carry are the same envelope', () => {
    const sealed = sealDynamicBytes(rsaKey, randomBytes(48), utf8(PLAINTEXT))
    const carried = decodeEnvelopeBytes(encodeEnvelopeBytes(sealed))
    expect(carried && envelopeText(carried)).toEqual(envelopeText(sealed))
    const encoded = encodeEnvelopeBytes(sealed)
    for (const length of [0, 33, 34, 200, 34 + 384]) expect(decodeEnvelopeBytes(encoded.subarray(0, length))).toBeUndefined()
  })
})
