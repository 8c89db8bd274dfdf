import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { hashTypedData, MAX_TYPED_DATA_BYTES, parseTypedData } from '../../src/payload/typed-data.ts'
import { refusalOf } from './refusal.ts'
import { etherss, ours, runTypedDataCampaign, viems } from './typed-data-campaign.ts'
import type { GeneratedTypedData } from './typed-data-generator.ts'

type Vector = { name: string; origin: string; libraries: string[]; typedData: GeneratedTypedData; digest: string }

const { vectors } = JSON.parse(readFileSync(new URL('../vectors/eip712.json', import.meta.url), 'utf8')) as {
  vectors: Vector[]
}

const withoutDomainType = ({ types, ...rest }: GeneratedTypedData): GeneratedTypedData => {
  const { EIP712Domain: _declared, ...structs } = types
  return { ...rest, types: structs }
}

const DOMAIN_TYPES = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
]

const mail = () => ({
  types: {
    EIP712Domain: DOMAIN_TYPES,
    Person: [
      { name: 'name', type: 'string' },
      { name: 'wallet', type: 'address' },
    ],
    Mail: [
      { name: 'from', type: 'Person' },
      { name: 'to', type: 'Person[]' },
      { name: 'contents', type: 'string' },
    ],
  } as Record<string, unknown>,
  primaryType: 'Mail' as unknown,
  domain: {
    name: 'Ether Mail',
    version: '1',
    chainId: 1,
    verifyingContract: '0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC',
  } as Record<string, unknown>,
  message: {
    from: { name: 'Cow', wallet: '0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826' },
    to: [{ name: 'Bob', wallet: '0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB' }],
    contents: 'Hello, Bob!',
  } as Record<string, unknown>,
})

const refusal = (data: unknown) =>
  refusalOf(() => parseTypedData(Buffer.from(typeof data === 'string' ? data : JSON.stringify(data), 'utf8')))

/** Typed data with one member `v` of a type. */
const holding = (type: string, value: unknown, types: Record<string, unknown> = {}) => ({
  types: { T: [{ name: 'v', type }], ...types },
  primaryType: 'T',
  domain: { name: 't', chainId: 1 },
  message: { v: value },
})

const withNumber = (type: string, numberText: string) =>
  JSON.stringify(holding(type, '@')).replace('"@"', numberText)

describe('digests', () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('%s', (_name, vector) => {
    expect(ours(JSON.stringify(vector.typedData))).toBe(vector.digest)
    const data = withoutDomainType(vector.typedData)
    if (vector.libraries.includes('viem')) expect(viems(data)).toBe(vector.digest)
    if (vector.libraries.includes('ethers')) expect(etherss(data)).toBe(vector.digest)
  })

  it('agrees with viem and ethers on generated typed data', () => {
    runTypedDataCampaign(400, 20_261)
  })

  it('would notice a difference', () => {
    const vector = vectors[0]
    const other = { ...vector?.typedData, message: { ...vector?.typedData.message, contents: 'Hello, Eve!' } }
    expect(ours(JSON.stringify(other))).not.toBe(vector?.digest)
  })

  it('does not depend on spaces, on the order of members, or on types that are not used', () => {
    const { types, primaryType, domain, message } = mail()
    const shuffled = { message, domain, primaryType, types: { Unused: [{ name: 'x', type: 'Mail[]' }], ...types } }
    expect(ours(JSON.stringify(shuffled, null, 4))).toBe(ours(JSON.stringify(mail())))
  })
})

describe('the document', () => {
  it.each<[string, unknown, string]>([
    ['no object', '[]', '$'],
    ['no JSON', '{', '$'],
    ['a duplicate key', JSON.stringify(mail()).replace('"contents":', '"contents":"x","contents":'), '$'],
    ['a duplicate type', JSON.stringify(mail()).replace('"Mail":', '"Mail":[],"Mail":'), '$'],
    ['an unknown member', { ...mail(), extra: 1 }, '$.extra'],
    ['no types', { ...mail(), types: undefined }, 'types'],
    ['no primaryType', { ...mail(), primaryType: undefined }, 'primaryType'],
    ['a primaryType that is no string', { ...mail(), primaryType: 7 }, 'primaryType'],
    ['primaryType EIP712Domain', { ...mail(), primaryType: 'EIP712Domain' }, 'primaryType'],
    ['a primaryType that is not declared', { ...mail(), primaryType: 'Letter' }, 'primaryType'],
    ['a primaryType that is a built-in', { ...mail(), primaryType: 'uint256' }, 'primaryType'],
    ['an array as primaryType', { ...mail(), primaryType: 'Mail[]' }, 'primaryType'],
    ['primaryType __proto__', { ...mail(), primaryType: '__proto__' }, 'primaryType'],
    ['no domain', { ...mail(), domain: undefined }, 'domain'],
    ['no message', { ...mail(), message: undefined }, 'message'],
    ['a message that is null', { ...mail(), message: null }, 'message'],
    ['a message that is a list', { ...mail(), message: [] }, 'message'],
  ])('refuses %s', (_what, data, path) => {
    expect(refusal(data)).toMatchObject({ reason: 'TYPED_DATA_INVALID', facts: { path } })
  })
})

describe('types', () => {
  const withType = (name: string, fields: unknown = [{ name: 'x', type: 'uint8' }]) => {
    const data = mail()
    return { ...data, types: { ...data.types, [name]: fields } }
  }

  it.each([
    'address',
    'bool',
    'string',
    'bytes',
    'bytes1',
    'bytes32',
    'bytes33',
    'uint',
    'uint8',
    'uint256',
    'uint7',
    'int',
    'int128',
    'function',
    'fixed',
    'ufixed128x18',
    'tuple',
    'byte',
    'mapping',
    'constructor',
    'toString',
    'valueOf',
    'hasOwnProperty',
    'prototype',
    '__defineGetter__',
    'Per son',
    'Person[]',
    '9Lives',
    '',
    'Pérson',
    'a-b',
    'a(b)',
    'Mail,Person',
  ])('refuses a struct named %j', (name) => {
    expect(refusal(withType(name))).toMatchObject({ reason: 'TYPED_DATA_INVALID', facts: { path: 'types' } })
  })

  it('refuses a struct named __proto__', () => {
    const json = JSON.stringify(mail()).replace('"types":{', '"types":{"__proto__":[],')
    expect(refusal(json)).toMatchObject({ reason: 'TYPED_DATA_INVALID', facts: { path: 'types' } })
  })

  it.each<[string, unknown, string]>([
    ['fields that are no list', {}, 'types.A'],
    ['a field that is no object', ['uint8 x'], 'types.A[0]'],
    ['a field without a name', [{ type: 'uint8' }], 'types.A[0].name'],
    ['a field without a type', [{ name: 'x' }], 'types.A[0].type'],
    ['a field with more members', [{ name: 'x', type: 'uint8', indexed: true }], 'types.A[0]'],
    [
      'a field declared twice',
      [
        { name: 'x', type: 'uint8' },
        { name: 'x', type: 'bool' },
      ],
      'types.A[1].name',
    ],
    ['a field name with a space', [{ name: 'x,address to', type: 'uint8' }], 'types.A[0].name'],
    ['an empty field name', [{ name: '', type: 'uint8' }], 'types.A[0].name'],
    ['a field named __proto__', [{ name: '__proto__', type: 'uint8' }], 'types.A[0].name'],
    ['a type that is not declared', [{ name: 'x', type: 'Nobody' }], 'types.A[0].type'],
    ['the domain as a member', [{ name: 'x', type: 'EIP712Domain' }], 'types.A[0].type'],
    ['the alias uint', [{ name: 'x', type: 'uint' }], 'types.A[0].type'],
    ['the alias int', [{ name: 'x', type: 'int[]' }], 'types.A[0].type'],
    ['uint0', [{ name: 'x', type: 'uint0' }], 'types.A[0].type'],
    ['uint12', [{ name: 'x', type: 'uint12' }], 'types.A[0].type'],
    ['uint264', [{ name: 'x', type: 'uint264' }], 'types.A[0].type'],
    ['uint08', [{ name: 'x', type: 'uint08' }], 'types.A[0].type'],
    ['bytes0', [{ name: 'x', type: 'bytes0' }], 'types.A[0].type'],
    ['bytes33', [{ name: 'x', type: 'bytes33' }], 'types.A[0].type'],
    ['an array of zero', [{ name: 'x', type: 'uint8[0]' }], 'types.A[0].type'],
    ['an array length with a leading zero', [{ name: 'x', type: 'uint8[02]' }], 'types.A[0].type'],
    ['an array type that is too long', [{ name: 'x', type: 'uint8[1025]' }], 'types.A[0].type'],
    ['an unfinished array type', [{ name: 'x', type: 'uint8[' }], 'types.A[0].type'],
    ['a type with a space', [{ name: 'x', type: ' uint8' }], 'types.A[0].type'],
    ['a function type', [{ name: 'x', type: 'function' }], 'types.A[0].type'],
    ['a struct that contains itself', [{ name: 'x', type: 'A' }], 'types.A'],
    ['a struct that contains a list of itself', [{ name: 'x', type: 'A[]' }], 'types.A'],
  ])('refuses %s', (_what, fields, path) => {
    expect(refusal(withType('A', fields))).toMatchObject({ reason: 'TYPED_DATA_INVALID', facts: { path } })
  })

  it('refuses structs that contain each other', () => {
    const types = { A: [{ name: 'b', type: 'B[]' }], B: [{ name: 'a', type: 'A' }] }
    const data = { types, primaryType: 'A', domain: { name: 't' }, message: { b: [] } }
    expect(refusal(data)).toMatchObject({ facts: { why: 'contains itself' } })
  })

  const chain = (length: number) => {
    const types: Record<string, unknown> = {}
    for (let index = 0; index < length; index += 1)
      types[`S${index}`] = [
        index === length - 1 ? { name: 'v', type: 'uint8' } : { name: 'v', type: `S${index + 1}` },
      ]
    let message: unknown = 1
    for (let index = 0; index < length; index += 1) message = { v: message }
    return { types, primaryType: 'S0', domain: { name: 't' }, message }
  }

  it('accepts structs 16 deep and refuses 17', () => {
    expect(refusal(chain(16))).toBeUndefined()
    expect(refusal(chain(17))).toMatchObject({ facts: { why: 'is nested deeper than 16' } })
    expect(refusal(holding(`uint8${'[]'.repeat(15)}`, []))).toBeUndefined()
    expect(refusal(holding(`uint8${'[]'.repeat(16)}`, []))).toMatchObject({
      facts: { why: 'is nested deeper than 16' },
    })
  })
})

describe('the domain', () => {
  const domainWith = (domain: Record<string, unknown>, declared?: unknown) => {
    const { types, ...rest } = mail()
    const { EIP712Domain: _all, ...structs } = types
    return { ...rest, types: declared === undefined ? structs : { ...structs, EIP712Domain: declared }, domain }
  }
  const { domain } = mail()

  it.each<[string, unknown, string]>([
    ['an empty domain', domainWith({}), 'domain'],
    ['an empty domain that is declared', domainWith({}, []), 'domain'],
    ['a domain that is null', { ...mail(), domain: null }, 'domain'],
    ['a field EIP-712 does not know', domainWith({ ...domain, chain: 1 }), 'domain.chain'],
    ['a field missing that is declared', domainWith({ name: 'x' }, DOMAIN_TYPES), 'types.EIP712Domain'],
    ['a field not declared', domainWith(domain, DOMAIN_TYPES.slice(0, 3)), 'types.EIP712Domain'],
    ['fields declared in another order', domainWith(domain, DOMAIN_TYPES.toReversed()), 'types.EIP712Domain'],
    [
      'a declared field of another type',
      domainWith({ chainId: 1 }, [{ name: 'chainId', type: 'uint64' }]),
      'types.EIP712Domain',
    ],
    [
      'a declared field EIP-712 does not know',
      domainWith({ name: 'x', extra: 'y' }, [
        { name: 'name', type: 'string' },
        { name: 'extra', type: 'string' },
      ]),
      'types.EIP712Domain',
    ],
    ['a chainId that is negative', domainWith({ ...domain, chainId: -1 }), 'domain.chainId'],
    ['a chainId with a leading zero', domainWith({ ...domain, chainId: '01' }), 'domain.chainId'],
    ['a chainId as padded hex', domainWith({ ...domain, chainId: '0x01' }), 'domain.chainId'],
    ['a chainId with spaces', domainWith({ ...domain, chainId: ' 1' }), 'domain.chainId'],
    ['a chainId that is empty', domainWith({ ...domain, chainId: '' }), 'domain.chainId'],
    ['a chainId that is null', domainWith({ ...domain, chainId: null }), 'domain.chainId'],
    ['a name that is a number', domainWith({ ...domain, name: 1 }), 'domain.name'],
    ['a version that is a number', domainWith({ ...domain, version: 1 }), 'domain.version'],
    ['a contract that is empty', domainWith({ ...domain, verifyingContract: '' }), 'domain.verifyingContract'],
    ['a salt that is short', domainWith({ ...domain, salt: '0x00' }), 'domain.salt'],
  ])('refuses %s', (_what, data, path) => {
    expect(refusal(data)).toMatchObject({ reason: 'TYPED_DATA_INVALID', facts: { path } })
  })
})

describe('the message', () => {
  const messageWith = (change: Record<string, unknown>) => {
    const data = mail()
    return { ...data, message: { ...data.message, ...change } }
  }

  it.each<[string, unknown, string]>([
    ['a missing field', messageWith({ contents: undefined }), 'message.contents'],
    ['an unknown field', messageWith({ subject: '' }), 'message.subject'],
    ['a null field', messageWith({ contents: null }), 'message.contents'],
    [
      'an unknown nested field',
      messageWith({ from: { name: 'x', wallet: `0x${'0'.repeat(40)}`, age: 1 } }),
      'message.from.age',
    ],
    ['a missing nested field', messageWith({ to: [{ name: 'x' }] }), 'message.to[0].wallet'],
    ['a struct that is null', messageWith({ from: null }), 'message.from'],
    ['a struct that is a list', messageWith({ from: [] }), 'message.from'],
    ['an array that is an object', messageWith({ to: {} }), 'message.to'],
    ['an array that is a string', messageWith({ to: '' }), 'message.to'],
  ])('refuses %s', (_what, data, path) => {
    expect(refusal(data)).toMatchObject({ reason: 'TYPED_DATA_INVALID', facts: { path } })
  })

  it.each<[string, unknown]>([
    ['uint8', 256],
    ['uint8', -1],
    ['uint8', '-1'],
    ['uint8', '0x100'],
    ['int8', 128],
    ['int8', -129],
    ['int8', '0x80'],
    ['uint256', (1n << 256n).toString()],
    ['int256', (1n << 255n).toString()],
    ['uint256', `0x1${'0'.repeat(64)}`],
    ['uint8', '01'],
    ['uint8', '+1'],
    ['uint8', ' 1'],
    ['uint8', '1 '],
    ['uint8', ''],
    ['uint8', '0x'],
    ['uint8', '0x00'],
    ['uint8', '0X1'],
    ['uint8', '1.0'],
    ['uint8', '1e1'],
    ['uint8', '1n'],
    ['uint8', '-0'],
    ['uint8', '٣'],
    ['uint8', true],
    ['uint8', null],
    ['uint8', [1]],
    ['uint8', { a: 1 }],
    ['uint8', '-0x1'],
    ['int8', '-0x1'],
    ['uint256', '9'.repeat(100_0)],
    ['bool', 0],
    ['bool', 1],
    ['bool', 'true'],
    ['bool', ''],
    ['bool', null],
    ['string', 1],
    ['string', null],
    ['string', ['a']],
    ['string', { a: 1 }],
    ['bytes', ''],
    ['bytes', '0x1'],
    ['bytes', '0xzz'],
    ['bytes', 'abcd'],
    ['bytes', [1, 2]],
    ['bytes', '0X12'],
    ['bytes', 5],
    ['bytes4', '0x'],
    ['bytes4', '0x123456'],
    ['bytes4', '0x1234567890'],
    ['bytes4', '12345678'],
    ['bytes4', 0x12345678],
    ['address', ''],
    ['address', '0x'],
    ['address', `0x${'0'.repeat(39)}`],
    ['address', `0x${'0'.repeat(41)}`],
    ['address', '0'.repeat(40)],
    ['address', 0],
    ['address', 'vitalik.eth'],
    ['address', '0xcD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826'],
    ['address', `0x${'g'.repeat(40)}`],
    ['uint8[2]', [1]],
    ['uint8[2]', [1, 2, 3]],
    ['uint8[]', 1],
    ['uint8[]', '0x0102'],
    ['uint8[]', [[1]]],
    ['uint8[][]', [1]],
    ['uint8[]', [1, null]],
    ['uint8[]', Array.from({ length: 1025 }, () => 1)],
  ])('refuses as %s the value %j', (type, value) => {
    const found = refusal(holding(type, value))
    expect(found?.reason).toBe('TYPED_DATA_INVALID')
    expect(String(found?.facts['path'])).toMatch(/^message\.v/)
  })

  it.each([
    ['uint8', '1.0'],
    ['uint8', '1e1'],
    ['uint8', '-0'],
    ['uint8', '1E0'],
    ['uint256', '9007199254740992'],
    ['int256', '-9007199254740992'],
    ['uint256', '1e400'],
    ['uint8', '0.5'],
  ])('refuses as %s the JSON number %s', (type, numberText) => {
    expect(refusal(withNumber(type, numberText))).toMatchObject({ facts: { path: 'message.v' } })
  })

  it('refuses a string that is not well-formed Unicode', () => {
    const json = JSON.stringify(holding('string', '@')).replace('@', String.raw`\ud83d`)
    expect(refusal(json)?.reason).toBe('TYPED_DATA_INVALID')
  })

  it('shortens the path of a very long name', () => {
    const data = mail()
    const found = refusal({ ...data, message: { ...data.message, ['x'.repeat(5000)]: 1 } })
    expect(String(found?.facts['path']).length).toBeLessThan(250)
  })

  it('accepts the largest array', () => {
    expect(
      refusal(
        holding(
          'uint8[]',
          Array.from({ length: 1024 }, () => 1),
        ),
      ),
    ).toBeUndefined()
  })
})

describe('bounded work', () => {
  const milliseconds = (call: () => unknown): number => {
    const started = performance.now()
    call()
    return performance.now() - started
  }

  it('refuses more than 64 KiB before it reads', () => {
    const json = Buffer.from(JSON.stringify(holding('string', 'x'.repeat(1024 * 1024))))
    expect(
      milliseconds(() => expect(refusalOf(() => parseTypedData(json))?.facts['path']).toBe('$')),
    ).toBeLessThan(50)
    const full = JSON.stringify(holding('string', ''))
    const padded = full + ' '.repeat(MAX_TYPED_DATA_BYTES - full.length)
    expect(refusal(padded)).toBeUndefined()
    expect(refusal(`${padded} `)).toMatchObject({ facts: { path: '$' } })
  })

  it.each<[string, string]>([
    ['deep objects', '{"a":'.repeat(13_000)],
    ['deep arrays', '['.repeat(65_000)],
    [
      'very many types',
      JSON.stringify({ types: Object.fromEntries(Array.from({ length: 4000 }, (_, n) => [`T${n}`, []])) }),
    ],
    [
      'very many fields',
      JSON.stringify({ types: { A: Array.from({ length: 1500 }, (_, n) => ({ name: `f${n}`, type: 'uint8' })) } }),
    ],
    ['very many keys', JSON.stringify(Object.fromEntries(Array.from({ length: 6000 }, (_, n) => [`k${n}`, n])))],
  ])('refuses %s at once', (_what, json) => {
    expect(milliseconds(() => expect(refusal(json)?.reason).toBe('TYPED_DATA_INVALID'))).toBeLessThan(100)
  })

  it('refuses types whose encodings multiply', () => {
    const width = 8
    const levels = 16
    const types = Object.fromEntries(
      Array.from({ length: width * levels }, (_, index) => {
        const level = Math.floor(index / width)
        const fields = Array.from({ length: width }, (_field, at) => ({
          name: `f${at}`,
          type: level === levels - 1 ? 'uint8' : `S${(level + 1) * width + at}`,
        }))
        return [`S${index}`, fields]
      }),
    )
    const data = { types, primaryType: 'S0', domain: { name: 't' }, message: {} }
    const took = milliseconds(() =>
      expect(refusal(data)).toMatchObject({ facts: { path: 'types', why: 'are too large' } }),
    )
    expect(took).toBeLessThan(100)
  })

  it.each<[string, unknown]>([
    [
      'a thousand structs',
      holding(
        'P[]',
        Array.from({ length: 1024 }, () => ({ s: 'a', n: 1 })),
        {
          P: [
            { name: 's', type: 'string' },
            { name: 'n', type: 'uint8' },
          ],
        },
      ),
    ],
    [
      'thirty thousand integers',
      holding(
        'uint8[][]',
        Array.from({ length: 31 }, () => Array.from({ length: 1000 }, () => 1)),
      ),
    ],
    [
      'twenty thousand empty arrays',
      holding(
        'uint8[][][]',
        Array.from({ length: 20 }, () => Array.from({ length: 1000 }, () => [])),
      ),
    ],
  ])('hashes %s in bounded time', (_what, data) => {
    const json = Buffer.from(JSON.stringify(data))
    expect(json.length).toBeLessThanOrEqual(MAX_TYPED_DATA_BYTES)
    expect(milliseconds(() => hashTypedData(parseTypedData(json)))).toBeLessThan(300)
  })
})
