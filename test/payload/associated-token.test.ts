import { ed25519 } from '@noble/curves/ed25519.js'
import { type Address, getAddressEncoder } from '@solana/kit'
import { findAssociatedTokenPda } from '@solana-program/token'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBase58, encodeBase58 } from '../../src/domain/base58.ts'
import {
  findAssociatedTokenAccount,
  isAssociatedTokenAccount,
  isOnEdwards25519,
} from '../../src/payload/associated-token.ts'
import { TOKEN_2022_PROGRAM, TOKEN_PROGRAM } from '../../src/payload/solana-programs.ts'
import { addressOf } from './solana-cases.ts'

const bytesOf = (text: string): Uint8Array => decodeBase58(text) ?? new Uint8Array()
const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
const program = fc.constantFrom(TOKEN_PROGRAM, TOKEN_2022_PROGRAM)

describe('the curve check', () => {
  it('decompresses what noble decompresses', () => {
    const onCurve = (bytes: Uint8Array): boolean => {
      try {
        ed25519.Point.fromBytes(bytes, true)
        return true
      } catch {
        return false
      }
    }
    let points = 0
    fc.assert(
      fc.property(key, (bytes) => {
        const expected = onCurve(bytes)
        points += Number(expected)
        expect(isOnEdwards25519(bytes)).toBe(expected)
      }),
      { numRuns: 500 },
    )
    expect(points).toBeGreaterThan(150)
    expect(points).toBeLessThan(350)
  })

  it('takes every public key, the identity and the small-order points', () => {
    for (const secret of [1, 2, 3, 4])
      expect(isOnEdwards25519(ed25519.getPublicKey(new Uint8Array(32).fill(secret)))).toBe(true)
    for (const { toBytes } of [ed25519.Point.BASE, ed25519.Point.ZERO].map((point) => ({
      toBytes: () => point.toBytes(),
    })))
      expect(isOnEdwards25519(toBytes())).toBe(true)
    // y = 0 and y = −1, the points of order 4 and 2.
    expect(isOnEdwards25519(new Uint8Array(32))).toBe(true)
    expect(isOnEdwards25519(Uint8Array.from([0xec, ...new Uint8Array(30).fill(0xff), 0x7f]))).toBe(true)
  })
})

describe('an associated token account', () => {
  it('is derived as the token program of the kit derives it', async () => {
    await fc.assert(
      fc.asyncProperty(key, key, program, async (owner, mint, tokenProgram) => {
        const [expected] = await findAssociatedTokenPda({
          owner: encodeBase58(owner) as Address,
          mint: encodeBase58(mint) as Address,
          tokenProgram: tokenProgram as Address,
        })
        const kind = { mint, tokenProgram: bytesOf(tokenProgram) }
        const account = findAssociatedTokenAccount(owner, kind)
        expect(encodeBase58(account)).toBe(expected)
        expect(isAssociatedTokenAccount(account, kind, [mint, owner])).toBe(true)
      }),
      { numRuns: 100 },
    )
  })

  it('is of no other owner, mint or program, and never the owner itself', () => {
    const [owner, other, mint] = [1, 2, 3].map(
      (seed) => new Uint8Array(getAddressEncoder().encode(addressOf(seed))),
    ) as [Uint8Array, Uint8Array, Uint8Array]
    const kind = { mint, tokenProgram: bytesOf(TOKEN_PROGRAM) }
    const account = findAssociatedTokenAccount(owner, kind)
    expect(isAssociatedTokenAccount(account, kind, [owner])).toBe(true)
    expect(isAssociatedTokenAccount(account, kind, [other, mint, account])).toBe(false)
    expect(isAssociatedTokenAccount(account, kind, [])).toBe(false)
    expect(isAssociatedTokenAccount(account, { ...kind, mint: other }, [owner])).toBe(false)
    expect(
      isAssociatedTokenAccount(account, { ...kind, tokenProgram: bytesOf(TOKEN_2022_PROGRAM) }, [owner]),
    ).toBe(false)
    expect(isAssociatedTokenAccount(owner, kind, [owner])).toBe(false)
  })

  it('is found among a thousand owners without a pause', () => {
    const owners = Array.from({ length: 1024 }, (_, index) =>
      new Uint8Array(32).fill(index, 0, 2).fill(index >> 8, 2),
    )
    const kind = { mint: new Uint8Array(32).fill(7), tokenProgram: bytesOf(TOKEN_PROGRAM) }
    const startMs = performance.now()
    expect(isAssociatedTokenAccount(new Uint8Array(32), kind, owners)).toBe(false)
    expect(performance.now() - startMs).toBeLessThan(1000)
  })
})
