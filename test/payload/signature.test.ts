import { privateKeyToAccount, sign } from 'viem/accounts'
import { getAddress, hashMessage, parseSignature as viemParse } from 'viem'
import { describe, expect, it } from 'vitest'
import { evmAddressOfPublicKey, formatEvmAddress, parseEvmAddress } from '../../src/payload/address.ts'
import { bytesToBigint, concatBytes, fromHex, toHex } from '../../src/payload/bytes.ts'
import { SECP256K1_ORDER } from '../../src/payload/digest.ts'
import { keccak256 } from '../../src/payload/keccak.ts'
import { recoverSigner, verifySigner } from '../../src/payload/recover.ts'
import { formatSignature, parseSignature } from '../../src/payload/signature.ts'
import { refusalOf } from './refusal.ts'

const bytes = (hex: string) => fromHex(hex) as Uint8Array
const word = (scalar: bigint) => bytes(`0x${scalar.toString(16).padStart(64, '0')}`)

const privateKey = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'
const account = privateKeyToAccount(privateKey)
const address = bytes(account.address)
const digest = bytes(hashMessage('hello'))
const hex = await sign({ hash: toHex(digest), privateKey, to: 'hex' })
const raw = bytes(hex)

describe('keccak256', () => {
  it.each([
    ['', '0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470'],
    ['abc', '0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45'],
  ])('of %j', (text, hash) => {
    expect(toHex(keccak256(Buffer.from(text)))).toBe(hash)
  })
})

describe('signatures', () => {
  it('are formatted in every form', () => {
    const formatted = formatSignature(parseSignature(raw))
    const { r, s, yParity, v } = viemParse(hex)
    expect(formatted.hex).toBe(hex)
    expect(formatted.hex.length).toBe(132)
    expect(formatted.raw).toEqual(raw)
    expect([toHex(formatted.r), toHex(formatted.s), formatted.yParity, BigInt(formatted.v)]).toEqual([
      r,
      s,
      yParity,
      v,
    ])
  })

  it('are verified by recovering the address', async () => {
    const signature = parseSignature(raw)
    expect(toHex((await recoverSigner(digest, signature)) ?? new Uint8Array())).toBe(account.address.toLowerCase())
    expect(await verifySigner(digest, signature, address)).toBe(true)
    expect(await verifySigner(keccak256(digest), signature, address)).toBe(false)
    expect(await verifySigner(digest, { ...signature, yParity: signature.yParity === 0 ? 1 : 0 }, address)).toBe(
      false,
    )
    expect(await verifySigner(digest, signature, new Uint8Array(20))).toBe(false)
  })

  it('recover to nobody when r is no x coordinate', async () => {
    expect(await recoverSigner(digest, { r: word(5n), s: word(1n), yParity: 0 })).toBeUndefined()
    expect(await verifySigner(digest, { r: word(5n), s: word(1n), yParity: 0 }, address)).toBe(false)
  })

  it('are not verified over a digest that is never signed', async () => {
    await expect(recoverSigner(new Uint8Array(32), parseSignature(raw))).rejects.toMatchObject({
      reason: 'DIGEST_REFUSED',
    })
  })

  const change = (at: number, part: Uint8Array) => {
    const changed = new Uint8Array(raw)
    changed.set(part, at)
    return changed
  }
  const highS = concatBytes(
    raw.subarray(0, 32),
    word(SECP256K1_ORDER - bytesToBigint(raw.subarray(32, 64))),
    raw.subarray(64),
  )

  it.each<[string, Uint8Array]>([
    ['no bytes', new Uint8Array()],
    ['64 bytes (EIP-2098)', raw.subarray(0, 64)],
    ['66 bytes', concatBytes(raw, Uint8Array.of(0))],
    ['v = 0', change(64, Uint8Array.of(0))],
    ['v = 1', change(64, Uint8Array.of(1))],
    ['v = 26', change(64, Uint8Array.of(26))],
    ['v = 29', change(64, Uint8Array.of(29))],
    ['v = 37 (EIP-155)', change(64, Uint8Array.of(37))],
    ['r = 0', change(0, new Uint8Array(32))],
    ['r = q', change(0, word(SECP256K1_ORDER))],
    ['r over q', change(0, new Uint8Array(32).fill(0xff))],
    ['s = 0', change(32, new Uint8Array(32))],
    ['s = q', change(32, word(SECP256K1_ORDER))],
    ['s one over the half', change(32, word(SECP256K1_ORDER / 2n + 1n))],
    ['high s', highS],
  ])('with %s are malformed', (_what, signature) => {
    expect(refusalOf(() => parseSignature(signature))?.reason).toBe('SIGNATURE_MALFORMED')
  })

  it('take the largest low s, and v = 0 or 1 when asked', () => {
    expect(refusalOf(() => parseSignature(change(32, word(SECP256K1_ORDER / 2n))))).toBeUndefined()
    expect(parseSignature(change(64, Uint8Array.of(1)), { bareParity: true }).yParity).toBe(1)
    expect(refusalOf(() => parseSignature(change(64, Uint8Array.of(2)), { bareParity: true }))?.reason).toBe(
      'SIGNATURE_MALFORMED',
    )
  })
})

describe('addresses', () => {
  it.each([
    '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
    '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
    '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
    '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
    '0x52908400098527886E0F7030069857D2E4169EE7',
    '0xde709f2102306220921060314715629080e2fb77',
  ])("%s has EIP-55's checksum", (text) => {
    expect(formatEvmAddress(bytes(text))).toBe(text)
    expect(parseEvmAddress(text)).toEqual(bytes(text))
    expect(getAddress(text)).toBe(text)
  })

  it('are read in one letter case, and in mixed case only with their checksum', () => {
    const text = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'
    expect(parseEvmAddress(text.toLowerCase())).toEqual(bytes(text))
    expect(parseEvmAddress(`0x${text.slice(2).toUpperCase()}`)).toEqual(bytes(text))
    for (const wrong of [
      text.replace('aA', 'AA'),
      `0X${text.slice(2)}`,
      text.slice(2),
      `${text}0`,
      text.slice(0, 41),
      '',
    ])
      expect(parseEvmAddress(wrong)).toBeUndefined()
  })

  it('come from uncompressed public keys only', () => {
    expect(evmAddressOfPublicKey(bytes(account.publicKey))).toEqual(address)
    expect(() => evmAddressOfPublicKey(new Uint8Array(33))).toThrow('uncompressed')
  })
})
