/** C's script of an import (docs/protocol.md §14). It needs no lock. */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { benign } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import {
  abandonImport,
  encodeImportOwner,
  finishImportC,
  importAad,
  type ImportOpening,
  type ImportOwner,
  openImportC,
  startImportC,
} from '../engine/dkls23/import.ts'
import { ROLE_C } from '../engine/dkls23/suite.ts'
import { besideSetUps } from './beside-set-ups.ts'
import type { ImportKeys } from './import-keys.ts'
import type { Link } from './link.ts'
import { type Generated, holdPending, newWalletInputs, whileUsable } from './new-wallets.ts'
import type { OpeningDeps } from './operation-deps.ts'

export type ImportOrder = {
  readonly opening: ImportOpening
  readonly owner: ImportOwner
  /** The half of each party, sealed to it. */
  readonly envelopeC: Uint8Array
  readonly envelopeS: Uint8Array
}

/**
 * Both sides hold durable PENDING records when it returns; the caller's transaction is the decision, then `acknowledge`.
 * @throws PeerRefusal; ProtocolFault class A import_refused: the own half does not open, or is not the one that is said.
 */
export const importWallet = async (deps: OpeningDeps, keys: ImportKeys, order: ImportOrder): Promise<Generated> => {
  await ed25519Ready()
  const { link, exchange } = deps
  const { IM1, IM2, IM3, IM4 } = FRAME_TYPES
  return besideSetUps(deps, () => deps.guarded(async () => {
    link.assertUsable('other')
    const { lEpoch } = link.record
    const { opening, owner, envelopeS } = order
    const share = openOwn(link, keys, order)
    const { state, body } = startImportC(newWalletInputs(deps, lEpoch), { opening, owner, envelopeS, share })
    const im2 = await whileUsable(link, exchange(IM1, NO_SID, lEpoch, body, IM2)).catch((error: unknown) => {
      abandonImport(state)
      throw error
    })
    const step = openImportC(state, im2)
    return holdPending(deps, step.pending, async () => {
      const im4 = await whileUsable(link, exchange(IM3, im2.sid, lEpoch, step.body, IM4))
      finishImportC(step.state, im4.body)
    })
  }))
}

const openOwn = ({ parties }: Link, keys: ImportKeys, { opening, owner, envelopeC }: ImportOrder): Uint8Array => {
  const share = keys.open(importAad(opening, ROLE_C, parties.idC, encodeImportOwner(owner)), envelopeC)
  if (share === undefined) throw benign('import_refused', 'the sealed half does not open')
  return share
}
