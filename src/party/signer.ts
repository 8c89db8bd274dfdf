/**
 * Party C's thread: the only place of the daemon where its shares are in clear. The vault stays with the main thread,
 * which stores and hands over sealed rows; the key that opens them lives here.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { MessagePort } from 'node:worker_threads'
import { failure } from '../domain/failure.ts'
import { decompress } from '../engine/curve/secp256k1.ts'
import type { WalletBinding } from '../engine/dkls23/contexts.ts'
import { type FaultCode, ProtocolFault } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES } from '../engine/dkls23/frame.ts'
import type { OutcomeQuestion } from '../engine/dkls23/outcome.ts'
import { decidedState } from '../engine/dkls23/records.ts'
import { ALG_ED25519, ALG_SECP256K1 } from '../engine/dkls23/suite.ts'
import type { EcdsaSignature } from '../engine/dkls23/sign-messages.ts'
import type { EdSignature } from '../engine/frost/sign-messages.ts'
import type { SealedShare } from '../vault/sealed-record.ts'
import type { StoredShare } from '../vault/wallet-shares.ts'
import type { KeyType } from '../vault/wallets.ts'
import { keepCurveBlinded } from './blind-curve.ts'
import { PeerUnavailable } from './counterparty.ts'
import type { FrameCalls } from './cosigner.ts'
import type { LostMaterial } from './cosigner-links.ts'
import { CryptoWorkerGone } from './crypto-thread.ts'
import type { ForkedShare, ForkOrderC, ForkStore } from './fork-initiator.ts'
import type { DecidedForkShare } from './fork-orders.ts'
import type { EdSignJob } from './ed-initiator.ts'
import { createEntropy, systemClock } from './entropy.ts'
import { hostedWallets, type WalletCalls } from './hosted-wallets.ts'
import type { ImportOrder } from './import-initiator.ts'
import { ImportKeys } from './import-keys.ts'
import type { InitiatorStore, ReadyPresignature } from './initiator.ts'
import type { ExportedParts, ExportOrder } from './export-initiator.ts'
import type { Generated } from './new-wallets.ts'
import { PeerRefusal } from './peer-refusal.ts'
import { openPortEnd, type PortEnd, PortFailure } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'
import { type RefreshedShares, RefreshNotDue } from './refresh-initiator.ts'
import type { DecidedShares } from './refresh-orders.ts'
import { sealRecord, ShareSeal } from './share-sealing.ts'
import type { SignJob } from './sign-initiator.ts'
import { hostedLinks, type LinkCalls } from './link-rows.ts'
import { SignerLinks, type SignerShards } from './signer-links.ts'

export type SignerWorkerData = SignerShards & {
  readonly shareKey: Uint8Array
  readonly vaultId: Uint8Array
  readonly frames: MessagePort
}

/** What the main thread serves to party C: its vault. Every answer of a write means that it is on disk. */
export type SignerHostCalls = LinkCalls & WalletCalls & {
  readonly loadShare: (walletId: Uint8Array) => StoredShare | undefined
  readonly savePending: (args: {
    readonly sid: Uint8Array
    readonly linkId: Uint8Array
    readonly shares: readonly SealedShare[]
  }) => Promise<void>
  readonly dropPending: (walletId: Uint8Array) => Promise<void>
  readonly settleOutcome: (question: OutcomeQuestion) => Promise<'COMMITTED' | 'ABORTED'>
  readonly commitRefresh: (decided: DecidedShares) => Promise<void>
  readonly commitFork: (decided: DecidedForkShare) => Promise<void>
  readonly alert: (args: { readonly what: string; readonly detail: string }) => void
  /** Every presignature of a shard is gone. */
  readonly wiped: (args: { readonly shard: number }) => void
  /** A crypto worker ended. Answered when the cosigner has given up its side too. */
  readonly lost: (args: LostMaterial) => Promise<void>
}

export type GeneratedWallet = WalletBinding & {
  /** The record sealed as ACTIVE, or IMPORTED, for the transaction that decides. */
  readonly active: SealedShare
  readonly linkId: Uint8Array
  /** PK as wallets show it: secp256k1 65 bytes beginning 04, Ed25519 32 bytes. */
  readonly shownPublicKey: Uint8Array
}

/** A wallet of which both sides hold durable PENDING records, and the sid that it was made under. */
export type Made = { readonly sid: Uint8Array; readonly wallet: GeneratedWallet }

const madeOf = ({ sid, wallets }: Generated, prepared: Map<string, SealedShare>, linkId: Uint8Array): Made => {
  const [binding] = wallets
  if (binding === undefined) throw new Error('no wallet was made')
  const active = prepared.get(hexOf(binding.walletId))
  prepared.delete(hexOf(binding.walletId))
  if (active === undefined) throw new Error('no record was prepared')
  const shownPublicKey = binding.alg === ALG_ED25519 ? binding.publicKey : decompress(binding.publicKey)
  return { sid, wallet: { ...binding, active, linkId, shownPublicKey } }
}

export type SignerStatus = {
  readonly shard: number
  readonly state: 'ACTIVE' | 'SUSPENDED' | 'BURNED'
  readonly lEpoch: number
  readonly ready: boolean
  readonly renewedAtMs: number
  readonly presignatures: number
}

const BUSY_RETRY_AFTER_MS = 1_000
const FRAME_TYPE_AT = 5
const isSignRequest = ({ [FRAME_TYPE_AT]: type }: Uint8Array): boolean =>
  type === FRAME_TYPES.SIGN_REQUEST || type === FRAME_TYPES.ED_SIGN_REQUEST

export const createSigner = async (data: SignerWorkerData, host: PortEnd<SignerHostCalls>, ended: () => void) => {
  const clock = systemClock
  const entropy = createEntropy(clock)
  keepCurveBlinded(entropy)
  const alert = (what: string, detail: string): void => {
    void host.call('alert', { what, detail }).catch(() => undefined)
  }
  const seal = new ShareSeal(data.shareKey, data.vaultId)
  const prepared = new Map<string, SealedShare>()
  const importKeys = new ImportKeys(entropy, clock)
  const store = createHostedStore(host, seal, prepared)
  const forks = createForkStore(host, seal, store)
  const frames: PortEnd<FrameCalls> = openPortEnd(
    data.frames,
    { question: (bytes: Uint8Array) => links.answerQuestion(bytes) },
    (error) => alert('internal', String(error)),
  )
  const peer = {
    exchange: (frame: Uint8Array, timeoutMs: number) =>
      frames.call('frame', frame, { timeoutMs, gather: isSignRequest(frame) }),
    close: () => frames.shut('the link is closed'),
  }
  const wiped = (shard: number): void => void host.call('wiped', { shard }).catch(() => undefined)
  const lost = (args: LostMaterial): Promise<void> => host.call('lost', args)
  const links: SignerLinks = await SignerLinks.open({ store, peer, entropy, clock, alert, wiped, lost }, data)

  return {
    connect: () => telling(() => links.connect()),
    /** Material for every link; after a burn only where the operator has granted a relink. */
    warm: () => tellingMaking(() => links.warm()),
    relink: () => tellingMaking(() => links.relink()),
    relinkGranted: () => tellingMaking(() => links.relinkGranted()),
    /** The cosigner's side of a link has lost its material. */
    lose: (args: LostMaterial) => links.lose(args),
    generate: ({ keyType }: { readonly keyType: KeyType }) =>
      tryingAgain(async (): Promise<Made> => {
        const isEd25519 = keyType === 'ed25519'
        const { initiator, link } = links.next()
        const generated = await initiator.generate(1, isEd25519 ? ALG_ED25519 : ALG_SECP256K1)
        links.noteGenerated(generated.sid, initiator)
        return madeOf(generated, prepared, link.parties.linkId)
      }),
    /** What the daemon's half of an imported key is sealed to. */
    importKey: () => importKeys.current(),
    /** As `generate`, of a key whose halves a client has made. */
    import: (order: ImportOrder) =>
      tellingMaking(async (): Promise<Made> => {
        const { initiator, link } = links.next()
        const imported = await initiator.import(importKeys, order).catch(whenNotTaken)
        links.noteGenerated(imported.sid, initiator, FRAME_TYPES.IM5)
        return madeOf(imported, prepared, link.parties.linkId)
      }),
    acknowledge: (sid: Uint8Array) => links.acknowledge(sid),
    presign: ({ shard, walletIds }: PresignArgs): Promise<readonly ReadyPresignature[]> =>
      tryingAgain(() => links.of(shard).presign(walletIds)),
    sign: (job: SignJob): Promise<EcdsaSignature> => telling(() => links.holderOf(job.presigId).sign(job)),
    prepareSign: (job: SignJob) => links.holderOf(job.presigId).prepareSign(job),
    signPrepared: (presigId: Uint8Array): Promise<EcdsaSignature> =>
      telling(() => links.holderOf(presigId).signPrepared(presigId)),
    discard: (presigId: Uint8Array) => links.discard(presigId),
    presignEd25519: ({ shard, walletIds }: PresignArgs): Promise<readonly ReadyPresignature[]> =>
      tryingAgain(() => links.of(shard).ed.presign(walletIds)),
    signEd25519: (job: EdSignJob): Promise<EdSignature> => telling(() => links.holderOf(job.presigId).ed.sign(job)),
    wipeWallet: (walletId: Uint8Array) => links.wipeWallet(walletId),
    /** Both shares of a wallet, each sealed by its own party: nothing in the answer can be opened here. */
    export: ({ shard, order }: { readonly shard: number; readonly order: ExportOrder }): Promise<ExportedParts> =>
      telling(() => links.of(shard).export(order).catch(whenDenied)),
    /** Milliseconds until the wallet's shares can be refreshed. */
    refreshWait: ({ shard, walletId }: WalletAt) => telling(() => links.of(shard).refreshes.waitMs(walletId)),
    refresh: ({ shard, walletId }: WalletAt): Promise<RefreshedShares> =>
      telling(() => links.of(shard).refreshes.refresh(walletId).catch(whenBusy)),
    /** A second sharing of a wallet's key: this party's half is durable, the delegate's sealed by the other. */
    fork: ({ shard, order }: { readonly shard: number; readonly order: ForkOrderC }): Promise<ForkedShare> =>
      telling(() => links.of(shard).fork(forks, order).catch(whenNotDelegated)),
    /** What `fork` returned is stored. */
    confirmFork: ({ shard, forked }: { readonly shard: number; readonly forked: Pick<ForkedShare, 'sid' | 'receipt'> }) =>
      telling(() => links.of(shard).confirmFork(forks, forked)),
    status: (): readonly SignerStatus[] => links.status(),
    /** After the root of the daemon's vault was rotated: what is sealed from now on is under the new key. */
    useShareKey: (shareKey: Uint8Array): void => seal.renew(shareKey),
    stop: async () => {
      await links.close()
      importKeys.wipe()
      seal.close()
      setImmediate(() => {
        // What waits for an answer would keep the thread.
        peer.close()
        data.frames.close()
        ended()
      })
    },
  }
}

export type SignerCalls = Awaited<ReturnType<typeof createSigner>>

/** An earlier refresh is not decided yet, or the peer has too many: nothing has changed, and it passes. */
const whenBusy = (error: unknown): never => {
  const isBusy = error instanceof PeerRefusal && error.refusal.code === 'busy'
  throw isBusy ? failure('OVERLOADED', { retryAfterMs: BUSY_RETRY_AFTER_MS }) : error
}

/** The client's own words or halves, or the cosigner's rules: nobody's fault between the parties. */
const whenNotTaken = (error: unknown): never => {
  if (codeOf(error) !== 'import_refused') throw error
  const why = error instanceof PeerRefusal ? 'the cosigner does not take it' : 'the daemon does not take its half'
  throw failure('IMPORT_REFUSED', { why })
}

/** The cosigner's own rules, or the own record, do not allow it. */
const whenDenied = (error: unknown): never => {
  throw codeOf(error) === 'policy_denied' ? failure('EXPORT_REFUSED', {}) : error
}

const whenNotDelegated = (error: unknown): never => {
  throw codeOf(error) === 'policy_denied' ? failure('DELEGATION_REFUSED', {}) : error
}

/** A wallet and the shard that its shares are on. */
export type WalletAt = { readonly shard: number; readonly walletId: Uint8Array }
type PresignArgs = { readonly shard: number; readonly walletIds: readonly Uint8Array[] }

/** As `telling`, of work that releases nothing: what a session died of is over when it is asked for again. */
const tellingMaking = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    if (isPassing(error)) throw failure('COSIGNER_UNAVAILABLE', { why: 'the link to it is being set up again' })
    throw reasonOf(error)
  }
}

/** As `tellingMaking`, of what begins anew each time: a session that a set-up came in between is over before a caller hears of it. */
const tryingAgain = <T>(work: () => Promise<T>): Promise<T> =>
  tellingMaking(async () => {
    for (const pauseMs of AGAIN_AFTER_MS) {
      try {
        return await work()
      } catch (error) {
        if (!isPassing(error)) throw error
        await sleep(pauseMs, undefined, { ref: false })
      }
    }
    return work()
  })

const AGAIN_AFTER_MS = [20, 100, 500]

const isPassing = (error: unknown): boolean => {
  const code = codeOf(error)
  return error instanceof CryptoWorkerGone || (code !== undefined && PASSING.has(code))
}

const PASSING: ReadonlySet<FaultCode> = new Set<FaultCode>(['busy', 'link_stale', 'session', 'epoch_rejected'])

const codeOf = (error: unknown): FaultCode | undefined =>
  error instanceof PeerRefusal ? error.refusal.code : error instanceof ProtocolFault ? error.codeName : undefined

/** Puts what went wrong into words that may cross to the main thread. */
const telling = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    throw reasonOf(error)
  }
}

const reasonOf = (error: unknown): unknown => {
  if (error instanceof PeerUnavailable) return failure('COSIGNER_UNAVAILABLE', { why: error.message })
  if (error instanceof PortFailure) return error
  if (error instanceof RefreshNotDue) return failure('REFRESH_NOT_DUE', { retryAfterMs: error.waitMs })
  const code = codeOf(error)
  if (code === undefined) return error
  if (code === 'link_burned') return failure('LINK_BURNED', {})
  if (code === 'link_suspended') return failure('LINK_SUSPENDED', {})
  if (code === 'unknown_presig') return new PortFailure('UNKNOWN_PRESIGNATURE')
  const suspended = error instanceof ProtocolFault && error.consequence === 'suspend-wallet'
  if (suspended) return new PortFailure('SIGNATURE_INVALID')
  return failure('COSIGNER_REFUSED', { why: code })
}

const createForkStore = (host: PortEnd<SignerHostCalls>, seal: ShareSeal, store: InitiatorStore): ForkStore => ({
  ...store,
  commitFork: ({ sid, sourceId, record, publicShares }) => {
    const { walletId, linkId } = record
    return host.call('commitFork', { sid, sourceId, walletId, linkId, publicShares, share: sealRecord(seal, record, 1n) })
  },
})

const createHostedStore = (
  host: PortEnd<SignerHostCalls>,
  seal: ShareSeal,
  prepared: Map<string, SealedShare>,
): InitiatorStore => {
  // The id stays the caller's: a session names it again for every further slot and try.
  const load = (walletId: Uint8Array) => host.call('loadShare', walletId, { transfer: [] })
  return {
    ...hostedLinks(host),
    ...hostedWallets(host, seal, load),
    savePending: async ({ sid, records }) => {
      const [first] = records
      if (first === undefined) return
      const shares = records.map((record) => sealRecord(seal, record, 1n))
      for (const record of records) {
        prepared.set(hexOf(record.walletId), sealRecord(seal, { ...record, state: decidedState(record) }, 2n))
      }
      await host.call('savePending', { sid, linkId: first.linkId, shares })
    },
    dropPending: (walletId) => {
      prepared.delete(hexOf(walletId))
      return host.call('dropPending', walletId, { transfer: [] })
    },
    settleOutcome: (question) => host.call('settleOutcome', question),
    commitRefresh: async ({ sid, records }) => {
      const shares: SealedShare[] = []
      for (const record of records) {
        const present = await load(record.walletId)
        shares.push(sealRecord(seal, record, (present?.recordVersion ?? 0n) + 1n))
      }
      const [first] = records
      if (first !== undefined) await host.call('commitRefresh', { sid, linkId: first.linkId, shares })
    },
  }
}

