import { describe, expect, it } from 'vitest'
import { DOMAIN_TYPES, holding, mail, refusal, withNumber } from './typed-data-cases.ts'

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
    ':Mail',
    'Mail:',
    'Venue::Mail',
    'Venue:9Mail',
    'Venue: Mail',
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
