/**
 * Random vector OLE (docs/protocol.md §8), one slot a call: the sender puts in a = (a_0, a_1) and gets (c_0, c_1),
 * the receiver holds χ = Σ g_j β_j and gets (d_0, d_1) with c_i + d_i = a_i·χ mod q. Scalars are 32 bytes
 * little-endian.
 */
import { timingSafeEqual } from 'node:crypto'
import { u16, u8 } from '../hash/encoding.ts'
import { hashToScalar, taggedHash } from '../hash/tagged-hash.ts'
import { kernel, memory, place, reserve, take, withArena } from '../kernel/load.ts'
import { areCanonicalScalars } from '../kernel/scalar.ts'
import { GADGET, GADGET_LIMBS } from './gadget.ts'
import { hashRows, SLOT_CHOICE_BYTES, SLOT_ROW_BYTES } from './ot-extension.ts'
import { ATILDE_BYTES, BLOCK_BYTES, ELL, OT_WIDTH, RVOLE_SLOT_BYTES, SCALAR_BYTES, XI } from './suite.ts'

const ROW_BYTES = OT_WIDTH * SCALAR_BYTES
const LIMB_BYTES = 36

/** (c_0, c_1). Secret. */
export type RvoleSenderOutput = { readonly c: readonly [Uint8Array, Uint8Array] }

/** `accepted` false is class D. (d_0, d_1) are zeros then. Secret. */
export type RvoleReceiverOutput = { readonly accepted: boolean; readonly d: readonly [Uint8Array, Uint8Array] }

/** χ = Σ_j g_j β_j, the receiver's own factor. Secret. */
export function rvoleFactor(choices: Uint8Array): Uint8Array {
  assertLength(choices, SLOT_CHOICE_BYTES)
  return withArena(() => {
    const out = reserve(SCALAR_BYTES)
    kernel.choice_sum(place(GADGET), place(choices), XI, out)
    return take(out, SCALAR_BYTES)
  })
}

/**
 * Sender. Writes Ã ‖ η ‖ mh, 40 000 bytes, to `message`.
 * @param id sid_ab. @param rows q_j of this slot. @param input a_0, a_1 and the one-time η̂.
 */
export function rvoleSend(
  id: Uint8Array,
  slot: number,
  delta: Uint8Array,
  rows: Uint8Array,
  input: readonly [Uint8Array, Uint8Array, Uint8Array],
  message: Uint8Array,
): RvoleSenderOutput {
  assertLength(rows, SLOT_ROW_BYTES)
  assertLength(message, RVOLE_SLOT_BYTES)
  assertLength(delta, BLOCK_BYTES)
  for (const scalar of input) assertLength(scalar, SCALAR_BYTES)
  return withArena(() => {
    const q = reserve(2 * SLOT_ROW_BYTES)
    memory.set(rows, q)
    kernel.xor_block(q, place(delta), XI, q + SLOT_ROW_BYTES)
    const alpha0 = hashRows(id, slot, q, 2)
    const alpha1 = alpha0 + ATILDE_BYTES
    const a = reserve(ROW_BYTES)
    input.forEach((scalar, i) => memory.set(scalar, a + i * SCALAR_BYTES))

    const corrections = reserve(ATILDE_BYTES)
    kernel.rvole_correct(alpha0, alpha1, a, XI, corrections)
    message.set(memory.subarray(corrections, corrections + ATILDE_BYTES), 0)
    const theta = deriveTheta(id, slot, message.subarray(0, ATILDE_BYTES))

    const eta = combine(a, theta, zero(SCALAR_BYTES), zero(1), 1)
    message.set(memory.subarray(eta, eta + SCALAR_BYTES), ATILDE_BYTES)
    const mu = combine(alpha0, theta, zero(SCALAR_BYTES), zero(SLOT_CHOICE_BYTES), XI)
    message.set(hashMu(id, slot, mu), ATILDE_BYTES + SCALAR_BYTES)
    return { c: innerProducts(alpha0, true) }
  })
}

/** True when Ã and η of a slot's message are canonical scalars: class C otherwise, before any class-D check. */
export function isRvoleMessageCanonical(message: Uint8Array): boolean {
  if (message.length !== RVOLE_SLOT_BYTES) return false
  return areCanonicalScalars(message.subarray(0, ATILDE_BYTES + SCALAR_BYTES))
}

/**
 * Receiver: applies the corrections, checks μ, and multiplies.
 * @param rows t_j of this slot. @param choices β, 52 bytes. @param message Ã ‖ η ‖ mh, checked canonical before.
 */
export function rvoleReceive(
  id: Uint8Array,
  slot: number,
  rows: Uint8Array,
  choices: Uint8Array,
  message: Uint8Array,
): RvoleReceiverOutput {
  assertLength(rows, SLOT_ROW_BYTES)
  assertLength(choices, SLOT_CHOICE_BYTES)
  assertLength(message, RVOLE_SLOT_BYTES)
  return withArena(() => {
    const gamma = hashRows(id, slot, place(rows), 1)
    const received = place(message)
    const beta = place(choices)
    const applied = reserve(ATILDE_BYTES)
    kernel.rvole_apply(gamma, received, beta, XI, applied)

    const theta = deriveTheta(id, slot, message.subarray(0, ATILDE_BYTES))
    const minusEta = reserve(SCALAR_BYTES)
    kernel.scalar_negate(received + ATILDE_BYTES, minusEta)
    const mu = combine(applied, theta, minusEta, beta, XI)
    const accepted = timingSafeEqual(hashMu(id, slot, mu), message.subarray(ATILDE_BYTES + SCALAR_BYTES))
    const d = innerProducts(applied, false)
    if (!accepted) d.forEach((scalar) => scalar.fill(0))
    return { accepted, d }
  })
}

/** θ_0, θ_1 in limbs. Public. */
function deriveTheta(id: Uint8Array, slot: number, corrections: Uint8Array): number {
  const index = u16(slot)
  const digest = taggedHash('rvole/atilde', id, index, corrections)
  const scalars = reserve(ELL * SCALAR_BYTES)
  for (let i = 0; i < ELL; i++) {
    memory.set(hashToScalar('rvole/theta', id, index, digest, u8(i)), scalars + i * SCALAR_BYTES)
  }
  const limbs = reserve(ELL * LIMB_BYTES)
  kernel.to_montgomery_limbs(scalars, ELL, limbs)
  return limbs
}

/** out_j = row_{j,2} + θ_0 row_{j,0} + θ_1 row_{j,1} + choice_j·extra. */
function combine(rows: number, theta: number, extra: number, choices: number, count: number): number {
  const out = reserve(count * SCALAR_BYTES)
  kernel.rvole_combine(rows, theta, extra, choices, count, out)
  return out
}

function hashMu(id: Uint8Array, slot: number, mu: number): Uint8Array {
  return taggedHash('rvole/mu', id, u16(slot), memory.subarray(mu, mu + XI * SCALAR_BYTES))
}

/** ± Σ_j g_j row_{j,i} for i = 0, 1. */
function innerProducts(rows: number, negated: boolean): readonly [Uint8Array, Uint8Array] {
  const limbs = place(GADGET_LIMBS)
  const out = reserve(ELL * SCALAR_BYTES)
  for (let i = 0; i < ELL; i++) {
    const to = out + i * SCALAR_BYTES
    kernel.dot(limbs, rows + i * SCALAR_BYTES, ROW_BYTES, XI, to)
    if (negated) kernel.scalar_negate(to, to)
  }
  return [take(out, SCALAR_BYTES), take(out + SCALAR_BYTES, SCALAR_BYTES)]
}

/** A reserved run of zeros. */
function zero(bytes: number): number {
  return reserve(bytes)
}

function assertLength(bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`expected ${length} bytes`)
}
