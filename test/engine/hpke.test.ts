import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { hpkeOpen, hpkeSeal, isX25519Key, x25519PublicKey } from '../../src/engine/sealing/hpke.ts'
import { isRecipient, KIND_RSA, KIND_X25519, openShareOf, sealShareTo } from '../../src/engine/sealing/share-envelope.ts'

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))

/** RFC 9180, appendix A.2.1, sequence number 0. */
const VECTOR = {
  info: hex('4f6465206f6e2061204772656369616e2055726e'),
  ephemeral: hex('f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600'),
  enc: hex('1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a'),
  secret: hex('8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb'),
  recipient: hex('4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a'),
  plaintext: hex('4265617574792069732074727574682c20747275746820626561757479'),
  aad: hex('436f756e742d30'),
  ciphertext: hex('1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28'),
}

/** Every point of order 1, 2, 4 and 8 on the curve and its twist, in the encodings that implementations accept. */
const LOW_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map(hex)

describe('RFC 9180 base mode', () => {
  const { info, aad, recipient, ephemeral, plaintext, secret } = VECTOR

  test('appendix A.2.1', () => {
    expect(x25519PublicKey(secret)).toEqual(recipient)
    const sealed = hpkeSeal(recipient, ephemeral, { info, aad }, plaintext)
    expect(sealed).toEqual(Uint8Array.from([...VECTOR.enc, ...VECTOR.ciphertext]))
    expect(hpkeOpen(secret, { info, aad }, sealed)).toEqual(plaintext)
  })

  test('nothing else opens: another key, info, additional data, or any byte changed', () => {
    const sealed = hpkeSeal(recipient, ephemeral, { info, aad }, plaintext)
    expect(hpkeOpen(hex('01'.repeat(32)), { info, aad }, sealed)).toBeUndefined()
    expect(hpkeOpen(secret, { info: aad, aad }, sealed)).toBeUndefined()
    expect(hpkeOpen(secret, { info, aad: info }, sealed)).toBeUndefined()
    expect(hpkeOpen(secret, { info, aad }, sealed.subarray(0, 40))).toBeUndefined()
    for (let at = 0; at < sealed.length; at++) {
      const bent = sealed.slice()
      bent[at]! ^= 1
      expect(hpkeOpen(secret, { info, aad }, bent), `byte ${at}`).toBeUndefined()
    }
  })

  test('keys of low order are not sealed to, and not opened from', () => {
    for (const point of LOW_ORDER) {
      expect(isX25519Key(point)).toBe(false)
      expect(() => hpkeSeal(point, ephemeral, { info, aad }, plaintext)).toThrow()
      const sealed = hpkeSeal(recipient, ephemeral, { info, aad }, plaintext)
      sealed.set(point)
      expect(hpkeOpen(secret, { info, aad }, sealed)).toBeUndefined()
    }
    expect(isX25519Key(recipient)).toBe(true)
    expect(isX25519Key(recipient.subarray(1))).toBe(false)
  })
})

const rsa = (modulusLength: number, publicExponent = 65_537) => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent })
  return { der: Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' })), privateKey }
}

describe('share envelopes', () => {
  const share = new Uint8Array(32).fill(7)
  const aad = new Uint8Array(20).fill(9)
  const ephemeral = new Uint8Array(randomBytes(32))

  test('RSA-OAEP-SHA256 binds the additional data as its label', () => {
    const { der, privateKey } = rsa(3_072)
    const recipient = { kind: KIND_RSA, key: der } as const
    expect(isRecipient(recipient)).toBe(true)
    const envelope = sealShareTo(recipient, { purpose: 'export', aad, ephemeral }, share)
    const opener = { kind: KIND_RSA, key: privateKey } as const
    expect(openShareOf(opener, { purpose: 'export', aad }, envelope)).toEqual(share)
    expect(openShareOf(opener, { purpose: 'export', aad: share }, envelope)).toBeUndefined()
  })

  test('keys that are too small, too large, of another exponent, of another kind or encoded twice are refused', () => {
    const { der } = rsa(3_072)
    const ec = createPublicKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
    const refused = [
      rsa(2_048).der,
      rsa(3_064).der,
      rsa(3_072, 3).der,
      Uint8Array.from(ec.export({ format: 'der', type: 'spki' })),
      Uint8Array.from([...der, 0]),
      der.subarray(1),
      new Uint8Array(0),
      new Uint8Array(700),
    ]
    for (const key of refused) expect(isRecipient({ kind: KIND_RSA, key })).toBe(false)
    expect(() => sealShareTo({ kind: KIND_RSA, key: refused[0]! }, { purpose: 'export', aad, ephemeral }, share)).toThrow()
  })

  test('an envelope is for one purpose', () => {
    const secret = new Uint8Array(randomBytes(32))
    const recipient = { kind: KIND_X25519, key: x25519PublicKey(secret) } as const
    const envelope = sealShareTo(recipient, { purpose: 'export', aad, ephemeral }, share)
    expect(envelope.length).toBe(80)
    const opener = { kind: KIND_X25519, secret } as const
    expect(openShareOf(opener, { purpose: 'export', aad }, envelope)).toEqual(share)
    expect(openShareOf(opener, { purpose: 'import', aad }, envelope)).toBeUndefined()
  })
})
