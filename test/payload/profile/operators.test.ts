import { decode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { encodeAbiParameters, encodeFunctionData, parseAbi } from 'viem'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import { compileExpression } from '../../../src/payload/profile/compile.ts'
import type { Expression } from '../../../src/payload/profile/expression.ts'
import { encodeMessagePack } from '../../../src/payload/profile/message-pack.ts'
import { OPERATORS } from '../../../src/payload/profile/operators.ts'
import type { Value } from '../../../src/payload/profile/value.ts'

const names = (...known: string[]) => ({ known: new Set(known) })
const run = (expression: Expression, scope: Record<string, Value> = {}): Value => {
  const value = compileExpression(expression, names(...Object.keys(scope)))(scope)
  return value instanceof Uint8Array ? toHex(value) : value
}

const ADDRESS = '0x5b38da6a701c568545dcfcb03fcb875f56beddc4'

describe('the operators', () => {
  it('are a closed set', () => {
    expect([...OPERATORS.keys()].sort()).toEqual(
      ['abi', 'add', 'b58', 'b64', 'b64d', 'b64u', 'b64up', 'big', 'call', 'cat', 'checksum', 'concat', 'div', 'domainSep', 'eq', 'get', 'has', 'hex', 'hmac256', 'isIn', 'join', 'json', 'keccak', 'len', 'lower', 'map', 'msgpack', 'mul', 'not', 'num', 'or', 'padl', 'padr', 'qs', 'ratio', 'scale', 'shl', 'slice', 'sort', 'str', 'structHash', 'u', 'unscale', 'upper', 'utf8', 'with'].sort(),
    )
  })

  it.each<[Expression, Value]>([
    [['@str', 7], '7'],
    [['@join', '&', ['a', 1, true]], 'a&1&true'],
    [['@lower', 'AbC'], 'abc'],
    [['@upper', 'AbC'], 'ABC'],
    [['@checksum', ADDRESS], '0x5B38Da6a701c568545dCfcB03FcB875f56beddC4'],
    [['@json', { b: 1, a: ['x', null, { c: true }] }], '{"b":1,"a":["x",null,{"c":true}]}'],
    [['@qs', { b: 'x y', a: 1, c: '&=' }], 'b=x%20y&a=1&c=%26%3D'],
    [['@hex', ['@utf8', 'é']], '0xc3a9'],
    [['@b58', '0x0000287fb4cd'], '11233QC4'],
    [['@b64', '0xfbff'], '+/8='],
    [['@b64u', '0xfbff'], '-_8'],
    [['@b64up', '0xfbff'], '-_8='],
    [['@b64d', '-_8='], '0xfbff'],
    [['@b64d', '+/8'], '0xfbff'],
    [['@cat', '0x01', ['@utf8', 'a'], ['0x02', '0x03']], '0x01610203'],
    [['@u', 4, 258], '0x00000102'],
    [['@padl', 4, '0x0102'], '0x00000102'],
    [['@padr', 4, '0x0102'], '0x01020000'],
    [['@slice', 1, 3, '0x01020304'], '0x0203'],
    [['@keccak', '0x'], '0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470'],
    [['@hmac256', ['@utf8', 'key'], ['@utf8', 'The quick brown fox jumps over the lazy dog']], '0xf7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8'],
    [['@big', '0xff'], 255n],
    [['@big', '18446744073709551616'], 1n << 64n],
    [['@num', '12'], 12],
    [['@add', 1, '2'], 3n],
    [['@mul', 1_000_000, 1790000000000], 1790000000000000000n],
    [['@div', 1999, 1000], 1n],
    [['@shl', 20, 3], 3n << 20n],
    [['@scale', 9, 'truncate', '68900.7771234799'], 68900777123479n],
    [['@scale', 9, 'exact', '1.013'], 1013000000n],
    [['@scale', 0, 'up', '1.1'], 2n],
    [['@scale', 6, 'exact', '-1.5'], -1500000n],
    [['@unscale', 6, 1500000], '1.5'],
    [['@unscale', 6, -1], '-0.000001'],
    [['@unscale', 0, 15], '15'],
    [['@ratio', 4, 1, 3], '0.3334'],
    [['@len', ['a', 'b']], 2],
    [['@sort', [10, 9, 1]], [1, 9, 10]],
    [['@concat', [1], [2, 3]], [1, 2, 3]],
    [['@map', { Bid: 0, Ask: 1 }, 'Ask'], 1],
    [['@isIn', 2, [1, 2]], true],
    [['@eq', 1, ['@big', '1']], true],
    [['@eq', 'a', 'b'], false],
    [['@not', false], true],
    [['@with', { a: 1 }, { b: 2 }], { a: 1, b: 2 }],
    [['@get', { a: 1 }, 'a'], 1],
    [['@get', { a: 1 }, 'toString'], undefined],
    [['@when', true, 'then', 'else'], 'then'],
    [['@when', false, 'then'], undefined],
    [['@each', 'n', [1, 2], ['@add', '$n', 1]], [2n, 3n]],
    [['@domainSep', { name: 'Matching', version: '1.0', chainId: 11155111, verifyingContract: '0xeB8d770ec18DB98Db922E9D83260A585b9F0DeAD' }], '0x24d674cd5f2b9d564691c51e9d88f649b99246a2244dd74ce27b96578d773e85'],
    [['@call', 'revokeSessionSigner(address)', ADDRESS], `0xe63f952f${'00'.repeat(12)}${ADDRESS.slice(2)}`],
  ])('%j', (expression, expected) => {
    expect(run(expression)).toEqual(expected)
  })

  it('leave out what is absent', () => {
    const scope = { gone: undefined, here: 1 }
    expect(run(['@or', '$gone', '$here'], scope)).toBe(1)
    expect(run(['@has', '$gone'], scope)).toBe(false)
    expect(run({ a: '$gone', b: '$here' }, scope)).toEqual({ b: 1 })
    expect(run(['@join', ',', ['$gone', '$here']], scope)).toBe('1')
    expect(run(['@when', '$gone', 'then', 'else'], scope)).toBe('else')
    expect(run('$here.nothing.deeper', scope)).toBeUndefined()
  })

  it.each<[Expression]>([
    [['@str', { a: 1 }]],
    [['@lower', 1]],
    [['@cat', 'text']],
    [['@cat', '0x123']],
    [['@u', 1, 256]],
    [['@u', 8, -1]],
    [['@padl', 1, '0x0102']],
    [['@big', '1.5']],
    [['@num', '9007199254740993']],
    [['@div', 1, 0]],
    [['@scale', 6, 'exact', '0.0000001']],
    [['@scale', 6, 'exact', '1e3']],
    [['@scale', 6, 'exact', 1]],
    [['@ratio', 4, 1, 0]],
    [['@map', { Bid: 0 }, 'bid']],
    [['@map', { Bid: 0 }, 'toString']],
    [['@with', { a: 1 }, { a: 2 }]],
    [['@not', 'x']],
    [['@len', 5]],
    [['@json', ['@utf8', 'a']]],
    [['@abi', 'uint8', 256]],
    [['@abi', 'address', '0x01']],
    [['@abi', 'uint256']],
    [['@checksum', '0x01']],
  ])('refuse %j', (expression) => {
    expect(() => run(expression)).toThrow(/takes|fit|more|absent|than|table|there already|beyond|by what|share/)
  })

  it.each<Expression>([
    ['@nothing'],
    ['@u', 'eight', 1],
    ['@u', 33, 1],
    ['@scale', 6, 'round', '1'],
    ['@abi', 'tuple', 1],
    ['@abi', 'uint7', 1],
    ['@abi', 'bytes[]', []],
    ['@call', 'no signature'],
    ['@structHash', { T: 'uint256' }, 'T', {}],
    ['@str'],
    ['@str', 1, 2],
    ['@when', true],
    ['@each', '$x', [], 1],
    '$unknown',
    { constructor: 1 },
    Array.from({ length: 3000 }, () => 1),
    Array.from({ length: 40 }).reduce<Expression>((inner) => [inner], 1),
  ])('do not compile: case %#', (expression) => {
    expect(() => run(expression)).toThrow()
  })

  it('bound how often an expression repeats itself', () => {
    const list = Array.from({ length: 257 }, (_, index) => index)
    expect(() => run(['@each', 'n', '$list', '$n'], { list })).toThrow('takes 256 items at most')
  })
})

describe('the ABI of flat arguments', () => {
  it('is what viem makes', () => {
    const hex = (max: number) => fc.uint8Array({ maxLength: max }).map((bytes) => toHex(bytes))
    const address = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => toHex(bytes))
    const uint = fc.bigInt({ min: 0n, max: (1n << 256n) - 1n })
    const int = fc.bigInt({ min: -(1n << 255n), max: (1n << 255n) - 1n })
    fc.assert(
      fc.property(address, uint, int, fc.boolean(), hex(80), fc.string(), fc.array(uint, { maxLength: 4 }), (a, u, i, b, raw, text, list) => {
        const types = ['address', 'uint256', 'int256', 'bool', 'bytes', 'string', 'uint256[]'] as const
        const ours = run(['@abi', types.join(','), '$a', '$u', '$i', '$b', '$raw', '$text', '$list'], { a, u, i, b, raw, text, list })
        expect(ours).toBe(encodeAbiParameters(types.map((type) => ({ type })), [a, u, i, b, raw, text, list]))
      }),
      { numRuns: 100 },
    )
  })

  it('calls like viem', () => {
    const abi = parseAbi(['function authorizeSessionSigner(address,uint256)'])
    expect(run(['@call', 'authorizeSessionSigner(address,uint256)', ADDRESS, 1800000000])).toBe(
      encodeFunctionData({ abi, functionName: 'authorizeSessionSigner', args: [ADDRESS, 1800000000n] }),
    )
  })
})

describe('MessagePack', () => {
  it.each<[Value, string]>([
    [0, '0x00'],
    [127, '0x7f'],
    [128, '0xcc80'],
    [0xffff_ffff, '0xceffffffff'],
    [0x1_0000_0000, '0xcf0000000100000000'],
    [4_294_967_296n, '0xcf0000000100000000'],
    [5n, '0x05'],
    [(1n << 64n) - 1n, '0xcfffffffffffffffff'],
    [-1, '0xff'],
    [-0x8000_0000, '0xd280000000'],
    [-0x8000_0001, '0xd3ffffffff7fffffff'],
    [{ b: 1, a: undefined, c: null }, '0x82a16201a163c0'],
  ])('case %#', (value, expected) => {
    expect(toHex(encodeMessagePack(value))).toBe(expected)
  })

  it('never writes a float', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (integer) => {
        const packed = encodeMessagePack(integer)
        expect([0xca, 0xcb]).not.toContain(packed[0])
        expect(Number(decode(packed, { useBigInt64: true }))).toBe(integer)
      }),
    )
    for (const value of [0.5, Number.NaN, 2 ** 53, 1n << 64n]) expect(() => encodeMessagePack(value)).toThrow()
  })
})
