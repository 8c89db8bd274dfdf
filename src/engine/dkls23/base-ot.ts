/**
 * Endemic OT (Masny–Rindal, ePrint 2019/706; docs/protocol.md §4.1): 128 instances per direction. The receiver's
 * choice bits are its Δ for the life of the link, so everything it sends must be independent of them: both points
 * of an instance have the same distribution, prefix byte included, and both branches are computed whatever the
 * bit.
 *
 * `id` is always the direction's sid, sid_ab with a = base-OT receiver (the later RVOLE sender) and b = sender.
 */
import {
  addPoints,
  addPointsUncompressed,
  mulBase,
  mulBaseUncompressed,
  mulSecret,
  negatePointUncompressed,
  parsePoint,
} from '../curve/secp256k1.ts'
import { secretBytes, u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import { degenerate, violation } from './fault.ts'
import { assertBodyLength } from './frame.ts'
import { hashToGroupUncompressed } from './hash-to-group.ts'
import type { OperationGenerator } from './operation-generator.ts'
import { BASE_OT_BYTES, BLOCK_BYTES, LAMBDA_C, POINT_BYTES, SCALAR_BYTES } from './suite.ts'

/** The receiver between its message and the sender's answer. Secret; wiped by `finishBaseOtReceiver`. */
export type BaseOtReceiver = {
  readonly id: Uint8Array
  /** 16 bytes: Δ. */
  readonly choices: Uint8Array
  /** t_0‖…‖t_127. */
  readonly blinds: Uint8Array
  /** P_{0,0}‖P_{0,1}‖…, as sent. */
  readonly points: Uint8Array
}

/**
 * Step 1. Draws Δ, then t_i and s_i for each i, so it is called only once the sid is complete and mixed in.
 * @returns the state and the 8 448 bytes to send (also `state.points`).
 */
export function startBaseOtReceiver(id: Uint8Array, generator: OperationGenerator): BaseOtReceiver {
  const choices = generator.bytes(BLOCK_BYTES)
  // t_0, s_0, t_1, s_1, …
  const drawn = generator.scalars(2 * LAMBDA_C, 'non-zero')
  const blinds = secretBytes(LAMBDA_C * SCALAR_BYTES)
  const points = new Uint8Array(BASE_OT_BYTES)
  try {
    for (let i = 0; i < LAMBDA_C; i++) {
      const t = slice(drawn, 2 * i, SCALAR_BYTES)
      points.set(makePair(id, i, bitOf(choices, i), t, slice(drawn, 2 * i + 1, SCALAR_BYTES)), i * 2 * POINT_BYTES)
      blinds.set(t, i * SCALAR_BYTES)
    }
  } catch (error) {
    choices.fill(0)
    blinds.fill(0)
    throw error
  } finally {
    drawn.fill(0)
  }
  return { id, choices, blinds, points }
}

/**
 * Step 2, the sender. Validates every point, then answers with fresh y per instance and branch.
 * @param ownPoints the points of an own step 1 on this link, which the peer may not repeat; empty when there is
 *   none.
 * @returns Y_{0,0}‖Y_{0,1}‖…, 8 448 bytes, and the seeds k0_0‖…‖k0_127‖k1_0‖…‖k1_127 (secret).
 * @throws ProtocolFault class C: length, point, repeated own point, or M_v the identity.
 */
export function answerBaseOt(
  id: Uint8Array,
  points: Uint8Array,
  ownPoints: Uint8Array,
  generator: OperationGenerator,
): { readonly answer: Uint8Array; readonly seedPairs: Uint8Array } {
  const parsed = parseBasePoints(points)
  assertNoOwnPoint(points, ownPoints)
  const answer = new Uint8Array(BASE_OT_BYTES)
  const seedPairs = new Uint8Array(2 * LAMBDA_C * BLOCK_BYTES)
  // y_{0,0}, y_{0,1}, y_{1,0}, …
  const drawn = generator.scalars(2 * LAMBDA_C, 'non-zero')
  try {
    for (let i = 0; i < LAMBDA_C; i++) {
      const pair = [pointAt(points, i, 0), pointAt(points, i, 1)] as const
      const full = [at(parsed, 2 * i), at(parsed, 2 * i + 1)] as const
      for (const branch of [0, 1] as const) {
        const { point, key } = answerBranch(id, i, branch, pair, full[branch], slice(drawn, 2 * i + branch, SCALAR_BYTES))
        answer.set(point, (2 * i + branch) * POINT_BYTES)
        seedPairs.set(key, (branch * LAMBDA_C + i) * BLOCK_BYTES)
        key.fill(0)
      }
    }
  } catch (error) {
    seedPairs.fill(0)
    throw error
  } finally {
    drawn.fill(0)
  }
  return { answer, seedPairs }
}

/**
 * Step 3, the receiver. Validates both Y of every instance, selects by mask, derives the chosen seeds.
 * @returns k_0‖…‖k_127, 2 048 bytes (secret). The choices stay in the state: they are Δ. The blinds are wiped.
 * @throws ProtocolFault class C: length or point, on the unchosen branch as well.
 */
export function finishBaseOtReceiver(state: BaseOtReceiver, answer: Uint8Array): Uint8Array {
  const seeds = new Uint8Array(LAMBDA_C * BLOCK_BYTES)
  try {
    const parsed = parseBasePoints(answer)
    for (let i = 0; i < LAMBDA_C; i++) {
      const key = chosenKey(state, i, answer, [at(parsed, 2 * i), at(parsed, 2 * i + 1)])
      seeds.set(key, i * BLOCK_BYTES)
      key.fill(0)
    }
  } catch (error) {
    seeds.fill(0)
    throw error
  } finally {
    state.blinds.fill(0)
  }
  return seeds
}

/** Overwrites an unfinished receiver, Δ included. */
export function wipeBaseOtReceiver(state: BaseOtReceiver): void {
  state.choices.fill(0)
  state.blinds.fill(0)
}

/** 256 points of 65 bytes each. @throws ProtocolFault class C unless all are valid. */
function parseBasePoints(points: Uint8Array): readonly Uint8Array[] {
  assertBodyLength(points, BASE_OT_BYTES)
  return Array.from({ length: 2 * LAMBDA_C }, (_, n) => {
    const point = parsePoint(slice(points, n, POINT_BYTES))
    if (point === undefined) throw violation('point')
    return point
  })
}

/** A step 1 that repeats a point of this party is a reflection. @throws ProtocolFault class C. */
function assertNoOwnPoint(points: Uint8Array, ownPoints: Uint8Array): void {
  const own = new Set<string>()
  for (let at = 0; at < ownPoints.length; at += POINT_BYTES) own.add(publicKeyOf(ownPoints, at))
  for (let at = 0; at < points.length; at += POINT_BYTES) {
    if (own.has(publicKeyOf(points, at))) throw violation('base OT repeats a point of this party')
  }
}

/** P_{i,1−b} = s·G and P_{i,b} = t·G − HG(id; i, b, P_{i,1−b}), in branch order. */
function makePair(id: Uint8Array, index: number, choice: number, t: Uint8Array, s: Uint8Array): Uint8Array {
  const free = mulBase(s)
  const chosen = chosenPoint(t, hashToGroupUncompressed(id, index, choice, free))
  if (chosen === undefined) throw degenerate('base OT point is the identity')
  // The other branch's oracle is evaluated too, so that the work depends on the transcript only.
  hashToGroupUncompressed(id, index, 1 - choice, chosen)
  return inBranchOrder(choice, chosen, free)
}

/** t·G − mask. Either term, next to the points that are sent, names the choice bit: both are overwritten. */
function chosenPoint(t: Uint8Array, mask: Uint8Array): Uint8Array | undefined {
  const blinded = mulBaseUncompressed(t)
  const minus = negatePointUncompressed(mask)
  try {
    return addPoints([blinded, minus])
  } finally {
    blinded.fill(0)
    minus.fill(0)
  }
}

function answerBranch(
  id: Uint8Array,
  index: number,
  branch: 0 | 1,
  pair: readonly [Uint8Array, Uint8Array],
  own: Uint8Array,
  y: Uint8Array,
): { readonly point: Uint8Array; readonly key: Uint8Array } {
  const other = branch === 0 ? pair[1] : pair[0]
  const target = addPointsUncompressed([own, hashToGroupUncompressed(id, index, branch, other)])
  if (target === undefined) throw violation('base OT target is the identity')
  let shared: Uint8Array | undefined
  try {
    const point = mulBase(y)
    shared = mulSecret(y, target)
    return { point, key: deriveKey(id, index, branch, pair[0], pair[1], point, shared) }
  } finally {
    shared?.fill(0)
  }
}

function chosenKey(
  state: BaseOtReceiver,
  index: number,
  answer: Uint8Array,
  parsed: readonly [Uint8Array, Uint8Array],
): Uint8Array {
  const choice = bitOf(state.choices, index)
  const own = select(choice, pointAt(answer, index, 0), pointAt(answer, index, 1))
  const full = select(choice, parsed[0], parsed[1])
  let shared: Uint8Array | undefined
  try {
    shared = mulSecret(slice(state.blinds, index, SCALAR_BYTES), full)
    const points = state.points
    return deriveKey(state.id, index, choice, pointAt(points, index, 0), pointAt(points, index, 1), own, shared)
  } finally {
    // A copy of the chosen Y names the choice bit.
    own.fill(0)
    full.fill(0)
    shared?.fill(0)
  }
}

function deriveKey(
  id: Uint8Array,
  index: number,
  branch: number,
  p0: Uint8Array,
  p1: Uint8Array,
  answer: Uint8Array,
  shared: Uint8Array,
): Uint8Array {
  return taggedHash('eot/key', id, u8(index), u8(branch), p0, p1, answer, shared).subarray(0, BLOCK_BYTES)
}

/** chosen goes to position `choice`, free to the other; by mask, without a branch on the bit. */
function inBranchOrder(choice: number, chosen: Uint8Array, free: Uint8Array): Uint8Array {
  const pair = new Uint8Array(2 * POINT_BYTES)
  pair.set(select(choice, chosen, free), 0)
  pair.set(select(choice, free, chosen), POINT_BYTES)
  return pair
}

/** zero when bit = 0, one when bit = 1; by mask. */
function select(bit: number, zero: Uint8Array, one: Uint8Array): Uint8Array {
  const mask = -bit & 0xff
  const out = secretBytes(zero.length)
  for (let i = 0; i < out.length; i++) {
    const a = zero[i] ?? 0
    out[i] = a ^ (mask & (a ^ (one[i] ?? 0)))
  }
  return out
}

/** Bit j of a byte string: bit (j mod 8), least significant first, of byte ⌊j/8⌋. */
function bitOf(bytes: Uint8Array, index: number): number {
  return ((bytes[index >> 3] ?? 0) >> (index & 7)) & 1
}

function pointAt(points: Uint8Array, index: number, branch: number): Uint8Array {
  return slice(points, 2 * index + branch, POINT_BYTES)
}

function slice(bytes: Uint8Array, index: number, width: number): Uint8Array {
  return bytes.subarray(index * width, (index + 1) * width)
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new RangeError('instance out of range')
  return item
}

function publicKeyOf(points: Uint8Array, at: number): string {
  return Buffer.from(points.buffer, points.byteOffset + at, POINT_BYTES).toString('latin1')
}
