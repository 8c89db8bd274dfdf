/** Party S of the peer tool: answers frames, and reports the wallets and signatures that it made. */
import { createHash } from 'node:crypto'
import { makeLinkParties } from '../engine/dkls23/contexts.ts'
import { ROLE_S } from '../engine/dkls23/suite.ts'
import type { FrameHandler } from '../party/counterparty.ts'
import { systemClock } from '../party/entropy.ts'
import { Link, newLinkRecord } from '../party/link.ts'
import { createMemoryStore } from '../party/memory-store.ts'
import type { CosignerStore } from '../party/party-store.ts'
import { hexOf } from '../party/presignature-map.ts'
import { Responder } from '../party/responder.ts'
import { seededEntropy } from './peer-entropy.ts'
import type { PeerRun } from './peer-run.ts'

/** The digest of a payload is its SHA-256 here; no payload is refused. */
const readPayload = (payload: Uint8Array) => ({
  digest: new Uint8Array(createHash('sha256').update(payload).digest()),
  summary: '',
})

export const openPeerResponder = async (run: PeerRun): Promise<FrameHandler> => {
  const entropy = seededEntropy('S', run.seed)
  const parties = makeLinkParties(run.idC, run.idS, 0)
  const store = reportingStore(createMemoryStore(), run)
  const record = newLinkRecord(parties, ROLE_S, 0n)
  await store.saveLinks([record])
  const alert = (what: string, detail: string): void => run.report({ alert: what, detail })
  const link: Link = new Link(parties, record, store, systemClock, { alert, wipeSessions: () => s.wipeSessions() })
  const s: Responder = new Responder({
    link,
    store,
    entropy,
    clock: systemClock,
    incarnationId: entropy.bytes(16),
    readPayload,
    // The stream carries answers only: a lost ACK is made good by the next frame that names the wallet.
    ask: async () => undefined,
    alert,
  })
  return (frame) => s.answer(frame)
}

const reportingStore = (store: CosignerStore, run: PeerRun): CosignerStore => ({
  ...store,
  savePending: async (pending) => {
    await store.savePending(pending)
    const wallets = pending.records.map(({ walletId, wEpoch, publicKey, chainCode }) => ({
      walletId: hexOf(walletId),
      publicKey: hexOf(publicKey),
      ...(wEpoch > 0 ? { wEpoch } : { chainCode: hexOf(chainCode) }),
    }))
    run.report({ op: wallets.some((wallet) => 'wEpoch' in wallet) ? 'refresh' : 'dkg', wallets })
  },
  completeIntent: (intent, result) => {
    store.completeIntent(intent, result)
    if (!('response' in result)) return
    const { response } = result
    const names = { walletId: hexOf(intent.walletId), presigId: hexOf(intent.presigId), digest: hexOf(intent.digest) }
    const [r, s] = [response.subarray(16, 48), response.subarray(48, 80)]
    run.report({ op: 'sign', ...names, r: hexOf(r), s: hexOf(s), recid: response[80] })
  },
})
