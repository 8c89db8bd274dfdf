/** Party C's side of an export (docs/protocol.md §14): asks the cosigner first, and then seals its own share. */
import { randomBytes } from 'node:crypto'
import { decodeExportAnswer, encodeExportRequest, type ExportRequest } from '../engine/dkls23/export.ts'
import { benign, violation } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import { ROLE_S } from '../engine/dkls23/suite.ts'
import { loadForExport, sealFor } from './export-responder.ts'
import type { OpeningDeps } from './operation-deps.ts'
import { hexOf } from './presignature-map.ts'

/** The public key as the engine encodes it. */
export type ExportOrder = Omit<ExportRequest, 'reqId'>

/** A share that only the holder of the key it was sealed to can open. */
export type SealedPart = { readonly point: Uint8Array; readonly envelope: Uint8Array }
export type ExportedParts = { readonly daemon: SealedPart; readonly cosigner: SealedPart }

/**
 * Both shares of a wallet, each sealed by its own party. The cosigner decides by itself whether it seals; only then is
 * the own share sealed. @throws PeerRefusal; ProtocolFault class A policy_denied; class C on an answer about another
 * wallet or share.
 */
export const exportShares = ({ link, store, entropy, exchange, guarded }: OpeningDeps, order: ExportOrder): Promise<ExportedParts> =>
  guarded(async () => {
    if (order.consent.kind !== 'operator') link.assertUsable('other')
    const asked: ExportRequest = { ...order, reqId: new Uint8Array(randomBytes(16)) }
    const record = await loadForExport(store, asked)
    try {
      const { EXPORT_REQUEST, EXPORT_ANSWER } = FRAME_TYPES
      const frame = await exchange(EXPORT_REQUEST, NO_SID, link.record.lEpoch, encodeExportRequest(asked), EXPORT_ANSWER)
      const answer = decodeExportAnswer(frame.body, asked)
      const isItsOwn = answer.role === ROLE_S && hexOf(answer.point) === hexOf(record.pointS)
      if (!isItsOwn) throw violation('the share of an export')
      if (link.burned && order.consent.kind !== 'operator') throw benign('link_burned', 'the link is burned')
      return {
        daemon: { point: record.pointC, envelope: sealFor(asked, record, entropy) },
        cosigner: { point: answer.point, envelope: answer.envelope },
      }
    } finally {
      record.share.fill(0)
    }
  })
