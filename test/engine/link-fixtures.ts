import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { LinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import {
  advanceLinkC,
  advanceLinkS,
  encodeL5,
  finishLinkC,
  finishLinkS,
  startLinkC,
  startLinkS,
} from '../../src/engine/dkls23/link-setup.ts'
import { type PresignSlot, presignSlotOf, type SlotName } from '../../src/engine/dkls23/presign-plan.ts'
import {
  advancePresignC,
  advancePresignS,
  finishPresignC,
  startPresignC,
  startPresignS,
} from '../../src/engine/dkls23/presign.ts'
import type { Presignature } from '../../src/engine/dkls23/presignature.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { advanceDkgC, advanceDkgS, finishDkgC, startDkgC, startDkgS } from '../../src/engine/dkls23/dkg.ts'
import { seededEntropy } from './seeded-entropy.ts'

export const LINK = makeLinkParties(new Uint8Array(32).fill(0xc), new Uint8Array(32).fill(0x5), 0)
export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** L1..L4 between two honest sides; S's state still waits for L5. */
export function setUpLink(seed: string, lEpoch = 1) {
  const c1 = startLinkC({ link: LINK, entropy: seededEntropy(`${seed}/C`), lEpoch, reason: 'first' })
  const inputsS = { link: LINK, entropy: seededEntropy(`${seed}/S`), ownLEpoch: lEpoch - 1 }
  const s2 = startLinkS(inputsS, { sid: NO_SID, lEpoch, body: c1.body })
  const c3 = advanceLinkC(c1.state, { sid: s2.state.sid, body: s2.body })
  const s4 = advanceLinkS(s2.state, c3.body)
  const done = finishLinkC(c3.state, s4.body)
  return { ...done, stateS: s4.state }
}

export function dkgInputs(seed: string) {
  return { link: LINK, entropy: seededEntropy(seed), lEpoch: 3, nowMs: 1_700_000_000_000n }
}

/** n wallets by honest sides, C's and S's records in the same order. */
export function makeWallets(
  count: number,
  seed = 'wallets',
): { readonly c: readonly WalletRecord[]; readonly s: readonly WalletRecord[] } {
  const c1 = startDkgC(dkgInputs(`${seed}/C`), count)
  const s2 = startDkgS(dkgInputs(`${seed}/S`), { sid: NO_SID, body: c1.body })
  const c3 = advanceDkgC(c1.state, { sid: s2.state.sid, body: s2.body })
  const s4 = advanceDkgS(s2.state, c3.body)
  finishDkgC(c3.state, s4.body)
  return { c: c3.pending.records, s: s4.pending.records }
}

/** Presignatures of honest sides, one a slot, C's and S's in the same order. `wallets` fill the slots. */
export function makePresignatures(
  material: { readonly c: LinkMaterial; readonly s: LinkMaterial },
  wallets: { readonly c: readonly WalletRecord[]; readonly s: readonly WalletRecord[] },
  seed: string,
): { readonly c: readonly Presignature[]; readonly s: readonly Presignature[] } {
  const slots = wallets.c.map((record) => slotOf(material.c, record))
  const known = wallets.s.map((record) => slotOf(material.s, record))
  const resolve = ({ walletId }: SlotName) => known.find((slot) => hex(slot.walletId) === hex(walletId))
  const inputs = { link: LINK, entropy: seededEntropy(`${seed}/C`), material: material.c }
  const c1 = startPresignC({ ...inputs, slots })
  const inputsS = { link: LINK, entropy: seededEntropy(`${seed}/S`), material: material.s, resolve }
  const s2 = startPresignS(inputsS, { sid: NO_SID, body: c1.body })
  const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
  const s4 = advancePresignS(s2.state, c3.body)
  const done = finishPresignC(c3.state, s4.body)
  return { c: done.presignatures, s: s4.presignatures }
}

/** Both sides' material, without the self-test. */
export function makeMaterial(seed: string): { readonly c: LinkMaterial; readonly s: LinkMaterial } {
  const { material, stateS, confC } = setUpLink(seed, 3)
  return { c: material, s: finishLinkS(stateS, encodeL5(confC, new Uint8Array(86))).material }
}

/** The same records once the generation was settled. */
export function activate(records: readonly WalletRecord[]): readonly WalletRecord[] {
  return records.map((record) => ({ ...record, state: 'ACTIVE' }))
}

function slotOf(material: LinkMaterial, record: WalletRecord): PresignSlot {
  const slot = presignSlotOf(LINK, material, record)
  if (slot === undefined) throw new Error('the wallet may not presign')
  return slot
}
