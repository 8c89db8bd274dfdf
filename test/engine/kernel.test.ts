import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { kernel, memory, place, reserve, take, withArena } from '../../src/engine/kernel/load.ts'
import {
  areCanonicalScalars,
  isCanonicalScalar,
  isHighScalar,
  isZeroScalar,
  scalarAdd,
  scalarInvertPublic,
  scalarMul,
  scalarNegate,
  scalarReduceBe32,
  scalarReduceWide,
  scalarSub,
  wipe,
} from '../../src/engine/kernel/scalar.ts'
import {
  EDGES, fromLe, gfMultiply, hexOf, mod, OVER, polyHash, Q, seededBytes, toLe, transposeSlow,
} from './bigint-reference.ts'

/** COUNTERSIGN_VECTORS=1000000 runs the long form. */
const VECTORS = Number(process.env['COUNTERSIGN_VECTORS'] ?? 3000)
const ALL_EDGES = [...EDGES, ...OVER]

function pairs(seed: string): [bigint, bigint][] {
  const next = seededBytes(seed)
  const random = Array.from({ length: VECTORS }, (): [bigint, bigint] => [fromLe(next(32)), fromLe(next(32))])
  return [...ALL_EDGES.flatMap((a) => ALL_EDGES.map((b): [bigint, bigint] => [a, b])), ...random]
}

describe('scalars agree with BigInt', () => {
  test.each([
    ['add', scalarAdd, (a: bigint, b: bigint) => a + b],
    ['sub', scalarSub, (a: bigint, b: bigint) => a - b],
    ['mul', scalarMul, (a: bigint, b: bigint) => a * b],
  ] as const)('%s, any 256-bit operands', (_name, operation, reference) => {
    for (const [a, b] of pairs('binary')) expect(fromLe(operation(toLe(a), toLe(b)))).toBe(mod(reference(a, b)))
  })

  test('negate, reduce a digest, reduce 512 bits', () => {
    for (const [a, b] of pairs('unary')) {
      expect(fromLe(scalarNegate(toLe(a)))).toBe(mod(-a))
      expect(fromLe(scalarReduceBe32(toLe(a).toReversed()))).toBe(mod(a))
      const wide = a + (b << 256n)
      expect(fromLe(scalarReduceWide(toLe(wide, 64)))).toBe(mod(wide))
    }
  })

  test('canonical, zero and high', () => {
    for (const [a] of pairs('predicates')) {
      expect(isCanonicalScalar(toLe(a))).toBe(a < Q)
      expect(isZeroScalar(toLe(a))).toBe(a === 0n)
      expect(isHighScalar(toLe(a))).toBe(a > (Q - 1n) / 2n)
    }
  })

  test('values around the order and around each word boundary', () => {
    for (let delta = -300n; delta <= 300n; delta++) {
      expect(isCanonicalScalar(toLe(Q + delta))).toBe(delta < 0n)
      expect(isHighScalar(toLe((Q - 1n) / 2n + delta))).toBe(delta > 0n)
    }
    for (let bit = 0n; bit < 256n; bit++) {
      for (const value of [1n << bit, (1n << bit) - 1n, Q ^ (1n << bit)]) {
        expect(isCanonicalScalar(toLe(value))).toBe(value < Q)
        expect(fromLe(scalarMul(toLe(value), toLe(value)))).toBe(mod(value * value))
      }
    }
  })

  test('inverse', () => {
    expect(fromLe(scalarInvertPublic(toLe(0n)))).toBe(0n)
    for (const [a] of pairs('inverse')) {
      if (mod(a) === 0n) continue
      expect(fromLe(scalarMul(scalarInvertPublic(toLe(a)), toLe(a)))).toBe(1n)
    }
  })

  test('one value at or above the order fails a whole vector', () => {
    const scalars = seededBytes('vector')(32 * 20)
    for (let i = 0; i < 20; i++) scalars[32 * i + 31] = 0x7f
    expect(areCanonicalScalars(scalars)).toBe(true)
    for (let i = 0; i < 20; i++) {
      for (const value of OVER) {
        const broken = scalars.slice()
        broken.set(toLe(value), 32 * i)
        expect(areCanonicalScalars(broken)).toBe(false)
      }
    }
    expect(areCanonicalScalars(scalars.subarray(1))).toBe(false)
  })

  test('operands of another length are refused', () => {
    for (const length of [0, 31, 33]) {
      expect(() => scalarAdd(new Uint8Array(length), toLe(1n))).toThrow(RangeError)
      expect(() => scalarMul(toLe(1n), new Uint8Array(length))).toThrow(RangeError)
      expect(() => isZeroScalar(new Uint8Array(length))).toThrow(RangeError)
      expect(isCanonicalScalar(new Uint8Array(length))).toBe(false)
    }
    expect(() => scalarReduceWide(new Uint8Array(32))).toThrow(RangeError)
  })
})

describe('vectors agree with BigInt', () => {
  const next = seededBytes('rows')
  const scalarsOf = (count: number) =>
    Array.from({ length: count }, (_, i) => EDGES[i % 11] ?? mod(fromLe(next(32))))
  const packed = (values: readonly bigint[]) => new Uint8Array(Buffer.concat(values.map((value) => toLe(value))))

  test.each([1, 5, 6, 7, 12, 13, 416, 1000])('inner product of %i terms', (count) => {
    for (const values of [scalarsOf(count), Array.from({ length: count }, () => Q - 1n)]) {
      const factors = count % 2 === 0 ? scalarsOf(count) : Array.from({ length: count }, () => Q - 1n)
      const got = withArena(() => {
        const limbs = reserve(36 * count)
        kernel.to_montgomery_limbs(place(packed(factors)), count, limbs)
        const out = reserve(32)
        kernel.dot(limbs, place(packed(values)), 32, count, out)
        return take(out, 32)
      })
      expect(fromLe(got)).toBe(mod(values.reduce((sum, value, i) => sum + value * (factors[i] ?? 0n), 0n)))
    }
  })

  test('correct, apply, combine and the sum of chosen scalars', () => {
    const [alpha0, alpha1] = [scalarsOf(1248), scalarsOf(1248).toReversed()]
    const input = [Q - 1n, 0n, 12345n]
    const theta = [Q - 1n, mod(fromLe(next(32)))]
    const choices = next(52)
    const beta = (j: number) => BigInt(((choices[j >> 3] ?? 0) >> (j & 7)) & 1)
    const extra = Q - 7n
    const read = (address: number, count: number) =>
      Array.from({ length: count }, (_, k) => fromLe(take(address + 32 * k, 32)))
    withArena(() => {
      const [a0, a1, values] = [place(packed(alpha0)), place(packed(alpha1)), place(packed(input))]
      const [out, bits] = [reserve(39936), place(choices)]
      kernel.rvole_correct(a0, a1, values, 416, out)
      expect(read(out, 1248)).toEqual(alpha0.map((a, k) => mod(a - (alpha1[k] ?? 0n) + (input[k % 3] ?? 0n))))
      kernel.rvole_apply(a0, a1, bits, 416, out)
      expect(read(out, 1248)).toEqual(alpha0.map((a, k) => mod(a + beta(Math.floor(k / 3)) * (alpha1[k] ?? 0n))))
      const limbs = reserve(72)
      kernel.to_montgomery_limbs(place(packed(theta)), 2, limbs)
      kernel.rvole_combine(a0, limbs, place(toLe(extra)), bits, 416, out)
      const row = (j: number, i: number) => alpha0[3 * j + i] ?? 0n
      const combined = Array.from({ length: 416 }, (_, j) =>
        mod(row(j, 2) + (theta[0] ?? 0n) * row(j, 0) + (theta[1] ?? 0n) * row(j, 1) + beta(j) * extra),
      )
      expect(read(out, 416)).toEqual(combined)
      kernel.choice_sum(a0, bits, 416, out)
      expect(read(out, 1)).toEqual([mod(alpha0.slice(0, 416).reduce((sum, a, j) => sum + beta(j) * a, 0n))])
    })
  })

  test('the hash output is reduced by one subtraction', () => {
    const y = next(16)
    const values = [...EDGES, ...OVER].slice(0, 12)
    const blocks = packed(values)
    for (let k = 0; k < blocks.length; k++) blocks[k] = (blocks[k] ?? 0) ^ (y[k % 16] ?? 0)
    withArena(() => {
      const out = reserve(12 * 32)
      const rows = place(new Uint8Array(Buffer.concat([y, y, y, y])))
      kernel.tccr_finish(place(blocks), rows, 4, out)
      expect(Array.from({ length: 12 }, (_, k) => fromLe(take(out + 32 * k, 32)))).toEqual(values.map(mod))
    })
  })

  test('the tweak of the hash is 8j + c', () => {
    const y = next(16 * 416)
    withArena(() => {
      const out = reserve(416 * 96)
      kernel.tccr_expand(place(y), 416, out)
      for (const [j, c] of [[0, 0], [0, 5], [31, 5], [32, 0], [415, 3]] as const) {
        const block = fromLe(take(out + 96 * j + 16 * c, 16))
        expect(block).toBe(fromLe(y.subarray(16 * j, 16 * j + 16)) ^ BigInt(8 * j + c))
      }
    })
  })
})

describe('binary fields and matrices agree with BigInt', () => {
  const next = seededBytes('binary fields')

  test.each([1, 2, 5, 53, 209])('polynomial hash of 128 rows of %i blocks from their columns', (blocks) => {
    const rows = [new Uint8Array(16 * blocks).fill(255), ...Array.from({ length: 127 }, () => next(16 * blocks))]
    for (const chi of [next(16), new Uint8Array(16).fill(255), toLe(1n, 16), toLe(0n, 16), toLe(1n << 127n, 16)]) {
      const [got, expected] = withArena(() => {
        const at = place(new Uint8Array(Buffer.concat(rows)))
        const columns = reserve(128 * blocks * 16)
        kernel.transpose(at, 16 * blocks, columns)
        const [key, out, byRow] = [place(chi), reserve(2048), reserve(2048)]
        kernel.poly_hash_columns(columns, blocks, key, reserve(5312), out)
        kernel.poly_hash_rows(at, blocks, 128, key, byRow)
        return [take(out, 2048), take(byRow, 2048)]
      })
      expect(hexOf(got)).toBe(hexOf(expected))
      expect(fromLe(got.subarray(0, 16))).toBe(polyHash(rows[0] as Uint8Array, fromLe(chi)))
      expect(fromLe(got.subarray(2032))).toBe(polyHash(rows[127] as Uint8Array, fromLe(chi)))
    }
  })

  test.each([1, 2, 5, 53, 209])('polynomial hash of rows of %i blocks', (blocks) => {
    const edges = [new Uint8Array(16 * blocks), new Uint8Array(16 * blocks).fill(255)]
    const rows = [...edges, ...Array.from({ length: 6 }, () => next(16 * blocks))]
    for (const chi of [next(16), new Uint8Array(16).fill(255), toLe(1n, 16), toLe(0n, 16), toLe(1n << 127n, 16)]) {
      const got = withArena(() => {
        const out = reserve(16 * rows.length)
        kernel.poly_hash_rows(place(new Uint8Array(Buffer.concat(rows))), blocks, rows.length, place(chi), out)
        return take(out, 16 * rows.length)
      })
      rows.forEach((row, i) => {
        expect(fromLe(got.subarray(16 * i, 16 * i + 16))).toBe(polyHash(row, fromLe(chi)))
      })
    }
  })

  test('the reference multiplies as X^127·X = X^7 + X^2 + X + 1', () => {
    expect(gfMultiply(1n << 127n, 2n)).toBe(0x87n)
  })

  test.each([80, 848])('transposition of 128 rows of %i bytes', (rowBytes) => {
    const rows = Array.from({ length: 128 }, () => next(rowBytes))
    const got = withArena(() => {
      const out = reserve(128 * rowBytes)
      kernel.transpose(place(new Uint8Array(Buffer.concat(rows))), rowBytes, out)
      return take(out, 128 * rowBytes)
    })
    expect(hexOf(got)).toBe(hexOf(transposeSlow(rows, 8 * rowBytes)))
  })

  test('the check looks at every bit of every row', () => {
    const [hashes, x, delta] = [next(2048), next(16), next(16)]
    const t = hashes.slice()
    for (let i = 0; i < 128; i++) {
      if ((((delta[i >> 3] ?? 0) >> (i & 7)) & 1) === 1) {
        for (let k = 0; k < 16; k++) t[16 * i + k] = (t[16 * i + k] ?? 0) ^ (x[k] ?? 0)
      }
    }
    const check = (that: Uint8Array) =>
      withArena(() => kernel.ote_check(place(hashes), place(that), place(x), place(delta)))
    expect(check(t)).toBe(1)
    for (let bit = 0; bit < 8 * 2048; bit += 37) {
      const broken = t.slice()
      broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(check(broken)).toBe(0)
    }
  })
})

describe('the arena', () => {
  test('nothing stays in kernel memory, after a result and after a throw', () => {
    const secret = seededBytes('secret')(32)
    secret[31] = 1
    scalarMul(secret, secret)
    scalarInvertPublic(secret)
    expect(memory.every((byte) => byte === 0)).toBe(true)
    expect(() =>
      withArena(() => {
        place(secret)
        throw new Error('inside')
      }),
    ).toThrow('inside')
    expect(memory.every((byte) => byte === 0)).toBe(true)
  })

  test('a full arena is refused and leaves it usable', () => {
    expect(() => withArena(() => reserve(memory.length))).toThrow(RangeError)
    expect(fromLe(scalarAdd(toLe(1n), toLe(1n)))).toBe(2n)
  })

  test('wipe overwrites in place', () => {
    const secret = toLe(Q - 1n)
    wipe(secret)
    expect(secret.every((byte) => byte === 0)).toBe(true)
  })
})

describe('the compiled kernel', () => {
  const run = (option: string) =>
    spawnSync(process.execPath, ['scripts/build-kernel.mjs', option], { encoding: 'utf8', maxBuffer: 2 ** 26 })

  test('is what its sources compile to', () => {
    const built = run('--check')
    expect(built.stderr).toBe('')
    expect(built.status).toBe(0)
  })

  test('branches on loop counters alone, selects nothing by value and reads no table', () => {
    const text = run('--text').stdout
    const functions = text.split(/\n \(func \$assembly\//).slice(1)
    const isPublic = (body: string) => /^(edwards|field25519)\//.test(body)
    // The sum of public points is in variable time; nothing that sees a secret runs any of it.
    expect(functions.filter(isPublic).length).toBeGreaterThan(5)
    const guarded = functions.filter((body) => !isPublic(body))
    expect(guarded.length).toBeGreaterThan(25)
    const count = (body: string, word: string) => [...body.matchAll(new RegExp(`^\\s*${word}\\b`, 'gm'))].length
    for (const body of guarded) {
      const name = body.slice(0, body.indexOf(' '))
      expect(body, name).not.toMatch(/call \$assembly\/(edwards|field25519)\//)
      // The number of terms in the last group of an inner product is public.
      const branches = count(body, 'if') + count(body, 'br_if') + count(body, 'br_table')
      expect(branches, name).toBe(count(body, 'loop'))
      expect(count(body, 'select'), name).toBe(name === 'rvole/dot' ? 1 : 0)
    }
    expect(text).not.toMatch(/\((data|import|table|elem) /)
  })
})
