/** The answering side of an export (docs/protocol.md §14): the own share, sealed to who may have it and to nobody else. */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { benign } from '../engine/dkls23/fault.ts'
import { decodeExportRequest, encodeExportAnswer, type ExportRequest, sealOwnShare } from '../engine/dkls23/export.ts'
import { assertNoSid, type Frame } from '../engine/dkls23/frame.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { ALG_ED25519, ROLE_C } from '../engine/dkls23/suite.ts'
import { isRecipient } from '../engine/sealing/share-envelope.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import type { PartyStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

type Deps = Omit<AnsweringDeps, 'clock'>

export class ExportResponder {
  readonly #deps: Deps

  constructor(deps: Deps) {
    this.#deps = deps
  }

  /** 0x50 → 0x51. Every refusal is policy_denied: why is told to the own operator and not to the peer. */
  async answer(frame: Frame): Promise<Uint8Array> {
    assertNoSid(frame.sid)
    const asked = decodeExportRequest(frame.body)
    const { link, store, entropy, alert } = this.#deps
    // The operator may take a key out of a link that is stopped for good; nobody else is served over one.
    if (asked.consent.kind !== 'operator') link.assertUsable('other')
    try {
      const exported = await loadForExport(store, asked)
      try {
        await store.authorizeExport(asked, exported.origin)
        return answerOf(asked, exported, entropy)
      } finally {
        exported.share.fill(0)
      }
    } catch (error) {
      alert('export_refused', `wallet ${hexOf(asked.walletId)}: ${error instanceof Error ? error.message : 'unknown error'}`)
      throw error
    }
  }
}

/**
 * The own record, if it is the one that was asked for; the caller wipes the share.
 * @throws ProtocolFault class A policy_denied.
 */
export const loadForExport = async (
  store: Pick<PartyStore, 'loadWallet'>,
  asked: Omit<ExportRequest, 'reqId' | 'consent' | 'nonce' | 'expireMs'>,
): Promise<WalletRecord> => {
  if (!isRecipient(asked.recipient)) throw benign('policy_denied', 'nothing is sealed to such a key')
  if (asked.alg === ALG_ED25519) await ed25519Ready()
  const record = await store.loadWallet(asked.walletId)
  if (record === undefined) throw benign('policy_denied', 'no such wallet')
  const isIt = record.alg === asked.alg && record.wEpoch === asked.wEpoch && hexOf(record.publicKey) === hexOf(asked.publicKey)
  if (isIt && record.state === 'ACTIVE') return record
  record.share.fill(0)
  throw benign('policy_denied', isIt ? 'the wallet is not active' : 'another epoch or public key than asked for')
}

/** Seals the own share with fresh randomness. */
export const sealFor = (asked: ExportRequest, record: WalletRecord, entropy: Entropy): Uint8Array => {
  const random = entropy.osRandom64()
  try {
    return sealOwnShare(record, asked.recipient, random.subarray(0, 32))
  } finally {
    random.fill(0)
  }
}

const answerOf = (asked: ExportRequest, record: WalletRecord, entropy: Entropy): Uint8Array => {
  const { reqId, alg, walletId, wEpoch, recipient } = asked
  const { role, pointC, pointS } = record
  const point = role === ROLE_C ? pointC : pointS
  const envelope = sealFor(asked, record, entropy)
  return encodeExportAnswer({ reqId, alg, role, walletId, wEpoch, point, kind: recipient.kind, envelope })
}
