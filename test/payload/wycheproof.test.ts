import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { verifySignature } from '../../src/engine/curve/secp256k1.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { evmAddressOfPublicKey } from '../../src/payload/address.ts'
import { bytesToBigint, fromHex } from '../../src/payload/bytes.ts'
import { SECP256K1_ORDER } from '../../src/payload/digest.ts'
import { verifySigner } from '../../src/payload/recover.ts'
import { checkSignature } from '../../src/payload/signature.ts'

type Test = { tcId: number; comment: string; msg: string; sig: string; result: 'valid' | 'invalid' | 'acceptable' }
type File = { numberOfTests: number; testGroups: { publicKey: { uncompressed: string }; tests: Test[] }[] }
type Compact = { r: Uint8Array; s: Uint8Array }

const folder = new URL('../vectors/wycheproof/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, folder))
const bytes = (hex: string) => fromHex(`0x${hex}`) as Uint8Array

const cases = (name: string) => {
  const file = JSON.parse(read(name).toString('utf8')) as File
  const tests = file.testGroups.flatMap(({ publicKey, tests: group }) =>
    group.map((test) => ({ ...test, point: bytes(publicKey.uncompressed) })),
  )
  expect(tests.length).toBe(file.numberOfTests)
  return tests
}

const word = (scalar: bigint) => (scalar >> 256n === 0n ? bytes(scalar.toString(16).padStart(64, '0')) : undefined)

/** Strict DER: SEQUENCE of two minimal, non-negative INTEGERs; undefined for everything else. */
const parseDer = (der: Uint8Array): Compact | undefined => {
  const integerAt = (at: number): { value: bigint; end: number } | undefined => {
    const length = der[at + 1] ?? 0
    const end = at + 2 + length
    const body = der.subarray(at + 2, end)
    if (der[at] !== 2 || length === 0 || length > 33 || body.length !== length || (body[0] ?? 0) >= 0x80)
      return undefined
    if (length > 1 && body[0] === 0 && (body[1] ?? 0) < 0x80) return undefined
    return { value: bytesToBigint(body), end }
  }
  if (der[0] !== 0x30 || der[1] !== der.length - 2) return undefined
  const first = integerAt(2)
  const second = first && integerAt(first.end)
  if (second?.end !== der.length) return undefined
  const [r, s] = [word(first?.value ?? 0n), word(second.value)]
  return r && s && { r, s }
}

/** Whether one of the two recovery bits leads to the key: what VerifySignature does with an address. */
const verifies = async ({ r, s }: Compact, digest: Uint8Array, point: Uint8Array): Promise<boolean> => {
  const address = evmAddressOfPublicKey(point)
  try {
    const found = [
      verifySigner(digest, { r, s, yParity: 0 }, address),
      verifySigner(digest, { r, s, yParity: 1 }, address),
    ]
    return (await Promise.all(found)).includes(true)
  } catch (error) {
    if (isFailure(error) && error.reason === 'SIGNATURE_MALFORMED') return false
    throw error
  }
}

const compressed = (point: Uint8Array): Uint8Array =>
  Uint8Array.of(2 + ((point[64] ?? 0) & 1), ...point.subarray(1, 33))

/**
 * R's x coordinate is over the group order: such a signature is good ECDSA, but Ethereum's v cannot express it.
 */
const LARGE_X = 'k*G has a large x-coordinate'

const isLow = ({ s }: Compact) => bytesToBigint(s) <= SECP256K1_ORDER / 2n

const compare = async (name: string, parse: (sig: Uint8Array) => Compact | undefined) => {
  const counts = { accepted: 0, refused: 0 }
  for (const { tcId, comment, msg, sig, result, point } of cases(name)) {
    const digest = createHash('sha256').update(bytes(msg)).digest()
    const signature = parse(bytes(sig))
    const expected = result === 'valid' && signature !== undefined && isLow(signature)
    const recovered = signature !== undefined && (await verifies(signature, new Uint8Array(digest), point))
    expect(recovered, `${name} ${tcId}`).toBe(expected && comment !== LARGE_X)
    if (signature !== undefined) {
      const inEngine = verifySignature(signature.r, signature.s, digest, compressed(point))
      expect(inEngine, `${name} ${tcId} in the engine`).toBe(expected)
    }
    counts[expected ? 'accepted' : 'refused'] += 1
  }
  return counts
}

describe('Wycheproof, ECDSA on secp256k1', () => {
  it('has the files of its pins', () => {
    for (const line of read('SHA256SUMS').toString('utf8').trim().split('\n')) {
      const [sum, name] = line.split(/\s+/) as [string, string]
      expect(createHash('sha256').update(read(name)).digest('hex')).toBe(sum)
    }
  })

  it('verifies r and s of fixed length, low s only', async () => {
    const fixed = (sig: Uint8Array) => (sig.length === 64 ? { r: sig.slice(0, 32), s: sig.slice(32) } : undefined)
    const { accepted, refused } = await compare('ecdsa_secp256k1_sha256_p1363_test.json', fixed)
    expect(accepted).toBeGreaterThan(50)
    expect(refused).toBeGreaterThan(50)
  })

  it('verifies as Bitcoin does', async () => {
    const { accepted, refused } = await compare('ecdsa_secp256k1_sha256_bitcoin_test.json', parseDer)
    expect(accepted).toBeGreaterThan(100)
    expect(refused).toBeGreaterThan(100)
  })

  it('refuses high s before it verifies', () => {
    const high = word(SECP256K1_ORDER - 1n) as Uint8Array
    expect(() => checkSignature({ r: word(1n) as Uint8Array, s: high, yParity: 0 })).toThrow('upper half')
  })
})
