import { createHmac, createPublicKey, randomBytes, verify } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { afterAll, describe, expect, it } from 'vitest'
import type { SessionKeyId } from '../../src/domain/ids.ts'
import { isSecretKey, publicKeyOf, signRecoverable, uncompressedKey } from '../../src/engine/curve/ecdsa.ts'
import { decodeBase64, decodeHex } from '../../src/party/secret-text.ts'
import { SessionSigner } from '../../src/party/session-signer.ts'
import { sealSessionSecret } from '../../src/vault/session-secrets.ts'
import { reasonOf } from '../vault/fixture.ts'

const id = (fill: string) => `ses_${fill.repeat(16)}` as SessionKeyId

describe('ECDSA with a whole key', () => {
  it('makes the signatures of RFC 6979, low and recoverable', () => {
    for (let i = 0; i < 20; i++) {
      const secret = randomBytes(32)
      if (!isSecretKey(secret)) continue
      const digest = randomBytes(32)
      const publicKey = publicKeyOf(secret)
      const signature = signRecoverable(digest, secret, i % 2 === 0 ? publicKey : uncompressedKey(publicKey))
      const expected = secp256k1.sign(digest, secret, { prehash: false, format: 'recovered' })
      expect(Buffer.from(signature.subarray(0, 64)).toString('hex')).toBe(Buffer.from(expected.subarray(1)).toString('hex'))
      expect(signature[64]).toBe(27 + (expected[0] ?? 9))
    }
  })

  it('lets nothing out that does not verify, and takes no digest of another length', () => {
    const secret = Uint8Array.from({ length: 32 }, () => 7)
    const other = publicKeyOf(Uint8Array.from({ length: 32 }, () => 8))
    expect(() => signRecoverable(randomBytes(32), secret, other)).toThrow(/does not verify/)
    expect(() => signRecoverable(randomBytes(31), secret, publicKeyOf(secret))).toThrow(/32 bytes/)
    expect(isSecretKey(new Uint8Array(32))).toBe(false)
    expect(isSecretKey(new Uint8Array(32).fill(255))).toBe(false)
  })
})

describe('secrets as text', () => {
  it('decode as Buffer does, and nothing else decodes', () => {
    for (let length = 1; length < 40; length++) {
      const bytes = randomBytes(length)
      const [plain, url, hexText] = (['base64', 'base64url', 'hex'] as const).map((form) => Buffer.from(bytes.toString(form)))
      expect(decodeBase64(plain ?? bytes)).toEqual(new Uint8Array(bytes))
      expect(decodeBase64(url ?? bytes)).toEqual(new Uint8Array(bytes))
      expect(decodeHex(hexText ?? bytes)).toEqual(new Uint8Array(bytes))
      expect(decodeHex(Buffer.from(`0x${bytes.toString('hex').toUpperCase()}`))).toEqual(new Uint8Array(bytes))
    }
    for (const text of ['a', 'a===', 'ab!d', 'ab d', 'ab\n']) expect(decodeBase64(Buffer.from(text))).toBeUndefined()
    for (const text of ['0', 'zz', '0x0']) expect(decodeHex(Buffer.from(text))).toBeUndefined()
  })
})

describe('the thread of session keys', () => {
  const vaultId = new Uint8Array(16).fill(3)
  let ring = new Uint8Array(32).fill(5)
  const alerts: string[] = []
  const signer = new SessionSigner({ vaultId, shareKey: () => Uint8Array.from(ring) }, (what) => void alerts.push(what))
  afterAll(() => signer.close())

  it('makes keys that sign, each with its own, many at once and in order', async () => {
    const made = await signer.make(id('aa'), 'secp256k1')
    const ed = await signer.make(id('bb'), 'ed25519')
    const inputs = Array.from({ length: 40 }, () => new Uint8Array(randomBytes(32)))
    const signatures = await Promise.all(
      inputs.map((input, at) => signer.sign(at % 2 === 0 ? made : ed, input)),
    )
    const edKey = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(ed.publicKey).toString('base64url') },
      format: 'jwk',
    })
    for (const [at, signature] of signatures.entries()) {
      const input = inputs[at] ?? new Uint8Array()
      if (at % 2 === 1) expect(verify(null, input, edKey, signature)).toBe(true)
      else expect(secp256k1.verify(signature.subarray(0, 64), input, made.publicKey, { prehash: false })).toBe(true)
    }
  })

  it('makes MACs with what the venue handed out, and shows only what is no key', async () => {
    const secret = randomBytes(32)
    const place = { sessionKeyId: id('cc'), name: 'secret', kind: 'hmac', recordVersion: 1n } as const
    const text = new Uint8Array(Buffer.from(secret.toString('base64')))
    const sealed = await signer.seal(place, text, 'base64')
    if (sealed === undefined) throw new Error('not sealed')
    expect(text.every((byte) => byte === 0)).toBe(true)
    const mac = await signer.sign({ sealed, publicKey: new Uint8Array() }, Buffer.from('message'))
    expect(Buffer.from(mac)).toEqual(createHmac('sha256', secret).update('message').digest())
    expect(await signer.reveal(sealed)).toBeUndefined()
    const word = { ...place, name: 'passphrase', kind: 'text' } as const
    const sealedWord = await signer.seal(word, new Uint8Array(Buffer.from('open sesame')), 'utf8')
    expect(sealedWord && (await signer.reveal(sealedWord))).toBe('open sesame')
    expect(await signer.seal(place, new Uint8Array(Buffer.from('not base64!')), 'base64')).toBeUndefined()
  })

  it('signs nothing with a secret that was moved, altered or sealed elsewhere, and goes on with the others', async () => {
    const good = await signer.make(id('dd'), 'secp256k1')
    const moved = { ...good, sealed: { ...good.sealed, sessionKeyId: id('ee') } }
    const foreign = sealSessionSecret(new Uint8Array(32).fill(9), vaultId, { ...good.sealed, name: 'key2' }, randomBytes(32))
    const attempts = [signer.sign(moved, randomBytes(32)), signer.sign({ ...good, sealed: foreign }, randomBytes(32))]
    const signed = await signer.sign(good, randomBytes(32))
    expect(signed).toHaveLength(65)
    for (const attempt of attempts) expect(await reasonOf(() => attempt)).toBe('SESSION_SIGNER_UNAVAILABLE')
    expect(alerts).toContain('session_key')
  })

  it('signs on with an older key of the ring after a rotation, and seals under the new one', async () => {
    const before = await signer.make(id('ab'), 'secp256k1')
    ring = Uint8Array.from([...new Uint8Array(32).fill(6), ...ring])
    signer.renewShareKey()
    expect(await signer.sign(before, randomBytes(32))).toHaveLength(65)
    const after = await signer.make(id('ac'), 'secp256k1')
    ring = ring.subarray(0, 32)
    signer.renewShareKey()
    expect(await signer.sign(after, randomBytes(32))).toHaveLength(65)
    expect(await reasonOf(() => signer.sign(before, randomBytes(32)))).toBe('SESSION_SIGNER_UNAVAILABLE')
  })
})
