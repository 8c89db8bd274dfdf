import { describe, expect, it } from 'vitest'
import { decodeBase58 } from '../../src/domain/base58.ts'
import { isReservedUserId, isSolanaAddress, parseUserId } from '../../src/domain/ids.ts'

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex')

describe('base58', () => {
  it.each([
    ['', ''],
    ['1', '00'],
    ['111', '000000'],
    ['2g', '61'],
    ['a3gV', '626262'],
    ['StV1DL6CwTryKyV', '68656c6c6f20776f726c64'],
    ['1NS17iag9jJgTHD1VXjvLCEnZuQ3rJDE9L', '00eb15231dfceb60925886b67d065299925915aeb172c06647'],
    ['11111111111111111111111111111111', '00'.repeat(32)],
  ])('decodes %j', (text, expected) => {
    expect(hex(decodeBase58(text))).toBe(expected)
  })

  it.each(['0', 'O', 'I', 'l', 'a b', 'é', '+', 'a'.repeat(129)])('refuses %j', (text) => {
    expect(decodeBase58(text)).toBeUndefined()
  })
})

const SOLANA = '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d'

describe('reserved user ids', () => {
  it.each([
    `0x${'a'.repeat(40)}`,
    `0x${'A'.repeat(40)}`,
    `0X${'a'.repeat(40)}`,
    `wal_${'0'.repeat(32)}`,
    `WAL_${'A'.repeat(32)}`,
    SOLANA,
    '11111111111111111111111111111111',
  ])('%s', (text) => {
    expect(isReservedUserId(text)).toBe(true)
  })

  it.each([
    'alice',
    'alice@example.com',
    `0x${'a'.repeat(39)}`,
    'a'.repeat(32),
    'z'.repeat(44),
    `${SOLANA}1`,
    SOLANA.slice(0, 40),
    '550e8400-e29b-41d4-a716-446655440000',
    `wal_${'g'.repeat(32)}`,
  ])('not %s', (text) => {
    expect(parseUserId(text)).toBe(text)
    expect(isReservedUserId(text)).toBe(false)
  })

  it('a Solana address is base58 of 32 bytes', () => {
    expect(isSolanaAddress(SOLANA)).toBe(true)
    expect(isSolanaAddress('1'.repeat(33))).toBe(false)
    expect(isSolanaAddress('z'.repeat(44))).toBe(false)
  })
})
