/** C's script of key generation (docs/protocol.md §5). It needs no lock. */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import type { WalletBinding } from '../engine/dkls23/contexts.ts'
import { abandonDkg, advanceDkgC, finishDkgC, type PendingWallets, startDkgC } from '../engine/dkls23/dkg.ts'
import { type Frame, FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1 } from '../engine/dkls23/suite.ts'
import type { Exchange } from './frame-exchange.ts'
import type { Link } from './link.ts'
import type { PartyStore } from './party-store.ts'
import { PeerRefusal } from './peer-refusal.ts'

export type GenerateDeps = {
  readonly link: Link
  readonly store: PartyStore
  readonly entropy: Entropy
  readonly exchange: Exchange
  /** Carries out what a fault costs before the caller hears of it. */
  readonly guarded: <T>(work: () => Promise<T>) => Promise<T>
  /** Waits until both sides are at the same link epoch. */
  readonly align: () => Promise<void>
}

export type Generated = { readonly sid: Uint8Array; readonly wallets: readonly WalletBinding[] }

const MAX_ATTEMPTS = 3

/**
 * Work that begins a session of its own and takes no link lock: begun again where a set-up of the link came in between,
 * once that is over.
 */
export const besideSetUps = async <T>(align: () => Promise<void>, work: () => Promise<T>): Promise<T> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const cameBetween = error instanceof PeerRefusal && error.refusal.code === 'session'
      if (!cameBetween || attempt >= MAX_ATTEMPTS) throw error
    }
    await align()
  }
}

/** Both sides hold durable PENDING records when it returns. */
export const generateWallets = async (deps: GenerateDeps, count: number, alg: Alg = ALG_SECP256K1): Promise<Generated> => {
  if (alg === ALG_ED25519) await ed25519Ready()
  const { link, store, exchange } = deps
  const { W1, W2, W3, W4 } = FRAME_TYPES
  return besideSetUps(deps.align, () => deps.guarded(async () => {
    link.assertUsable('other')
    const { lEpoch } = link.record
    const { state, body } = startDkgC(inputsOf(deps, lEpoch), count, alg)
    const w2 = await whileUsable(link, exchange(W1, NO_SID, lEpoch, body, W2)).catch((error: unknown) => {
      abandonDkg(state)
      throw error
    })
    const step = advanceDkgC(state, w2)
    await savePending(store, step.pending)
    try {
      const w4 = await whileUsable(link, exchange(W3, w2.sid, lEpoch, step.body, W4))
      finishDkgC(step.state, w4.body)
    } catch (error) {
      for (const { walletId, wEpoch } of step.pending.records) await store.dropPending(walletId, wEpoch)
      throw error
    }
    const wallets = step.pending.records.map(({ share: _, ...binding }) => binding)
    return { sid: step.pending.sid, wallets }
  }))
}

/** The answer, unless the link was burned or suspended meanwhile: key generation does not hold its lock. Class A. */
const whileUsable = async (link: Link, answer: Promise<Frame>): Promise<Frame> => {
  const frame = await answer
  link.assertUsable('other')
  return frame
}

const inputsOf = ({ link, entropy }: GenerateDeps, lEpoch: number): Parameters<typeof startDkgC>[0] => {
  const hk = link.material?.hk
  return { link: link.parties, entropy, lEpoch, nowMs: link.nowMs, ...(hk === undefined ? {} : { hk }) }
}

const savePending = async (store: PartyStore, pending: PendingWallets): Promise<void> => {
  try {
    await store.savePending(pending)
  } finally {
    for (const { share } of pending.records) share.fill(0)
  }
}
