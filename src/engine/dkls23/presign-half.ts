/**
 * What both parties do alike in a presign session (docs/protocol.md §9.2, §9.3): draw nonces, send one
 * multiplication per slot with its openings, and check the peer's. The tails of P3 and P4 have one layout, here
 * called a half:
 *   B×(Ã ‖ η ‖ mh) ‖ R[0..B) ‖ (Z in a self-test) ‖ salt ‖ Γ^u[0..B) ‖ Γ^v[0..B) ‖ ψ[0..B)
 */
import { timingSafeEqual } from 'node:crypto'
import {
  addPointsUncompressed,
  compressPoint,
  mulBase,
  mulBaseUncompressed,
  mulSecretUncompressed,
  parsePoint,
  pointX,
} from '../curve/secp256k1.ts'
import { concatBytes, equalBytes, secretBytes } from '../hash/encoding.ts'
import { commitment } from '../hash/tagged-hash.ts'
import {
  areCanonicalScalars,
  isZeroScalar,
  scalarAdd,
  scalarMul,
  scalarReduceBe32,
  scalarSub,
} from '../kernel/scalar.ts'
import { degenerate, violation } from './fault.ts'
import type { OperationGenerator } from './operation-generator.ts'
import { SLOT_CHOICE_BYTES, SLOT_ROW_BYTES } from './ot-extension.ts'
import { isRvoleMessageCanonical, rvoleFactor, rvoleReceive, rvoleSend } from './rvole.ts'
import { oteRowBytes, POINT_BYTES, type Role, RVOLE_SLOT_BYTES, SALT_BYTES, SCALAR_BYTES } from './suite.ts'
import { BodyReader } from './wire.ts'

/** The secrets of one party in one session, B slots each, 32-byte scalars side by side. */
export type HalfSecrets = {
  /** x_{w(b)}; z in a self-test. */
  readonly shares: Uint8Array
  /** r_b. */
  readonly nonces: Uint8Array
  readonly salt: Uint8Array
  /** x of the OT extension: β_b and then padding and mask. Empty until drawn. */
  choices: Uint8Array
  /** t_j of the direction in which this party receives. */
  rows: Uint8Array
  /** χ_b. */
  factors: Uint8Array
  /** φ_b. */
  blinds: Uint8Array
  /** c^u_b, c^v_b. */
  products: Uint8Array
}

/** The commitment's v of one party: R[0..B), and Z in a self-test. */
export type Opening = { readonly points: Uint8Array; readonly nullPoint: Uint8Array }

/** The own one, with R[0..B) also in 65 bytes each. */
export type OwnOpening = Opening & { readonly noncePoints: readonly Uint8Array[] }

/** The peer's half, decoded and found well-formed. Points are 65 bytes. */
export type PeerHalf = {
  readonly messages: Uint8Array
  readonly noncePoints: readonly Uint8Array[]
  readonly nullPoint: Uint8Array | undefined
  readonly gammaU: readonly Uint8Array[]
  readonly gammaV: readonly Uint8Array[]
  readonly psi: Uint8Array
}

/** d^u, d^v of every slot. Secret. */
export type Verdict = { readonly accepted: boolean; readonly received: Uint8Array }

export function halfBytes(slots: number, selfTest: boolean): number {
  const perSlot = RVOLE_SLOT_BYTES + 3 * POINT_BYTES + SCALAR_BYTES
  return perSlot * slots + SALT_BYTES + (selfTest ? POINT_BYTES : 0)
}

/**
 * Draws what goes into the nonce commitment. `shares` is taken over; in a self-test it is empty and z is drawn.
 */
export function openHalf(
  generator: OperationGenerator,
  slots: number,
  shares: Uint8Array | 'self-test',
): { readonly secrets: HalfSecrets; readonly opening: OwnOpening } {
  const selfTest = shares === 'self-test'
  const own = selfTest ? generator.nonZeroScalar() : shares
  const salt = generator.bytes(SALT_BYTES)
  const nonces = generator.scalars(slots, 'non-zero')
  const noncePoints = eachScalar(nonces).map((nonce) => mulBaseUncompressed(nonce))
  const points = concatBytes(...noncePoints.map((point) => compressPoint(point)))
  const empty = new Uint8Array(0)
  const undrawn = { choices: empty, rows: empty, factors: empty, blinds: empty, products: empty }
  return {
    secrets: { shares: own, nonces, salt, ...undrawn },
    opening: { points, noncePoints, nullPoint: selfTest ? mulBase(own) : empty },
  }
}

export function commitHalf(role: Role, context: Uint8Array, opening: Opening, salt: Uint8Array): Uint8Array {
  return commitment('R', role, context, concatBytes(opening.points, opening.nullPoint), salt)
}

/** Draws x, one draw of L'/8 bytes, and with it fixes β and χ of every slot. */
export function drawChoices(secrets: HalfSecrets, generator: OperationGenerator, slots: number): void {
  secrets.choices = generator.bytes(oteRowBytes(slots))
  secrets.factors = secretBytes(slots * SCALAR_BYTES)
  for (let b = 0; b < slots; b++) {
    const factor = rvoleFactor(slotOf(secrets.choices, b, SLOT_CHOICE_BYTES))
    secrets.factors.set(factor, b * SCALAR_BYTES)
    factor.fill(0)
  }
}

/**
 * Multiplies as RVOLE sender in every slot and writes the half. Draws η̂ and φ now, after everything received.
 * @param id sid_ab of the direction in which this party sends. @param rows q_j of all slots.
 */
export function sendHalf(
  secrets: HalfSecrets,
  generator: OperationGenerator,
  opening: Opening,
  sender: { readonly id: Uint8Array; readonly delta: Uint8Array; readonly rows: Uint8Array },
  out: Uint8Array,
): void {
  const slots = secrets.nonces.length / SCALAR_BYTES
  const etas = generator.scalars(slots, 'any')
  secrets.blinds = generator.scalars(slots, 'non-zero')
  secrets.products = secretBytes(2 * slots * SCALAR_BYTES)
  const tail = RVOLE_SLOT_BYTES * slots
  for (let b = 0; b < slots; b++) {
    const input = [slotScalar(secrets.nonces, b), slotScalar(secrets.shares, b), slotScalar(etas, b)] as const
    const rows = slotOf(sender.rows, b, SLOT_ROW_BYTES)
    const { c } = rvoleSend(sender.id, b, sender.delta, rows, input, slotOf(out, b, RVOLE_SLOT_BYTES))
    c.forEach((product, i) => secrets.products.set(product, (2 * b + i) * SCALAR_BYTES))
    c.forEach((product) => product.fill(0))
  }
  etas.fill(0)
  const products = eachScalar(secrets.products)
  const gammas = (i: number) => products.filter((_, k) => k % 2 === i).map((product) => mulBase(product))
  const psi = eachScalar(secrets.blinds).map((phi, b) => scalarSub(phi, slotScalar(secrets.factors, b)))
  const rest = [opening.points, opening.nullPoint, secrets.salt, ...gammas(0), ...gammas(1), ...psi]
  out.set(concatBytes(...rest), tail)
}

/**
 * The class-C checks over a whole half: canonical scalars, points, the opening of the commitment.
 * @param body exactly `halfBytes` long. @throws ProtocolFault class C.
 */
export function decodeHalf(
  body: Uint8Array,
  slots: number,
  selfTest: boolean,
  opens: (v: Uint8Array, salt: Uint8Array) => Uint8Array,
  committed: Uint8Array,
): PeerHalf {
  const reader = new BodyReader(body)
  const messages = reader.take(RVOLE_SLOT_BYTES * slots)
  for (let b = 0; b < slots; b++) {
    if (!isRvoleMessageCanonical(slotOf(messages, b, RVOLE_SLOT_BYTES))) throw violation('multiplication scalars')
  }
  const v = reader.take(POINT_BYTES * (slots + (selfTest ? 1 : 0)))
  const salt = reader.take(SALT_BYTES)
  const opened = parsePoints(v)
  const gammaU = parsePoints(reader.take(POINT_BYTES * slots))
  const gammaV = parsePoints(reader.take(POINT_BYTES * slots))
  const psi = reader.take(SCALAR_BYTES * slots)
  reader.end()
  if (!areCanonicalScalars(psi)) throw violation('blinding scalars')
  if (!equalBytes(opens(v, salt), committed)) throw violation('nonce commitment')
  const noncePoints = opened.slice(0, slots)
  return { messages, noncePoints, nullPoint: opened[slots], gammaU, gammaV, psi }
}

/**
 * The class-D checks of §8 and §9.3 over all slots: μ, then (u) χ·R = d^u·G + Γ^u and (v) χ·X = d^v·G + Γ^v. Every
 * check of every slot is evaluated whatever the others say. Anything thrown in here is class D for the caller.
 * @param id sid_ab of the direction in which this party receives. @param pinned the peer's X of every slot.
 */
export function checkHalf(
  secrets: HalfSecrets,
  id: Uint8Array,
  peer: PeerHalf,
  pinned: readonly Uint8Array[],
): Verdict {
  const slots = pinned.length
  const received = secretBytes(2 * slots * SCALAR_BYTES)
  let accepted = true
  for (let b = 0; b < slots; b++) {
    const rows = slotOf(secrets.rows, b, SLOT_ROW_BYTES)
    const choices = slotOf(secrets.choices, b, SLOT_CHOICE_BYTES)
    const result = rvoleReceive(id, b, rows, choices, slotOf(peer.messages, b, RVOLE_SLOT_BYTES))
    accepted = result.accepted && accepted
    result.d.forEach((d, i) => received.set(d, (2 * b + i) * SCALAR_BYTES))
    result.d.forEach((d) => d.fill(0))
  }
  for (let b = 0; b < slots; b++) {
    const factor = slotScalar(secrets.factors, b)
    const u = relationHolds(factor, at(peer.noncePoints, b), slotScalar(received, 2 * b), at(peer.gammaU, b))
    const v = relationHolds(factor, at(pinned, b), slotScalar(received, 2 * b + 1), at(peer.gammaV, b))
    accepted = u && v && accepted
  }
  return { accepted, received }
}

/**
 * R = R_C + R_S of every slot, 65 bytes.
 * @throws ProtocolFault class B when one is the identity or has x = 0 mod q.
 */
export function sumNoncePoints(
  own: readonly Uint8Array[],
  peer: readonly Uint8Array[],
): readonly Uint8Array[] {
  return peer.map((point, b) => {
    const sum = addPointsUncompressed([at(own, b), point])
    if (sum === undefined || isZeroScalar(scalarReduceBe32(pointX(sum)))) throw degenerate('nonce point')
    return sum
  })
}

/** φ, u, v of slot b in one buffer: u = r(φ + ψ_j) + c^u + d^u, v = x(φ + ψ_j) + c^v + d^v (§9.4). */
export function finishSlot(
  secrets: HalfSecrets,
  b: number,
  psi: Uint8Array,
  received: Uint8Array,
): { readonly phi: Uint8Array; readonly u: Uint8Array; readonly v: Uint8Array } {
  const phi = slotScalar(secrets.blinds, b)
  const sum = scalarAdd(phi, slotScalar(psi, b))
  const out = secretBytes(3 * SCALAR_BYTES)
  out.set(phi, 0)
  for (const [i, input] of [slotScalar(secrets.nonces, b), slotScalar(secrets.shares, b)].entries()) {
    const product = scalarMul(input, sum)
    const partial = scalarAdd(product, slotScalar(secrets.products, 2 * b + i))
    const total = scalarAdd(partial, slotScalar(received, 2 * b + i))
    out.set(total, (1 + i) * SCALAR_BYTES)
    for (const secret of [product, partial, total]) secret.fill(0)
  }
  sum.fill(0)
  return { phi: slotScalar(out, 0), u: slotScalar(out, 1), v: slotScalar(out, 2) }
}

export function wipeHalf(secrets: HalfSecrets): void {
  for (const secret of Object.values(secrets)) secret.fill(0)
}

/** factor·point = d·G + gamma, the identity being an ordinary value. */
function relationHolds(factor: Uint8Array, point: Uint8Array, d: Uint8Array, gamma: Uint8Array): boolean {
  const left = isZeroScalar(factor) ? undefined : mulSecretUncompressed(factor, point)
  const base = isZeroScalar(d) ? [] : [mulBaseUncompressed(d)]
  const right = addPointsUncompressed([...base, gamma])
  const holds = left === undefined || right === undefined ? left === right : timingSafeEqual(left, right)
  for (const secret of [left, right, ...base]) secret?.fill(0)
  return holds
}

/** Compressed points -> 65 bytes each. @throws ProtocolFault class C. */
function parsePoints(bytes: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: bytes.length / POINT_BYTES }, (_, b) => {
    const point = parsePoint(slotOf(bytes, b, POINT_BYTES))
    if (point === undefined) throw violation('point')
    return point
  })
}

function eachScalar(scalars: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: scalars.length / SCALAR_BYTES }, (_, b) => slotScalar(scalars, b))
}

function slotScalar(scalars: Uint8Array, b: number): Uint8Array {
  return slotOf(scalars, b, SCALAR_BYTES)
}

function slotOf(bytes: Uint8Array, b: number, length: number): Uint8Array {
  return bytes.subarray(b * length, (b + 1) * length)
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new RangeError('slot out of range')
  return item
}
