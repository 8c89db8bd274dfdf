/** T39 and T47 over both parties as they run: after a refresh nothing that was copied before, and nothing left, opens. */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { expect, it } from 'vitest'
import { directionSid } from '../../src/engine/dkls23/contexts.ts'
import { decodeFrame, FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { oteMessageBytes, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { fromLe, mod } from '../engine/bigint-reference.ts'
import { openRecording, type Recording } from '../engine/opening-tool.ts'
import { typeOf } from './mutator.ts'
import { oneWallet, slotsOf, whole } from './refresh-scenes.ts'
import type { TwoParties } from './two-parties.ts'

const { P2, P3, P4 } = FRAME_TYPES

/** S's multiplication in a presign session of one slot, as the wire has it. */
const recordSession = async (two: TwoParties, id: Uint8Array): Promise<Recording> => {
  const seen = new Map<number, Uint8Array>()
  const note = <T extends Uint8Array | undefined>(frame: T): T => {
    if (frame !== undefined) seen.set(typeOf(frame), frame.slice())
    return frame
  }
  two.wire.toS = note
  two.wire.toC = note
  await two.c.presign([id])
  whole(two)
  const frameOf = (type: number, role: 1 | 2) => decodeFrame(seen.get(type) ?? new Uint8Array(0), role)
  const { sid } = frameOf(P2, ROLE_S)
  const e = oteMessageBytes(1)
  const extension = frameOf(P3, ROLE_C).body.slice(0, e)
  return { id: directionSid(sid, ROLE_S, ROLE_C), slots: 1, extension, corrections: frameOf(P4, ROLE_S).body.slice() }
}

const materialOf = (two: TwoParties) => {
  const [c, s] = [two.linkC.material, two.linkS.material]
  if (c === undefined || s === undefined) throw new Error('no material')
  return { c, s }
}
const keyOf = (a: bigint, b: bigint): string => secp256k1.Point.BASE.multiply(mod(a + b)).toHex(true)

it('a copy of S from before, and of C from after with all traffic since, give no key', async () => {
  const { two, id } = await oneWallet()
  const publicKey = hexOf(slotsOf(two, id).c.record.publicKey)
  const before = await recordSession(two, id)
  const old = materialOf(two)
  const atT0 = { share: fromLe(slotsOf(two, id).s.record.share), delta: old.s.delta.slice(), seeds: old.c.seedPairs.slice() }
  expect(openRecording(before, 0, atT0.delta, atT0.seeds)?.share).toBe(atT0.share)

  two.clock.advance(6_000)
  expect(await two.c.refreshes.refresh(id)).toMatchObject({ renewed: true })
  const since = await recordSession(two, id)
  const now = materialOf(two)
  const atT1 = fromLe(slotsOf(two, id).c.record.share)
  const opened = [
    openRecording(since, 0, atT0.delta, now.c.seedPairs),
    openRecording(since, 0, atT0.delta, atT0.seeds),
    openRecording(before, 0, atT0.delta, atT0.seeds),
  ]
  expect(opened.map((one) => one?.share)).toEqual([undefined, undefined, atT0.share])
  expect(keyOf(atT0.share, atT1)).not.toBe(publicKey)

  // The tool works: the live Δ opens what was recorded since, and with C's share that is the key.
  const live = openRecording(since, 0, now.s.delta, now.c.seedPairs)
  expect(keyOf(live?.share ?? 1n, atT1)).toBe(publicKey)
  // Nothing is left of the material that met the old share, nor of the old share, on either side.
  const left = [old.c, old.s].flatMap(({ delta, chosenSeeds, seedPairs, hk }) => [delta, chosenSeeds, seedPairs, hk])
  expect(left.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true)
})

it('a share that meets live material while it is refreshed takes that material with it', async () => {
  const { two, id } = await oneWallet()
  // What the peer tool does: no renewal before. S erases what met the old share as soon as C has decided.
  await two.c.presign([id])
  const { s } = materialOf(two)
  const { lEpoch } = two.linkC.record
  const { lastUse } = two.storeC
  Object.assign(two.storeC, { lastUse: async () => 0 })
  expect(await two.c.refreshes.refresh(id)).toEqual({ wEpoch: 1, renewed: false })
  Object.assign(two.storeC, { lastUse })
  expect(s.delta.every((byte) => byte === 0)).toBe(true)
  two.clock.advance(6_000)
  await two.c.presign([id])
  expect(two.linkC.record.lEpoch).toBe(lEpoch + 1)
})
