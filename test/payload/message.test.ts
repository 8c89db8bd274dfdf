import { hashMessage as ethersHashMessage } from 'ethers'
import * as fc from 'fast-check'
import { hashMessage as viemHashMessage } from 'viem'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../src/payload/bytes.ts'
import { checkDigest, SECP256K1_ORDER } from '../../src/payload/digest.ts'
import { hashMessage, parseFormattedDigest, parseMessage } from '../../src/payload/message.ts'
import { refusalOf } from './refusal.ts'

const DIGEST = new Uint8Array(32).fill(0xab)
const DIGITS = 'ab'.repeat(32)
const ORDER_HEX = SECP256K1_ORDER.toString(16)

const messageBytes = (input: Parameters<typeof parseMessage>[0]) => {
  const content = parseMessage(input)
  if (content.kind !== 'message') throw new Error('not a message')
  return content.message
}

describe('EIP-191', () => {
  it.each([
    ['Hello World', '0xa1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2'],
    ['', '0x5f35dce98ba4fba25530a026ed80b2cecdaa31091ba4958b99b52ea1d068adad'],
  ])('hashes %j as published', (text, digest) => {
    expect(toHex(hashMessage(messageBytes({ text })))).toBe(digest)
  })

  it('hashes the text of an exchange registration', () => {
    const text = [
      'Register Lighter Account\n',
      `pubkey: 0x${'ab'.repeat(40)}`,
      'nonce: 0x0000000000000000',
      'account index: 0x00000000000004d2',
      'api key index: 0x0000000000000002',
      'Only sign this message for a trusted client!',
    ].join('\n')
    const digest = '0x3c9f3a8dd94eb0854fe9e1b2c9449cce790051fb776b3ad85e6506404fdea680'
    expect(toHex(hashMessage(messageBytes({ text })))).toBe(digest)
  })

  it('hashes as viem and ethers do', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.uint8Array({ maxLength: 1200 }),
        (text, data) => {
          expect(toHex(hashMessage(messageBytes({ text })))).toBe(viemHashMessage(text))
          expect(toHex(hashMessage(messageBytes({ text })))).toBe(ethersHashMessage(text))
          expect(toHex(hashMessage(messageBytes({ data })))).toBe(viemHashMessage({ raw: data }))
          expect(toHex(hashMessage(messageBytes({ data })))).toBe(ethersHashMessage(data))
        },
      ),
      { numRuns: 200, seed: 3 },
    )
  })

  it('signs hex text as text', () => {
    expect(toHex(messageBytes({ text: '0x1234' }))).toBe('0x307831323334')
  })

  it('refuses text that is not well-formed Unicode', () => {
    expect(refusalOf(() => parseMessage({ text: 'a\ud800' }))?.reason).toBe('INVALID_REQUEST')
  })
})

describe('is_formatted', () => {
  it.each([
    ['32 bytes', { data: DIGEST }],
    ['64 digits', { text: DIGITS }],
    ['64 digits behind 0x', { text: `0x${DIGITS}` }],
    ['capitals', { text: DIGITS.toUpperCase() }],
  ])('takes %s as the digest itself', (_what, input) => {
    expect(parseFormattedDigest(input)).toEqual({ kind: 'digest', digest: DIGEST })
  })

  it.each([
    ['no bytes', { data: new Uint8Array() }],
    ['31 bytes', { data: DIGEST.subarray(1) }],
    ['33 bytes', { data: new Uint8Array(33) }],
    ['64 ASCII bytes of digits', { data: Buffer.from(DIGITS) }],
    ['no text', { text: '' }],
    ['0x alone', { text: '0x' }],
    ['63 digits', { text: DIGITS.slice(1) }],
    ['65 digits', { text: `${DIGITS}a` }],
    ['66 digits', { text: `${DIGITS}ab` }],
    ['0X', { text: `0X${DIGITS}` }],
    ['a letter that is no digit', { text: `${DIGITS.slice(1)}g` }],
    ['a line feed after it', { text: `${DIGITS}\n` }],
    ['a space before it', { text: ` ${DIGITS}` }],
    ['32 characters of text', { text: 'a'.repeat(32) }],
  ])('refuses %s', (_what, input) => {
    expect(refusalOf(() => parseFormattedDigest(input))?.reason).toBe('MESSAGE_NOT_DIGEST')
  })

  it.each([
    ['zero', '00'.repeat(32)],
    ['the group order', ORDER_HEX],
  ])('never takes %s', (_what, text) => {
    expect(refusalOf(() => parseFormattedDigest({ text }))?.reason).toBe('DIGEST_REFUSED')
  })
})

describe('checkDigest', () => {
  it('takes digests on either side of the order', () => {
    for (const scalar of [1n, SECP256K1_ORDER - 1n, SECP256K1_ORDER + 1n, (1n << 256n) - 1n]) {
      const digest = fromHex(`0x${scalar.toString(16).padStart(64, '0')}`) as Uint8Array
      expect(checkDigest(digest)).toBe(digest)
    }
  })

  it('takes nothing but 32 bytes in a Uint8Array', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 31 }),
      fc.uint8Array({ minLength: 33, maxLength: 70 }),
      fc.string(),
      fc.constantFrom(DIGITS, `0x${DIGITS}`),
      fc.bigInt(),
      fc.array(fc.nat(255), { minLength: 32, maxLength: 32 }),
      fc.constantFrom(null, undefined, {}, new Uint16Array(32), new ArrayBuffer(32)),
    )
    fc.assert(
      fc.property(anything, (value) => {
        expect(refusalOf(() => checkDigest(value as Uint8Array))?.reason).toBe('DIGEST_REFUSED')
      }),
      { numRuns: 300, seed: 9 },
    )
  })
})
