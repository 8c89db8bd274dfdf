/** T25, and the published BIP32 vectors: public derivation as a tweak. */
import { HDKey } from 'viem/accounts'
import { describe, expect, test } from 'vitest'
import { addPoints, mulBase } from '../../src/engine/curve/secp256k1.ts'
import { deriveChild, parsePath } from '../../src/engine/dkls23/derive.ts'
import { expectFault } from './expect-fault.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'))

/** BIP32 test vector 2 up to its first hardened step, and the non-hardened step of vector 1 (m/0H → m/0H/1). */
const VECTORS = [
  {
    parent: {
      xpub: 'xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB',
      index: 0,
    },
    child: 'xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH',
  },
  {
    parent: {
      xpub: 'xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw',
      index: 1,
    },
    child: 'xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ',
  },
] as const

function keyOf(xpub: string): { publicKey: Uint8Array; chainCode: Uint8Array } {
  const { publicKey, chainCode } = HDKey.fromExtendedKey(xpub)
  if (publicKey === null || chainCode === null) throw new Error('not a public key')
  return { publicKey, chainCode }
}

describe('derivation', () => {
  test.each(VECTORS)('BIP32 vector %#', ({ parent, child }) => {
    const { publicKey, chainCode } = keyOf(parent.xpub)
    const derived = deriveChild(publicKey, chainCode, [parent.index])
    const expected = keyOf(child)
    expect(hex(derived.publicKey)).toBe(hex(expected.publicKey))
    expect(hex(derived.chainCode)).toBe(hex(expected.chainCode))
  })

  test('agrees with another implementation down ten levels, and the tweak is the sum', () => {
    const { publicKey, chainCode } = keyOf(VECTORS[0].parent.xpub)
    const path = [0, 1, 2 ** 31 - 1, 7, 44, 60, 3, 2, 1, 5]
    let key = HDKey.fromExtendedKey(VECTORS[0].parent.xpub)
    for (let depth = 1; depth <= path.length; depth++) {
      key = key.deriveChild(path[depth - 1] ?? 0)
      const derived = deriveChild(publicKey, chainCode, path.slice(0, depth))
      expect(hex(derived.publicKey)).toBe(hex(key.publicKey ?? new Uint8Array(0)))
      const sum = addPoints([publicKey, mulBase(derived.tweak)])
      expect(hex(sum ?? new Uint8Array(0))).toBe(hex(derived.publicKey))
    }
  })

  test('the root has the zero tweak', () => {
    const { publicKey, chainCode } = keyOf(VECTORS[0].parent.xpub)
    const root = deriveChild(publicKey, chainCode, [])
    expect([hex(root.tweak), hex(root.publicKey)]).toEqual(['00'.repeat(32), hex(publicKey)])
  })

  test('refuses hardened indices, depth above ten and what is not a u32 as the caller\'s mistake', () => {
    const { publicKey, chainCode } = keyOf(VECTORS[0].parent.xpub)
    const benign = { faultClass: 'A', code: 'policy_denied', consequence: 'none' } as const
    for (const index of [2 ** 31, 2 ** 32 - 1, 2 ** 32, -1, 0.5, Number.NaN]) {
      expectFault(() => deriveChild(publicKey, chainCode, [0, index]), benign)
    }
    expectFault(() => deriveChild(publicKey, chainCode, Array.from({ length: 11 }, () => 0)), benign)
  })

  test('path text is read strictly', () => {
    expect(parsePath('m')).toEqual([])
    expect(parsePath('m/0/44/2147483647')).toEqual([0, 44, 2 ** 31 - 1])
    const refused = [
      '', 'M', 'm/', '/0', '0', 'm//0', "m/0'", 'm/0h', 'm/0H', 'm/00', 'm/01', 'm/-1', 'm/+1', 'm/1.0', 'm/1e3',
      'm/0x1', 'm/ 1', ' m/1', 'm/1 ', 'm/1\n', 'm/2147483648', 'm/4294967296', 'm/99999999999', 'm/\u0661',
      `m${'/0'.repeat(11)}`,
    ]
    for (const path of refused) expectFault(() => parsePath(path), { faultClass: 'A', code: 'policy_denied' })
  })

  test('every step takes key, chain code and index in', () => {
    const { publicKey, chainCode } = keyOf(VECTORS[0].parent.xpub)
    const tweaks = [
      deriveChild(publicKey, chainCode, [0]),
      deriveChild(publicKey, chainCode, [1]),
      deriveChild(publicKey, bytes('11'.repeat(32)), [0]),
      deriveChild(mulBase(bytes('11'.repeat(32))), chainCode, [0]),
    ].map(({ tweak }) => hex(tweak))
    expect(new Set(tweaks).size).toBe(4)
  })
})
