import { decodeFrame, encodeFrame, type FrameType } from '../../src/engine/dkls23/frame.ts'
import { oteRowBytes, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { type Field, mutationsOf } from '../engine/mutations.ts'

/** A field and the classes of fault that a change of it may end in. */
export type JudgedField = Field & { readonly classes: string }
export type Case = { readonly name: string; readonly classes: string; readonly bend: (frame: Uint8Array) => Uint8Array }

const f = (name: string, length: number, classes: string): JudgedField => ({ name, length, classes })

/** The header; `sid` where a message brings none is class C, elsewhere an unknown session. */
export const headerFields = (sidClasses: string, lEpochClasses = 'A'): JudgedField[] => [
  f('magic', 4, 'C'),
  f('suite', 1, 'C'),
  f('type', 1, 'AC'),
  f('role', 1, 'C'),
  f('flags', 1, 'C'),
  f('linkId', 16, 'A'),
  f('lEpoch', 4, lEpochClasses),
  f('sid', 32, sidClasses),
  f('bodyLen', 4, 'C'),
]

const U = 128 * oteRowBytes(1)
const extension = (classes: string) => [f('U', U, classes), f('x̂', 16, classes), f('t̂', 2048, classes)]
const multiplication = (classes: string) => [f('Ã', 39_936, classes), f('η', 32, classes), f('mh', 32, classes.at(-1) ?? '')]

/** One slot, one wallet. */
export const BODIES = {
  P1: [f('N_C', 32, 'A'), f('B', 2, 'C'), f('walletId', 16, 'A'), f('wEpoch', 4, 'A'), f('com_C', 32, 'A')],
  P2: [f('N_S', 32, 'A'), f('com_S', 32, 'C'), ...extension('D')],
  P3: [
    ...extension('D'),
    ...multiplication('CD'),
    f('R', 33, 'C'),
    f('salt', 32, 'C'),
    f('Γu', 33, 'CD'),
    f('Γv', 33, 'CD'),
    f('ψ', 32, 'C'),
  ],
  // No conf is made anew over what the wire bends, so all of it is class C.
  P4: [
    ...multiplication('C'),
    f('R', 33, 'C'),
    f('salt', 32, 'C'),
    f('Γu', 33, 'C'),
    f('Γv', 33, 'C'),
    f('ψ', 32, 'C'),
    f('conf', 32, 'C'),
  ],
  W1: [f('N_C', 32, 'A'), f('alg', 1, 'CA'), f('n', 2, 'AC'), f('com_C', 32, 'A')],
  W2: [f('N_S', 32, 'A'), f('X', 33, 'C'), f('cc', 32, 'C'), f('A', 33, 'C'), f('z', 32, 'C')],
  W3: [f('X', 33, 'C'), f('cc', 32, 'C'), f('salt', 32, 'C'), f('A', 33, 'C'), f('z', 32, 'C'), f('conf', 32, 'C')],
  W4: [f('conf', 32, 'C')],
  SIGN_RESPONSE: [f('reqId', 16, 'A'), f('r', 32, 'F'), f('s', 32, 'F'), f('recid', 1, 'F')],
  L1: [f('N_C', 32, 'A'), f('lEpoch', 4, 'C'), f('reason', 1, 'AC')],
  L2: [f('N_S', 32, 'A'), f('first P', 33, 'C'), f('P', 8_382, 'C'), f('last P', 33, 'C')],
  L3: [f('first P', 33, 'C'), f('P', 8_415, 'C'), f('first Y', 33, 'C'), f('Y', 8_415, 'C')],
  L4: [f('first Y', 33, 'C'), f('Y', 8_415, 'C'), f('conf', 32, 'C')],
  L5: [f('conf', 32, 'C'), f('N_C', 32, 'A'), f('B', 2, 'C'), f('null slot', 20, 'C'), f('com_C', 32, 'A')],
} as const satisfies { readonly [type: string]: readonly JudgedField[] }

export const signRequestFields = (payloadBytes: number): JudgedField[] => [
  f('linkId', 16, 'C'),
  f('walletId', 16, 'A'),
  f('wEpoch', 4, 'A'),
  f('presigId', 16, 'A'),
  f('reqId', 16, 'A'),
  f('m', 32, 'A'),
  f('depth', 1, 'C'),
  f("PK'", 33, 'A'),
  f('echo', 16, 'A'),
  f('w', 32, 'FC'),
  f('u', 32, 'FC'),
  f('payloadLen', 4, 'C'),
  f('payload', payloadBytes, 'A'),
]

/** Each field of header and body × each kind of damage. `F` stands for an invalid final signature. */
export function* casesOf(
  frame: Uint8Array,
  header: readonly JudgedField[],
  body: readonly JudgedField[],
): Iterable<Case> {
  const classesOf = (fields: readonly JudgedField[], name: string) =>
    fields.find((field) => name.startsWith(`${field.name}: `))?.classes ?? 'C'
  for (const { name, body: changed } of mutationsOf(frame.slice(0, 64), header)) {
    if (name === 'empty') continue
    const classes = classesOf(header, name)
    yield { name: `header ${name}`, classes, bend: (own) => damaged(own, frame.subarray(0, 64), changed, 0) }
  }
  for (const { name, body: changed } of mutationsOf(frame.slice(64), body)) {
    const resized = changed.length !== frame.length - 64
    yield {
      name: `body ${name}`,
      classes: classesOf(body, name),
      bend: (own) => {
        if (!resized) return damaged(own, frame.subarray(64), changed, 64)
        const length = changed.length < frame.length - 64 ? changed.length && own.length - 65 : own.length - 63
        const next = new Uint8Array(length)
        next.set(own.subarray(64, 64 + Math.min(length, own.length - 64)))
        return withBody(own, next)
      },
    }
  }
}

/** The damage of the sample, done to a fresh frame of the same shape: zero and max as such, a bit flip as a flip. */
const damaged = (own: Uint8Array, before: Uint8Array, after: Uint8Array, offset: number): Uint8Array => {
  const changed = [...after.keys()].filter((i) => after[i] !== before[i])
  const out = own.slice()
  if (after.length < before.length) return out.subarray(0, -1)
  if (after.length > before.length) return Uint8Array.of(...out, 0)
  const single = changed.length === 1
  for (const i of changed) {
    const at = offset + i
    out[at] = single ? (own[at] ?? 0) ^ (before[i] ?? 0) ^ (after[i] ?? 0) : (after[i] ?? 0)
  }
  return out
}

/** The frame with another body under a header that says its length. */
export const withBody = (frame: Uint8Array, body: Uint8Array): Uint8Array => {
  const peer = frame[6] === ROLE_C ? ROLE_C : ROLE_S
  return encodeFrame({ ...decodeFrame(frame, peer), body })
}

export const typeOf = (frame: Uint8Array): FrameType => frame[5] as FrameType
