import { TypedDataEncoder } from 'ethers'
import fc from 'fast-check'
import { hashTypedData as viemHash } from 'viem'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import { BUILT_IN_PROFILES, builtInProfiles } from '../../../src/payload/profile/built-in-profiles.ts'
import { buildFromJson } from '../../../src/payload/profile/request-json.ts'
import { compileTypedPlan, hashDomain, writeTypedData } from '../../../src/payload/profile/typed-plan.ts'
import { keccak256 } from '../../../src/payload/keccak.ts'
import { hashTypedData, parseTypedData } from '../../../src/payload/typed-data.ts'

/**
 * A profile hashes its typed data by a plan. A wallet's signers derive the digest from the document instead; both must
 * be the same, and the same as the libraries'.
 */
const digestsOf = (document: string): readonly string[] => {
  const typed = JSON.parse(document)
  const { EIP712Domain: _, ...types } = typed.types
  return [
    toHex(hashTypedData(parseTypedData(Buffer.from(document, 'utf8')))),
    viemHash(typed),
    TypedDataEncoder.hash(typed.domain, types, typed.message),
  ]
}

describe('the typed data of profiles', () => {
  const cases = BUILT_IN_PROFILES.flatMap(({ id, selfTest }) => selfTest.map((test) => ({ id, test })))

  it.each(cases)('$id: $test.name', ({ id, test }) => {
    const step = buildFromJson(builtInProfiles().get(id), test.flow, test.request)
    if (step.kind !== 'sign' || step.typedDataJson === undefined) return
    for (const digest of digestsOf(step.typedDataJson())) expect(digest).toBe(toHex(step.input))
  })

  it('hashes every type like the libraries', () => {
    const types = {
      Outer: 'address who,bool yes,int64 signed,uint256 large,bytes raw,bytes7 fixed,string text,Inner[] inners,uint8[2] pair,Inner one',
      Inner: 'uint8[] codes,string note',
    }
    const plan = compileTypedPlan(types, 'Outer')
    const hex = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => toHex(bytes))
    const inner = fc.record({ codes: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 4 }), note: fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()) })
    const message = fc.record({
      who: hex(20),
      yes: fc.boolean(),
      signed: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
      large: fc.bigInt({ min: 0n, max: (1n << 256n) - 1n }),
      raw: fc.uint8Array({ maxLength: 70 }),
      fixed: hex(7),
      text: fc.string(),
      inners: fc.array(inner, { maxLength: 3 }),
      pair: fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 })),
      one: inner,
    })
    const domains = fc.record(
      { name: fc.string(), version: fc.string(), chainId: fc.nat(), verifyingContract: hex(20), salt: hex(32) },
      { requiredKeys: ['name'] },
    )
    fc.assert(
      fc.property(message, domains, (value, domain) => {
        const digest = toHex(keccak256(Buffer.concat([Buffer.of(0x19, 1), hashDomain(domain), plan.hashStruct(value)])))
        for (const other of digestsOf(writeTypedData(plan, 'Outer', domain, value))) expect(other).toBe(digest)
      }),
      { numRuns: 150 },
    )
  })

  it('keeps to the fields that a domain has: zero is one', () => {
    const zero = '0x0000000000000000000000000000000000000000'
    expect(toHex(hashDomain({ name: 'X', verifyingContract: zero }))).not.toBe(toHex(hashDomain({ name: 'X' })))
    expect(() => hashDomain({})).toThrow('a domain without fields')
    expect(() => hashDomain({ chain: 1 })).toThrow('a domain has no chain')
  })

  it('refuses values that do not fit their type', () => {
    const plan = compileTypedPlan({ T: 'uint8 small,bytes2 two,address who' }, 'T')
    const good = { small: 255, two: '0x0102', who: `0x${'11'.repeat(20)}` }
    expect(plan.hashStruct(good)).toHaveLength(32)
    for (const bad of [{ small: 256 }, { small: -1 }, { small: true }, { two: '0x01' }, { who: '0x11' }, { who: undefined }])
      expect(() => plan.hashStruct({ ...good, ...bad })).toThrow('typed data')
  })
})
