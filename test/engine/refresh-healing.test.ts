/**
 * T39 and T47: what Δ opens, and why a refresh heals only together with a renewal of the link (docs/protocol.md §12).
 */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, test } from 'vitest'
import { directionSid } from '../../src/engine/dkls23/contexts.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { type LinkMaterial, wipeLinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import { presignSlotOf, type SlotName } from '../../src/engine/dkls23/presign-plan.ts'
import { advancePresignC, advancePresignS, startPresignC, startPresignS } from '../../src/engine/dkls23/presign.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { oteMessageBytes, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { fromLe, mod } from './bigint-reference.ts'
import { hex, LINK, makeMaterial } from './link-fixtures.ts'
import { type Opened, openRecording, type Recording } from './opening-tool.ts'
import { only, refresh, switched, type Wallets, walletsOf } from './refresh-fixtures.ts'
import { seededEntropy } from './seeded-entropy.ts'

type Material = { readonly c: LinkMaterial; readonly s: LinkMaterial }

/** What anybody on the wire of one presign session has, by direction. */
function record(material: Material, wallets: Wallets, seed: string): Record<'fromC' | 'fromS', Recording> {
  const slotOf = (own: LinkMaterial, one: WalletRecord) => {
    const slot = presignSlotOf(LINK, own, one)
    if (slot === undefined) throw new Error('the wallet may not presign')
    return slot
  }
  const slots = wallets.c.map((one) => slotOf(material.c, one))
  const known = wallets.s.map((one) => slotOf(material.s, one))
  const resolve = ({ walletId }: SlotName) => known.find((slot) => hex(slot.walletId) === hex(walletId))
  const c1 = startPresignC({ link: LINK, entropy: seededEntropy(`${seed}/C`), material: material.c, slots })
  const inputsS = { link: LINK, entropy: seededEntropy(`${seed}/S`), material: material.s, resolve }
  const s2 = startPresignS(inputsS, { sid: NO_SID, body: c1.body })
  const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
  const s4 = advancePresignS(s2.state, c3.body)
  const [count, e] = [slots.length, oteMessageBytes(slots.length)]
  const of = (id: Uint8Array, extension: Uint8Array, corrections: Uint8Array) => ({ id, slots: count, extension, corrections })
  return {
    fromC: of(directionSid(s2.sid, ROLE_C, ROLE_S), s2.body.slice(64), c3.body.slice(e)),
    fromS: of(directionSid(s2.sid, ROLE_S, ROLE_C), c3.body.slice(0, e), s4.body.slice()),
  }
}

const copyOf = (material: LinkMaterial) => ({ delta: material.delta.slice(), seeds: material.seedPairs.slice() })
const shareOf = (records: readonly WalletRecord[], slot = 0) => fromLe(only(records, slot).share)
const keyOf = (a: bigint, b: bigint) => hex(secp256k1.Point.BASE.multiply(mod(a + b)).toBytes(true))

describe('T39: the opening test', () => {
  const material = makeMaterial('opening')
  const wallets = walletsOf(1, 2, 'opening')
  const traffic = record(material, wallets, 'opening')

  test('the live Δ of a party and the seeds of the other give key share and nonce of every slot', () => {
    for (const slot of [0, 1]) {
      const fromS = openRecording(traffic.fromS, slot, material.s.delta, material.c.seedPairs)
      const fromC = openRecording(traffic.fromC, slot, material.c.delta, material.s.seedPairs)
      expect([fromS?.share, fromC?.share]).toEqual([shareOf(wallets.s, slot), shareOf(wallets.c, slot)])
      expect(fromS?.nonce).not.toBe(fromC?.nonce)
    }
  })

  test('one wrong bit of Δ, the Δ of another link epoch, or another session open nothing', () => {
    const bent = material.s.delta.slice()
    bent[3] = (bent[3] ?? 0) ^ 4
    const renewed = makeMaterial('opening, renewed')
    const later = record(renewed, wallets, 'later')
    const attempts: (Opened | undefined)[] = [
      openRecording(traffic.fromS, 0, bent, material.c.seedPairs),
      openRecording(traffic.fromS, 0, renewed.s.delta, material.c.seedPairs),
      openRecording(traffic.fromS, 0, material.c.delta, material.c.seedPairs),
      openRecording({ ...traffic.fromS, id: traffic.fromC.id }, 0, material.s.delta, material.c.seedPairs),
      openRecording(later.fromS, 0, material.s.delta, renewed.c.seedPairs),
    ]
    expect(attempts).toEqual(attempts.map(() => undefined))
    expect(openRecording(later.fromS, 0, renewed.s.delta, renewed.c.seedPairs)?.share).toBe(shareOf(wallets.s))
  })

  test('wiped material opens nothing any more', () => {
    wipeLinkMaterial(material.s)
    expect(openRecording(traffic.fromS, 0, material.s.delta, material.c.seedPairs)).toBeUndefined()
  })
})

describe('T47: a mobile adversary, in S at t0 and in C from t1', () => {
  const old = makeMaterial('t0')
  const before = walletsOf(1, 1, 'mobile')
  const { publicKey } = only(before.c)
  /** S's memory: its share and its link material. */
  const atT0 = { share: shareOf(before.s), ...copyOf(old.s) }

  /** Every key that the two copies and the traffic since t1 give. */
  const keysFor = (now: Material, after: Wallets): string[] => {
    const traffic = record(now, after, 'since t1')
    const atT1 = { share: shareOf(after.c), ...copyOf(now.c) }
    const opened = [
      openRecording(traffic.fromS, 0, atT0.delta, atT1.seeds),
      openRecording(traffic.fromS, 0, atT1.delta, atT1.seeds),
      openRecording(traffic.fromC, 0, atT1.delta, atT0.seeds),
      openRecording(traffic.fromC, 0, atT0.delta, atT0.seeds),
    ]
    const shares = [atT0.share, atT1.share, ...opened.flatMap((one) => (one === undefined ? [] : [one.share]))]
    return shares.flatMap((a) => shares.map((b) => keyOf(a, b)))
  }

  test('renewal and then refresh: the key is out of reach', () => {
    const renewed = makeMaterial('t1')
    const after = switched(refresh(before, { healingEpoch: renewed.c.lEpoch }))
    expect(hex(only(after.c).publicKey)).toBe(hex(publicKey))
    expect(keysFor(renewed, after)).not.toContain(hex(publicKey))
  })

  test('negative control: a refresh without a renewal heals nothing', () => {
    expect(keysFor(old, switched(refresh(before)))).toContain(hex(publicKey))
  })

  test('negative control: a renewal without a refresh heals nothing', () => {
    expect(keysFor(makeMaterial('t1'), before)).toContain(hex(publicKey))
  })
})
