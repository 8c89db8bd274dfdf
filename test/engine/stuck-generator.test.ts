/**
 * T53: one side's generator and clock replay their stream, as after a resumed snapshot, while the peer is fresh.
 * What was committed before the peer spoke repeats, and must be all that does.
 */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { advanceDkgC, startDkgC, startDkgS } from '../../src/engine/dkls23/dkg.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { advanceLinkC, advanceLinkS, startLinkC, startLinkS } from '../../src/engine/dkls23/link-setup.ts'
import { presignSlotOf } from '../../src/engine/dkls23/presign-plan.ts'
import { advancePresignC, advancePresignS, startPresignC, startPresignS } from '../../src/engine/dkls23/presign.ts'
import { type Entropy, OperationGenerator } from '../../src/engine/dkls23/operation-generator.ts'
import { answerRefreshS, finishRefreshS, openRefreshC, startRefreshC } from '../../src/engine/dkls23/refresh.ts'
import { oteMessageBytes, RVOLE_SLOT_BYTES } from '../../src/engine/dkls23/suite.ts'
import { activate, dkgInputs, hex, LINK, makeMaterial, makeWallets } from './link-fixtures.ts'
import { fromLe } from './bigint-reference.ts'
import { CURVES, only, refreshInputs, walletsOf } from './refresh-fixtures.ts'
import { curveOf, ReferenceRefresh } from './refresh-reference.ts'
import { seededEntropy } from './seeded-entropy.ts'

/** The same answer to every call. */
const STUCK: Entropy = {
  osRandom64: () => new Uint8Array(64).fill(7),
  nonce32: () => new Uint8Array(32).fill(8),
  clock: () => ({ wallNs: 1n, monotonicNs: 2n }),
}
const pieces = (bytes: Uint8Array, width: number) =>
  Array.from({ length: Math.floor(bytes.length / width) }, (_, n) =>
    hex(bytes.subarray(n * width, n * width + width)),
  )

function shared(a: readonly string[], b: readonly string[]): number {
  const seen = new Set(a)
  return b.filter((piece) => seen.has(piece)).length
}

describe('a stuck generator on one side', () => {
  test('link set-up of C: no point of L3 repeats', () => {
    const l3 = ['one', 'two'].map((seed) => {
      const c1 = startLinkC({ link: LINK, entropy: STUCK, lEpoch: 1, reason: 'boot' })
      const inputsS = { link: LINK, entropy: seededEntropy(seed), ownLEpoch: 0 }
      const s2 = startLinkS(inputsS, { sid: NO_SID, lEpoch: 1, body: c1.body })
      return pieces(advanceLinkC(c1.state, { sid: s2.state.sid, body: s2.body }).body, 33)
    }) as [string[], string[]]
    expect([l3[0].length, shared(...l3)]).toEqual([512, 0])
  })

  test('link set-up of S: no point of L2 or L4 repeats', () => {
    const sent = ['one', 'two'].map((seed) => {
      const c1 = startLinkC({ link: LINK, entropy: seededEntropy(seed), lEpoch: 1, reason: 'boot' })
      const inputsS = { link: LINK, entropy: STUCK, ownLEpoch: 0 }
      const s2 = startLinkS(inputsS, { sid: NO_SID, lEpoch: 1, body: c1.body })
      const c3 = advanceLinkC(c1.state, { sid: s2.state.sid, body: s2.body })
      const s4 = advanceLinkS(s2.state, c3.body)
      return [...pieces(s2.body.subarray(32), 33), ...pieces(s4.body.subarray(0, 8448), 33)]
    }) as [string[], string[]]
    expect([sent[0].length, shared(...sent)]).toEqual([512, 0])
  })

  test('key generation: X repeats at C, which fixed it first; A and z do not, and S repeats nothing', () => {
    const runs = ['one', 'two'].map((seed) => {
      const c1 = startDkgC({ ...dkgInputs('C'), entropy: STUCK }, 1)
      const s2 = startDkgS(dkgInputs(seed), { sid: NO_SID, body: c1.body })
      const c3 = advanceDkgC(c1.state, { sid: s2.state.sid, body: s2.body })
      const other = startDkgC(dkgInputs(seed), 1)
      const stuckS = startDkgS({ ...dkgInputs('S'), entropy: STUCK }, { sid: NO_SID, body: other.body })
      return { w3: c3.body, w2: stuckS.body }
    })
    const [a, b] = runs as [(typeof runs)[number], (typeof runs)[number]]
    const fields = [['X', 33], ['cc', 32], ['A', 33], ['z', 32]] as const
    expect(repeated(fields, a.w2.subarray(32), b.w2.subarray(32))).toEqual([])
    const opened = [['X', 33], ['cc', 32], ['salt', 32], ['A', 33], ['z', 32], ['conf', 32]] as const
    expect(repeated(opened, a.w3, b.w3)).toEqual(['X', 'cc', 'salt'])
  })

  test('presign session: R repeats at C, which fixed it first; nothing else does, and S repeats nothing', () => {
    const material = makeMaterial('stuck')
    const made = makeWallets(1, 'stuck')
    const [slotC] = activate(made.c).map((record) => presignSlotOf(LINK, material.c, record))
    const [slotS] = activate(made.s).map((record) => presignSlotOf(LINK, material.s, record))
    if (slotC === undefined || slotS === undefined) throw new Error('no slot')
    const session = (entropyC: Entropy, entropyS: Entropy) => {
      const c1 = startPresignC({ link: LINK, material: material.c, entropy: entropyC, slots: [slotC] })
      const inputsS = { link: LINK, material: material.s, entropy: entropyS, resolve: () => slotS }
      const s2 = startPresignS(inputsS, { sid: NO_SID, body: c1.body })
      const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
      return { p2: s2.body, p3: c3.body, p4: advancePresignS(s2.state, c3.body).body }
    }
    const half = (seed: string) => session(STUCK, seededEntropy(seed)).p3.subarray(oteMessageBytes(1))
    const [s1, s2] = [session(seededEntropy('c'), STUCK), session(seededEntropy('d'), STUCK)]
    expect(repeated(HALF, half('a'), half('b'))).toEqual(['R', 'salt'])
    expect(repeated(HALF, s1.p4, s2.p4)).toEqual([])
    expect(shared(pieces(s1.p2.subarray(64), 16), pieces(s2.p2.subarray(64), 16))).toBe(0)
  })
})

describe.each(CURVES)('a stuck generator in a refresh on %s', (name, alg, pointBytes) => {
  const wallets = walletsOf(alg, 1, `stuck ${name}`)
  const opened: Fields = [['seed', 32], ['E', pointBytes], ['salt', 32], ['A', pointBytes], ['z', 32], ['conf', 32]]
  afterEach(() => vi.restoreAllMocks())

  /** C stuck, against S from the text with other randomness. */
  const stuckC = (seed: string) => {
    const s = new ReferenceRefresh(LINK, 2, wallets.s, seed)
    const c1 = startRefreshC({ link: LINK, entropy: STUCK }, wallets.c)
    const f2 = s.f2(c1.body)
    const f3 = openRefreshC(c1.state, { sid: s.sid, body: f2 }).body
    s.f4(f3)
    const rho = fromLe(only(wallets.s).share) - only(s.shares)
    const z = fromLe(f3.slice(-64, -32))
    return { f3, e: s.challengeOfF3(0, f3), rho, z }
  }

  test('C repeats what it had committed to, and nothing else; S repeats nothing', () => {
    const [a, b] = [stuckC('one'), stuckC('two')]
    expect(repeated(opened, a.f3, b.f3)).toEqual(['seed', 'E', 'salt'])
    const [s, t] = ['one', 'two'].map((seed) => {
      const c1 = startRefreshC(refreshInputs(seed), wallets.c)
      const s2 = answerRefreshS({ link: LINK, entropy: STUCK }, { sid: NO_SID, body: c1.body }, wallets.s)
      const c3 = openRefreshC(c1.state, { sid: s2.sid, body: s2.body })
      return { f2: s2.body.subarray(32), f4: finishRefreshS(s2.state, c3.body).body }
    }) as [Record<'f2' | 'f4', Uint8Array>, Record<'f2' | 'f4', Uint8Array>]
    expect(repeated([['seed', 32], ['E', pointBytes]], s.f2, t.f2)).toEqual([])
    expect(repeated([['A', pointBytes], ['z', 32], ['conf', 32]], s.f4, t.f4)).toEqual([])
  })

  test('S woken twice from one snapshot after F2 answers two proofs of C with two nonces', () => {
    const c = () => new ReferenceRefresh(LINK, 1, wallets.c, 'one opening')
    const answers = ['one nonce', 'another'].map((nonceSeed) => {
      const asC = c()
      const s2 = answerRefreshS({ link: LINK, entropy: STUCK }, { sid: NO_SID, body: asC.f1() }, wallets.s)
      return finishRefreshS(s2.state, asC.f3(s2.body, nonceSeed)).body
    }) as [Uint8Array, Uint8Array]
    expect(repeated([['A', pointBytes], ['z', 32], ['conf', 32]], ...answers)).toEqual([])
  })

  test('negative control: without the mix A repeats, and two proofs give S the share of C', () => {
    const { order } = curveOf(alg)
    const reduce = (value: bigint) => ((value % order) + order) % order
    const inverse = (value: bigint) => power(reduce(value), order - 2n, order)
    // z = a + e·(x + ρ), twice with one a: S knows both ρ.
    const solve = (a: ReturnType<typeof stuckC>, b: ReturnType<typeof stuckC>) =>
      reduce((a.z - b.z - a.e * a.rho + b.e * b.rho) * inverse(a.e - b.e))
    const share = fromLe(only(wallets.c).share)
    expect(solve(stuckC('one'), stuckC('two'))).not.toBe(share)
    vi.spyOn(OperationGenerator.prototype, 'mix').mockImplementation(() => {})
    const [a, b] = [stuckC('one'), stuckC('two')]
    expect(repeated(opened, a.f3, b.f3)).toEqual(['seed', 'E', 'salt', 'A'])
    expect(solve(a, b)).toBe(share)
  })
})

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let [result, square] = [1n, base]
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % modulus
    square = (square * square) % modulus
  }
  return result
}

type Fields = readonly (readonly [name: string, width: number])[]

/** A half with one slot. */
const HALF: Fields = [
  ['Ã', RVOLE_SLOT_BYTES - 64],
  ['η', 32],
  ['mh', 32],
  ['R', 33],
  ['salt', 32],
  ['Γu', 33],
  ['Γv', 33],
  ['ψ', 32],
]

/** The fields that are the same in two messages. */
function repeated(fields: Fields, a: Uint8Array, b: Uint8Array): string[] {
  let at = 0
  return fields.flatMap(([name, width]) => {
    const same = hex(a.subarray(at, at + width)) === hex(b.subarray(at, at + width))
    at += width
    return same ? [name] : []
  })
}
