import { ed25519 } from '@noble/curves/ed25519.js'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { advanceDkgC, advanceDkgS, finishDkgC, startDkgC, startDkgS } from '../../src/engine/dkls23/dkg.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { PresignSlot, SlotName } from '../../src/engine/dkls23/presign-plan.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { ALG_ED25519, ROLE_C, ROLE_S, type Role } from '../../src/engine/dkls23/suite.ts'
import { answerEdPresign, edSlotOf, finishEdPresignC, startEdPresignC } from '../../src/engine/frost/presign.ts'
import type { EdPresignature } from '../../src/engine/frost/presignature.ts'
import { dkgInputs, hex, LINK } from './link-fixtures.ts'
import { seededEntropy } from './seeded-entropy.ts'

await ed25519Ready()

export const L = 2n ** 252n + 27742317777372353535851937790883648493n
export const L_EPOCH = 3

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
export const numberOf = (scalar: Uint8Array): bigint => BigInt(`0x${hex(scalar.toReversed()) || '0'}`)
export const scalarOf = (value: bigint): Uint8Array => {
  const reduced = ((value % L) + L) % L
  return encodeNumber(reduced)
}
/** 32 bytes little-endian, whatever the value. */
export const encodeNumber = (value: bigint): Uint8Array =>
  bytesOf(value.toString(16).padStart(64, '0')).toReversed()

/** i·T8 for i = 0..7: the eight points of small order, the identity first. */
export const SMALL_ORDER = Array.from({ length: 8 }, (_, i) => {
  const torsion = ed25519.Point.fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a')
  return i === 0 ? ed25519.Point.ZERO : torsion.multiplyUnsafe(BigInt(i))
})

/** Encodings that no received point may have, by name. */
export const BAD_POINTS: readonly (readonly [string, Uint8Array])[] = [
  ...SMALL_ORDER.map((point, i) => [`${i}·T8`, point.toBytes()] as const),
  ...SMALL_ORDER.slice(1).map((point, i) => [`B + ${i + 1}·T8`, ed25519.Point.BASE.add(point).toBytes()] as const),
  ['y = p', bytesOf(`ed${'ff'.repeat(30)}7f`)],
  ['y = p + 1', bytesOf(`ee${'ff'.repeat(30)}7f`)],
  ['y = 2^255 − 1', bytesOf(`ff${'ff'.repeat(30)}7f`)],
  ['x = 0 with a sign', bytesOf(`01${'00'.repeat(30)}80`)],
  ['all ones', new Uint8Array(32).fill(0xff)],
  ['off the curve', bytesOf(`02${'00'.repeat(31)}`)],
]

/** n wallets of Ed25519 by honest sides, ACTIVE, C's and S's records in the same order. */
export function makeEdWallets(
  count: number,
  seed = 'ed wallets',
): { readonly c: readonly WalletRecord[]; readonly s: readonly WalletRecord[] } {
  const c1 = startDkgC(dkgInputs(`${seed}/C`), count, ALG_ED25519)
  const s2 = startDkgS(dkgInputs(`${seed}/S`), { sid: NO_SID, body: c1.body })
  const c3 = advanceDkgC(c1.state, { sid: s2.state.sid, body: s2.body })
  const s4 = advanceDkgS(s2.state, c3.body)
  finishDkgC(c3.state, s4.body)
  const active = (records: readonly WalletRecord[]) => records.map((one) => ({ ...one, state: 'ACTIVE' as const }))
  return { c: active(c3.pending.records), s: active(s4.pending.records) }
}

export function edSlot(role: Role, record: WalletRecord): PresignSlot {
  const slot = edSlotOf(LINK, role, L_EPOCH, record)
  if (slot === undefined) throw new Error('the wallet may not presign')
  return slot
}

export type EdTamper = Partial<Record<'E1' | 'E2', (body: Uint8Array) => Uint8Array>>

/** One presign session; `wallets` fill the slots. */
export function makeEdPresignatures(
  wallets: { readonly c: readonly WalletRecord[]; readonly s: readonly WalletRecord[] },
  seed = 'ed presign',
  tamper: EdTamper = {},
): { readonly c: readonly EdPresignature[]; readonly s: readonly EdPresignature[]; readonly sid: Uint8Array } {
  const on = (name: keyof EdTamper, body: Uint8Array) => tamper[name]?.(body) ?? body
  const known = wallets.s.map((record) => edSlot(ROLE_S, record))
  const resolve = ({ walletId }: SlotName) => known.find((slot) => hex(slot.walletId) === hex(walletId))
  const inputs = (side: string) => ({ link: LINK, entropy: seededEntropy(`${seed}/${side}`), lEpoch: L_EPOCH })
  const c1 = startEdPresignC(inputs('C'), wallets.c.map((record) => edSlot(ROLE_C, record)))
  const s2 = answerEdPresign({ ...inputs('S'), resolve }, { sid: NO_SID, body: on('E1', c1.body) })
  const done = finishEdPresignC(c1.state, { sid: s2.sid, body: on('E2', s2.body) })
  return { c: done.presignatures, s: s2.presignatures, sid: s2.sid }
}

export function first<T>(list: readonly T[]): T {
  const [one] = list
  if (one === undefined) throw new Error('empty')
  return one
}

/** A copy with arrays of its own: what a cloned process would hold. */
export function clonePresignature(presignature: EdPresignature): EdPresignature {
  const { hidingNonce, bindingNonce } = presignature
  return { ...presignature, hidingNonce: hidingNonce.slice(), bindingNonce: bindingNonce.slice() }
}
