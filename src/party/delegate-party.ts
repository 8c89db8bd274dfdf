/**
 * Party S towards delegates, in a thread of its own: where the daemon's halves of delegated wallets are in clear, for one
 * session. The vault stays with the main thread.
 */
import { keepCurveBlinded } from './blind-curve.ts'
import { DelegateLinks, type ErasedShare } from './delegate-links.ts'
import { createDelegateStore, type DelegateHostCalls } from './delegate-store.ts'
import { createEntropy, systemClock } from './entropy.ts'
import type { PortEnd } from './port-calls.ts'
import { ShareSeal } from './share-sealing.ts'

export type DelegateWorkerData = {
  readonly shareKey: Uint8Array
  readonly vaultId: Uint8Array
  /** The daemon's party id. */
  readonly idS: Uint8Array
}

const ASK_TIMEOUT_MS = 12_000

export const createDelegateParty = (data: DelegateWorkerData, host: PortEnd<DelegateHostCalls>, ended: () => void) => {
  const clock = systemClock
  const entropy = createEntropy(clock)
  keepCurveBlinded(entropy)
  const seal = new ShareSeal(data.shareKey, data.vaultId)
  const links = new DelegateLinks({
    idS: data.idS,
    openStore: (linkId) => createDelegateStore(host, seal, clock, linkId),
    ask: (linkId, frame) => host.call('question', { linkId, frame }, { timeoutMs: ASK_TIMEOUT_MS }),
    entropy,
    clock,
    alert: (what, detail) => void host.call('alert', { what, detail }).catch(() => undefined),
  })
  return {
    frame: ({ idC, walletId, frame }: FrameOf) => links.answer(idC, walletId, frame),
    erase: ({ idC, walletId, erased }: Omit<FrameOf, 'frame'> & { readonly erased: ErasedShare }) =>
      links.erase(idC, walletId, erased),
    close: ({ idC }: { readonly idC: Uint8Array }) => links.close(idC),
    status: () => links.status(),
    /** After the root of the daemon's vault was rotated. */
    useShareKey: (shareKey: Uint8Array): void => seal.renew(shareKey),
    stop: async () => {
      await links.closeAll()
      seal.close()
      setImmediate(ended)
    },
  }
}

/** A frame that came over the stream of the access with this wallet. */
export type FrameOf = { readonly idC: Uint8Array; readonly walletId: Uint8Array; readonly frame: Uint8Array }
export type DelegateCalls = ReturnType<typeof createDelegateParty>
