import { describe, expect, test } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import {
  abandonLinkSetup,
  advanceLinkC,
  advanceLinkS,
  encodeL5,
  finishLinkC,
  finishLinkS,
  startLinkC,
  startLinkS,
} from '../../src/engine/dkls23/link-setup.ts'
import { readU32, u32 } from '../../src/engine/hash/encoding.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { hex, LINK, setUpLink } from './link-fixtures.ts'
import { type Field, mutationsOf } from './mutations.ts'
import { seededEntropy } from './seeded-entropy.ts'

const P1 = new Uint8Array(86)
const sideC = (lEpoch = 1) => ({ link: LINK, entropy: seededEntropy('C'), lEpoch, reason: 'boot' as const })
const sideS = (ownLEpoch = 0) => ({ link: LINK, entropy: seededEntropy('S'), ownLEpoch })
const points = (name: string): Field[] => [
  { name: `${name} first point`, length: 33 },
  { name: `${name} middle points`, length: 8448 - 66 },
  { name: `${name} last point`, length: 33 },
]

type Tamper = Partial<Record<'L1' | 'L2' | 'L3' | 'L4' | 'L5', (body: Uint8Array) => Uint8Array>>

/** The whole set-up with one message replaced on its way. */
function run(tamper: Tamper = {}) {
  const on = (name: keyof Tamper, body: Uint8Array) => tamper[name]?.(body) ?? body
  const c1 = startLinkC(sideC())
  const s2 = startLinkS(sideS(), { sid: NO_SID, lEpoch: 1, body: on('L1', c1.body) })
  const c3 = advanceLinkC(c1.state, { sid: s2.state.sid, body: on('L2', s2.body) })
  const s4 = advanceLinkS(s2.state, on('L3', c3.body))
  const c5 = finishLinkC(c3.state, on('L4', s4.body))
  const s5 = finishLinkS(s4.state, on('L5', encodeL5(c5.confC, P1)))
  return { c: c5.material, s: s5.material, p1: s5.p1 }
}

function block(bytes: Uint8Array, n: number): string {
  return hex(bytes.subarray(16 * n, 16 * n + 16))
}

describe('link set-up', () => {
  test('leaves both directions correlated under one lctx', () => {
    const { c, s, p1 } = run()
    expect(hex(c.lctx)).toBe(hex(s.lctx))
    expect(p1.length).toBe(86)
    for (const [sender, receiver] of [[c, s], [s, c]] as const) {
      for (let i = 0; i < 128; i++) {
        const bit = ((sender.delta[i >> 3] ?? 0) >> (i & 7)) & 1
        expect(block(sender.chosenSeeds, i)).toBe(block(receiver.seedPairs, 128 * bit + i))
        expect(block(sender.chosenSeeds, i)).not.toBe(block(receiver.seedPairs, 128 * (1 - bit) + i))
      }
    }
    expect(hex(c.delta)).not.toBe(hex(s.delta))
  })

  test('another set-up with other randomness gives unrelated material', () => {
    const [a, b] = [setUpLink('one'), setUpLink('two')]
    expect(hex(a.material.lctx)).not.toBe(hex(b.material.lctx))
    expect(hex(a.material.delta)).not.toBe(hex(b.material.delta))
  })

  test('messages have exactly the lengths of the layouts', () => {
    const lengths: number[] = []
    const note = (body: Uint8Array) => {
      lengths.push(body.length)
      return body
    }
    run({ L1: note, L2: note, L3: note, L4: note, L5: note })
    expect(lengths).toEqual([37, 8480, 16_896, 8480, 118])
  })

  const layouts: readonly (readonly [keyof Tamper, readonly Field[]])[] = [
    ['L1', [{ name: 'N_C', length: 32 }, { name: 'lEpoch', length: 4 }, { name: 'reason', length: 1 }]],
    ['L2', [{ name: 'N_S', length: 32 }, ...points('P')]],
    ['L3', [...points('P'), ...points('Y')]],
    ['L4', [...points('Y'), { name: 'conf_S', length: 32 }]],
    ['L5', [{ name: 'conf_C', length: 32 }]],
  ]
  test.each(layouts)('no damage to %s completes a set-up', (name, fields) => {
    const bodies: Uint8Array[] = []
    run({
      [name]: (body: Uint8Array) => {
        bodies.push(body)
        return body
      },
    })
    const [body] = bodies as [Uint8Array]
    // What follows conf_C in L5 is P1 of the self-test, which the presign session judges.
    const rest = name === 'L5' ? [{ name: 'P1', length: 86 }] : []
    for (const mutation of mutationsOf(body, [...fields, ...rest])) {
      if (mutation.name.startsWith('P1') || mutation.name.startsWith('reason: ')) continue
      const fault = faultOf(() => run({ [name]: () => mutation.body }))
      expect(['A', 'C'], `${name} ${mutation.name}`).toContain(fault.faultClass)
      if (mutation.body.length !== body.length) expect(fault.consequence).toBe('strike')
    }
  }, 120_000)

  test('refuses a reason outside 1..6 and a body epoch that differs from the header', () => {
    for (const reason of [0, 7, 255]) {
      const L1 = (body: Uint8Array) => Uint8Array.from([...body.slice(0, 36), reason])
      expectFault(() => run({ L1 }), { faultClass: 'C' })
    }
    const L1 = (body: Uint8Array) => Uint8Array.from([...body.slice(0, 32), ...u32(2), 1])
    expectFault(() => run({ L1 }), { faultClass: 'C' })
  })

  test('accepts own < lEpoch ≤ own + 1 024 and names its own epoch otherwise', () => {
    const accept = (own: number, lEpoch: number) =>
      startLinkS(sideS(own), { sid: NO_SID, lEpoch, body: startLinkC(sideC(lEpoch)).body })
    for (const [own, proposed] of [[5, 6], [5, 1029]] as const) expect(accept(own, proposed).reason).toBe('boot')
    for (const [own, proposed] of [[5, 5], [5, 4], [5, 1030], [0, 2 ** 32 - 1]] as const) {
      const fault = faultOf(() => accept(own, proposed))
      expect([fault.faultClass, fault.codeName, fault.consequence]).toEqual(['A', 'epoch_rejected', 'none'])
      expect(readU32(fault.detail, 0)).toBe(own)
    }
  })

  test('refuses a first message with a sid', () => {
    const { body } = startLinkC(sideC())
    const sid = new Uint8Array(32).fill(1)
    expectFault(() => startLinkS(sideS(), { sid, lEpoch: 1, body }), { faultClass: 'C' })
  })

  test('a header sid other than the recomputed one is benign, and so is another link', () => {
    const c1 = startLinkC(sideC())
    const s2 = startLinkS(sideS(), { sid: NO_SID, lEpoch: 1, body: c1.body })
    expectFault(() => advanceLinkC(c1.state, { sid: NO_SID, body: s2.body }), { faultClass: 'A', code: 'session' })
    const other = { ...sideS(), link: makeLinkParties(LINK.idC, LINK.idS, 1, 2) }
    const c = startLinkC(sideC())
    const s = startLinkS(other, { sid: NO_SID, lEpoch: 1, body: c.body })
    const message = { sid: s.state.sid, body: s.body }
    expectFault(() => advanceLinkC(c.state, message), { faultClass: 'A', code: 'session' })
  })

  test('S refuses its own base-OT points as the step 1 of C', () => {
    let own = new Uint8Array(0)
    const L2 = (body: Uint8Array) => {
      own = body.slice(32)
      return body
    }
    const L3 = (body: Uint8Array) => Uint8Array.from([...own, ...body.slice(8448)])
    expectFault(() => run({ L2, L3 }), { faultClass: 'C' })
  })

  test('conf of the other role is refused', () => {
    let confS = new Uint8Array(0)
    const L4 = (body: Uint8Array) => {
      confS = body.slice(8448)
      return body
    }
    const L5 = (body: Uint8Array) => Uint8Array.from([...confS, ...body.slice(32)])
    expectFault(() => run({ L4, L5 }), { faultClass: 'C' })
  })

  test('a state answers once and is wiped when it fails or is abandoned', () => {
    const c1 = startLinkC(sideC())
    const s2 = startLinkS(sideS(), { sid: NO_SID, lEpoch: 1, body: c1.body })
    const message = { sid: s2.state.sid, body: s2.body }
    const c3 = advanceLinkC(c1.state, message)
    expectFault(() => advanceLinkC(c1.state, message), { faultClass: 'A', code: 'session' })
    expectFault(() => advanceLinkS(s2.state, new Uint8Array(3)), { faultClass: 'C' })
    expect(hex(s2.state.receiver.choices)).toBe('00'.repeat(16))
    abandonLinkSetup(c3.state)
    expect(hex(c3.state.receiver.choices)).toBe('00'.repeat(16))
    expect(c3.state.seedPairs.every((byte) => byte === 0)).toBe(true)
    expectFault(() => finishLinkC(c3.state, new Uint8Array(8480)), { faultClass: 'A', code: 'session' })
  })

  test('a party is not on a link with itself, and the shard is one of those configured', () => {
    expectFault(() => makeLinkParties(LINK.idC, LINK.idC, 0), { faultClass: 'A' })
    expectFault(() => makeLinkParties(LINK.idC, LINK.idS, 1), { faultClass: 'A' })
  })
})
