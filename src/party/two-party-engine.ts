/**
 * The daemon's hold on both parties: starts the cosigner's thread and party C's thread, joins them, and shuts signing
 * when either is gone. A vault or key of the cosigner that cannot be opened leaves the daemon up and signing closed;
 * the next call tries again.
 */
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Clock } from '../domain/clock.ts'
import { Failure, type FailureFacts, failure, type FailureReason, isFailure } from '../domain/failure.ts'
import type { EcdsaSignature } from '../engine/dkls23/sign-messages.ts'
import { type AuditHead, auditHead, requireRememberedHead } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { type FreezeRow, type FreezeSubject, listFreezes } from '../vault/freezes.ts'
import { rememberPeerHead } from '../vault/peer-heads.ts'
import { getSetting, putSetting } from '../vault/settings.ts'
import { dropPendingShare, listPendingShares } from '../vault/wallet-shares.ts'
import type { CosignerCalls, CosignerEvents, CosignerStatus, CosignerWorkerData } from './cosigner.ts'
import { PeerUnavailable } from './counterparty.ts'
import type { ReadyPresignature, SignJob } from './initiator.ts'
import { MovingMean } from './moving-mean.ts'
import { partyIdOf } from './party-id.ts'
import { openPortEnd, type PortEnd, PortFailure } from './port-calls.ts'
import { type PoolSettings, type PoolView, PresignaturePool } from './presignature-pool.ts'
import { hexOf } from './presignature-map.ts'
import type { GeneratedWallet, SignerCalls, SignerHostCalls, SignerStatus, SignerWorkerData } from './signer.ts'
import { createSignerHost, type SignerHostEvents } from './signer-host.ts'

export type EngineOptions = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly pool: PoolSettings
  readonly cosigner: Omit<CosignerWorkerData, 'frames' | 'create'>
  readonly onAlert: (party: 'daemon' | 'cosigner', what: string, detail: string) => void
  /** Signing is possible, or is not any more. */
  /** Whether presignatures may be made for a wallet before anybody signs with it. */
  readonly mayPool?: (walletId: Uint8Array) => boolean
  /** A wallet's pool is about to run dry. */
  readonly onLowPool?: (walletId: Uint8Array, left: number) => void
  readonly onAvailability: (available: boolean, why: string) => void
} & SignerHostEvents

type Live = {
  readonly cosigner: PortEnd<CosignerCalls>
  readonly signer: PortEnd<SignerCalls>
  readonly pool: PresignaturePool
  readonly cosignerId: Uint8Array
  /** `why`: what was lost; absent when the daemon stops. */
  readonly close: (why?: string) => Promise<void>
}

const PEER_SETTING = 'peer_id'
const OPEN_TIMEOUT_MS = 30_000
const CALL_TIMEOUT_MS = 10_000
const RETRY_MS = 1_000
const FREEZES_MAX = 100_000
/** The wallet epoch of a key that was just generated. */
const FIRST_EPOCH = 0

/** A coded refusal of a thread becomes the daemon's own failure; anything else is a bug there. */
const asFailure = (error: unknown): unknown => {
  if (error instanceof PeerUnavailable) return failure('COSIGNER_UNAVAILABLE', { why: error.message })
  if (isFailure(error) || !(error instanceof PortFailure)) return error
  if (error.reason === 'INTERNAL' || error.reason === 'METHOD_UNKNOWN') return new Error('a party failed internally')
  return new Failure(error.reason as FailureReason, error.facts as never)
}

const translated = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    if (error instanceof PortFailure && TOLD_APART.has(error.reason)) throw error
    throw asFailure(error)
  }
}
/** Said of a cosigner that is away: its own words, without the sentence around them. */
const whyOf = (error: Failure): string =>
  error.reason === 'COSIGNER_UNAVAILABLE' ? (error.facts as FailureFacts['COSIGNER_UNAVAILABLE']).why : error.message

/** The same for callers, who learn nothing of the daemon's files. */
const TOLD: Partial<Record<FailureReason, string>> = {
  VAULT_MISSING: 'its vault is missing',
  VAULT_CORRUPT: 'its vault is damaged',
  VAULT_TOO_NEW: 'its vault is of a newer version',
  VAULT_LOCKED: 'its vault is held by another process',
  VAULT_UNWRITABLE: 'its vault cannot be written',
  ROOT_KEY_WRONG: 'its root key does not open its vault',
  ROOT_KEY_UNREADABLE: 'its root key cannot be read',
}
const toldOf = (error: Failure): string => TOLD[error.reason] ?? whyOf(error)

/** What the signing script handles itself. */
const TOLD_APART = new Set(['UNKNOWN_PRESIGNATURE', 'SIGNATURE_INVALID'])

export class TwoPartyEngine {
  readonly #options: EngineOptions
  #live: Live | undefined
  #starting: Promise<Live> | undefined
  #lastTryMs = 0
  #why = 'not started'
  #stopped = false
  readonly #rounds = new MovingMean()

  constructor(options: EngineOptions) {
    this.#options = options
  }

  get available(): boolean {
    return this.#live !== undefined
  }

  get presignatureCount(): number {
    return this.#live?.pool.size ?? 0
  }

  /** Starts both parties. Resolves when they are joined; a cosigner that does not open is an availability, not a throw. */
  async start(): Promise<void> {
    try {
      await this.#ensure()
    } catch (error) {
      if (!isFailure(error) || error.reason === 'VAULT_ROLLED_BACK') throw error
    }
  }

  async generateWallet(): Promise<{ readonly sid: Uint8Array; readonly wallet: GeneratedWallet }> {
    const { signer } = await this.#ensure()
    return translated(signer.call('generate', undefined, { timeoutMs: CALL_TIMEOUT_MS }))
  }

  /** After the transaction that made the wallet ACTIVE. */
  async acknowledge(sid: Uint8Array, walletId: Uint8Array): Promise<void> {
    await this.#live?.signer.call('acknowledge', sid, { transfer: [] }).catch(() => undefined)
    if (this.#options.mayPool?.(walletId) !== false) this.#live?.pool.keepWarm(walletId)
  }

  /** After the daemon's own record is gone: the cosigner forgets its part of a wallet that never came to be. */
  async abandonWallet(walletId: Uint8Array): Promise<void> {
    await this.#live?.cosigner.call('abandonWallet', { walletId }, { timeoutMs: CALL_TIMEOUT_MS })
  }

  async takePresignature(
    walletId: Uint8Array,
    signal: AbortSignal,
    whenEmpty: 'wait' | 'fail' = 'wait',
  ): Promise<ReadyPresignature> {
    const { pool } = this.#live ?? (await this.#ensure())
    return translated(pool.take(walletId, signal, whenEmpty))
  }

  /** One that was taken and is not going to be used: both sides overwrite it, and nothing waits for that. */
  discardPresignature(presigId: Uint8Array): void {
    const live = this.#live
    void live?.signer.call('discard', presigId, { transfer: [] }).catch(() => undefined)
    void live?.cosigner.call('discard', presigId, { transfer: [] }).catch(() => undefined)
  }

  async sign(job: SignJob): Promise<EcdsaSignature> {
    const { signer, pool } = this.#live ?? (await this.#ensure())
    const endLive = pool.beginLive()
    const startMs = performance.now()
    try {
      return await translated(signer.call('sign', job, { transfer: [], timeoutMs: CALL_TIMEOUT_MS }))
    } finally {
      endLive()
      this.#rounds.note(performance.now() - startMs)
    }
  }

  /**
   * How long a signature that is asked for now is likely to take behind the work that is there; 0 when there is none,
   * so that an estimate that has become too long cannot keep everything out.
   */
  estimateSignMs(walletId: Uint8Array): number {
    const pool = this.#live?.pool
    if (pool === undefined) return 0
    const waitMs = pool.estimateWaitMs(walletId)
    return waitMs === 0 && pool.liveCount === 0 ? 0 : waitMs + this.#rounds.value
  }

  /** Fills a wallet's pool. Resolves when it is `depth` deep (0: as deep as the settings say) or `signal` aborts. */
  async warmPool(
    walletId: Uint8Array,
    depth: number,
    signal: AbortSignal,
  ): Promise<{ readonly depth: number; readonly capacity: number; readonly fillRate: number }> {
    const { pool } = this.#live ?? (await this.#ensure())
    const ready = await translated(pool.warm(walletId, depth, signal))
    return { depth: ready, capacity: pool.walletCapacity, fillRate: pool.fillRate }
  }

  poolView(): PoolView | undefined {
    return this.#live?.pool.view()
  }

  /** Wallets with a pool that is kept filled. */
  pooledWallets(): readonly Uint8Array[] {
    return this.#live?.pool.wallets() ?? []
  }

  /** Every presignature of these wallets is gone on both sides; a party that is away has none to lose. */
  async dropPools(walletIds: readonly Uint8Array[]): Promise<void> {
    for (const walletId of walletIds) this.#live?.pool.forget(walletId)
    await Promise.all(walletIds.map((walletId) => this.dropPresignatures(walletId).catch(() => undefined)))
  }

  /** The wallet's presignatures are gone on both sides. */
  async dropPresignatures(walletId: Uint8Array): Promise<void> {
    const live = this.#live
    if (live === undefined) return
    live.pool.forget(walletId)
    await live.signer.call('wipeWallet', walletId, { transfer: [], timeoutMs: CALL_TIMEOUT_MS })
    await live.cosigner.call('dropPresignatures', { walletId }, { timeoutMs: CALL_TIMEOUT_MS })
  }

  /** Both sides stop signing with the wallet for good. */
  async stopWallet(walletId: Uint8Array): Promise<void> {
    const { cosigner } = await this.#ensure()
    await translated(cosigner.call('stopWallet', { walletId }, { timeoutMs: CALL_TIMEOUT_MS }))
    await this.dropPresignatures(walletId)
  }

  /**
   * The cosigner keeps its own copy of every freeze, so that a daemon gone wrong does not sign past one. One that is
   * away, or does not answer, is told when it is joined again; the daemon's own freeze holds meanwhile.
   */
  async freezeCosigner(freeze: FreezeRow): Promise<void> {
    const share = async ({ cosigner }: Live): Promise<void> => {
      await cosigner
        .call('freeze', { freeze }, { timeoutMs: CALL_TIMEOUT_MS })
        .catch((error: unknown) => this.#options.onAlert('daemon', 'freeze_not_shared', String(error)))
    }
    if (this.#live !== undefined) return share(this.#live)
    // One that is being joined may have been told of the others already.
    void this.#starting?.then(share).catch(() => undefined)
  }

  /** Needs the cosigner: a freeze that only the daemon forgot would stay without anybody seeing it. */
  async unfreezeCosigner(subject: FreezeSubject): Promise<void> {
    const { cosigner } = await this.#ensure()
    const timeMs = Math.trunc(this.#options.clock.nowMs())
    await cosigner.call('unfreeze', { subject, timeMs }, { timeoutMs: CALL_TIMEOUT_MS }).catch((error) => {
      if (!(error instanceof PortFailure && error.reason === 'FREEZE_NOT_FOUND')) throw error
    })
  }

  /** Tells the cosigner where the daemon's audit chain stands; answers what it remembers. */
  async anchor(head: AuditHead): Promise<void> {
    const live = this.#live
    if (live === undefined) return
    const theirs = await live.cosigner.call('rememberHead', { head, exact: false }, { timeoutMs: CALL_TIMEOUT_MS })
    const { vault, clock } = this.#options
    await vault.commit((tx) => rememberPeerHead(tx, live.cosignerId, theirs, Math.trunc(clock.nowMs())))
  }

  async relink(): Promise<void> {
    const { signer } = await this.#ensure()
    await translated(signer.call('relink', undefined))
  }

  async status(): Promise<{
    readonly available: boolean
    readonly why: string
    readonly cosignerId: string
    readonly cosigner: CosignerStatus | undefined
    readonly signer: SignerStatus | undefined
  }> {
    const live = this.#live
    const none = { available: false, why: this.#why, cosignerId: '', cosigner: undefined, signer: undefined }
    if (live === undefined) return none
    const [cosigner, signer] = await Promise.allSettled([
      live.cosigner.call('status', undefined, { timeoutMs: CALL_TIMEOUT_MS }),
      live.signer.call('status', undefined, { timeoutMs: CALL_TIMEOUT_MS }),
    ])
    return {
      available: cosigner.status === 'fulfilled' && signer.status === 'fulfilled',
      why: this.#why,
      cosignerId: hexOf(live.cosignerId),
      cosigner: cosigner.status === 'fulfilled' ? cosigner.value : undefined,
      signer: signer.status === 'fulfilled' ? signer.value : undefined,
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    const live = this.#live ?? (await this.#starting?.catch(() => undefined))
    this.#live = undefined
    await live?.close()
  }

  async #ensure(): Promise<Live> {
    if (this.#live !== undefined) return this.#live
    if (this.#stopped) throw failure('SHUTTING_DOWN', {})
    if (this.#starting === undefined) {
      const sinceMs = this.#options.clock.nowMs() - this.#lastTryMs
      if (sinceMs >= 0 && sinceMs < RETRY_MS) throw failure('COSIGNER_UNAVAILABLE', { why: this.#why })
      this.#lastTryMs = this.#options.clock.nowMs()
      this.#starting = this.#open().finally(() => {
        this.#starting = undefined
      })
    }
    return this.#starting
  }

  async #open(): Promise<Live> {
    try {
      const live = await openParties(this.#options, (why) => this.#lose(why))
      this.#live = live
      this.#why = ''
      this.#options.onAvailability(true, '')
      return live
    } catch (error) {
      const known = asFailure(error)
      if (isFailure(known) && known.reason === 'VAULT_ROLLED_BACK') throw known
      this.#why = isFailure(known) ? toldOf(known) : 'it cannot be started'
      if (!isFailure(known)) this.#options.onAlert('daemon', 'internal', String(error))
      this.#options.onAvailability(false, isFailure(known) ? whyOf(known) : this.#why)
      throw failure('COSIGNER_UNAVAILABLE', { why: this.#why })
    }
  }

  #lose(why: string): void {
    const live = this.#live
    this.#live = undefined
    this.#why = why
    if (!this.#stopped) this.#options.onAvailability(false, why)
    void live?.close(why)
  }
}

/** Opens the cosigner, checks that each side is the one the other knows and not an older copy, and joins them. */
const openParties = async (options: EngineOptions, lost: (why: string) => void): Promise<Live> => {
  const { vault, clock } = options
  let isLost = false
  /** Once: the second thread ends because the first did. */
  const loseOnce = (why: string): void => {
    if (isLost) return
    isLost = true
    lost(why)
  }
  const channel = new MessageChannel()
  const cosignerThread = startThread('./cosigner-worker.ts', 'cosigner', {
    ...options.cosigner,
    create: false,
    frames: channel.port2,
  } satisfies CosignerWorkerData)
  const events: CosignerEvents = { alert: ({ what, detail }) => options.onAlert('cosigner', what, detail) }
  const onBug = (error: unknown): void => options.onAlert('daemon', 'internal', String(error))
  const cosigner: PortEnd<CosignerCalls> = openPortEnd(cosignerThread, events, onBug)
  const threads = [cosignerThread]
  let closing = false
  const close = async (): Promise<void> => {
    if (closing) return
    closing = true
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
  try {
    watchThread(cosignerThread, cosigner, 'the cosigner', () => !closing, loseOnce)
    const { ownId, head: theirs } = await cosigner.call('open', undefined, { timeoutMs: OPEN_TIMEOUT_MS })
    pinPeer(vault, ownId, clock)
    requireForward(vault, ownId, theirs, clock)
    const idC = partyIdOf(vault.signer.publicKey)
    const { head } = await cosigner.call('pair', { idC })
    if (head !== undefined) requireRememberedHead(vault.read, head)
    dropUndecided(vault, clock)
    const shareKey = vault.shareKey()
    const data: SignerWorkerData = { idC, idS: ownId, shareKey, vaultId: vault.vaultId, frames: channel.port1 }
    const signerThread = startThread('./signer-worker.ts', 'signer', data)
    shareKey.fill(0)
    threads.push(signerThread)
    const pool: PresignaturePool = new PresignaturePool(
      (ids) => signer.call('presign', ids, { transfer: [], timeoutMs: OPEN_TIMEOUT_MS }),
      options.pool,
      () => clock.nowMs(),
      {
        dropped: (walletId) => {
          void signer.call('wipeWallet', walletId, { transfer: [] }).catch(() => undefined)
          void cosigner.call('dropPresignatures', { walletId }).catch(() => undefined)
        },
        low: (walletId, left) => options.onLowPool?.(walletId, left),
      },
    )
    const host: SignerHostCalls = createSignerHost(vault, clock, {
      walletStopped: options.walletStopped,
      wiped: (walletId) => (walletId === undefined ? pool.forgetAll() : pool.forget(walletId)),
      alert: (what, detail) => options.onAlert('daemon', what, detail),
    })
    const signer: PortEnd<SignerCalls> = openPortEnd(signerThread, host, onBug)
    watchThread(signerThread, signer, 'the signer thread', () => !closing, loseOnce)
    await signer.call('connect', undefined, { timeoutMs: OPEN_TIMEOUT_MS })
    await cosigner.call('rememberHead', { head: auditHead(vault.read), exact: true })
    for (const freeze of listFreezes(vault.read, undefined, FREEZES_MAX)) {
      if (freeze.scope !== 'api_key') await cosigner.call('freeze', { freeze }, { timeoutMs: CALL_TIMEOUT_MS })
    }
    void signer.call('warm', undefined).catch((error) => onBug(asFailure(error)))
    const stop = async (why?: string): Promise<void> => {
      if (closing) return
      pool.shut(why === undefined ? undefined : failure('COSIGNER_UNAVAILABLE', { why }))
      await Promise.allSettled([
        signer.call('stop', undefined, { timeoutMs: CALL_TIMEOUT_MS }),
        cosigner.call('stop', undefined, { timeoutMs: CALL_TIMEOUT_MS }),
      ])
      await close()
    }
    return { cosigner, signer, pool, cosignerId: ownId, close: stop }
  } catch (error) {
    await close()
    throw error
  }
}

const startThread = (file: string, name: string, data: CosignerWorkerData | SignerWorkerData): Worker =>
  new Worker(new URL(file, import.meta.url), { name, workerData: data, transferList: [data.frames], env: {} })

const watchThread = (
  thread: Worker,
  port: PortEnd<never>,
  name: string,
  wanted: () => boolean,
  lost: (why: string) => void,
): void => {
  const gone = (why: string): void => {
    port.shut(why)
    if (wanted()) lost(why)
  }
  thread.on('error', () => gone(`${name} failed`))
  thread.on('exit', () => gone(`${name} ended`))
}

/** A cosigner vault put back to an older copy has forgotten what it signed with: nothing is signed with it. */
const requireForward = (vault: DaemonVault, cosignerId: Uint8Array, head: AuditHead, clock: Clock): void => {
  try {
    vault.commitNow((tx) => rememberPeerHead(tx, cosignerId, head, Math.trunc(clock.nowMs())))
  } catch (error) {
    if (!isFailure(error) || error.reason !== 'VAULT_ROLLED_BACK') throw error
    throw failure('COSIGNER_UNAVAILABLE', { why: 'its vault is older than the one last seen' })
  }
}

/** Key generations that were cut off: only the party that began them could have decided them. */
const dropUndecided = (vault: DaemonVault, clock: Clock): void => {
  const undecided = listPendingShares(vault.read).filter(({ wEpoch }) => wEpoch === FIRST_EPOCH)
  if (undecided.length === 0) return
  const timeMs = Math.trunc(clock.nowMs())
  vault.commitNow((tx) => {
    for (const { walletId } of undecided) dropPendingShare(tx, walletId, timeMs)
  })
}

/** The first cosigner is remembered; another one is not this daemon's. */
const pinPeer = (vault: DaemonVault, cosignerId: Uint8Array, clock: Clock): void => {
  const known = getSetting(vault.read, PEER_SETTING)?.value
  if (known === undefined) {
    vault.commitNow((tx) => putSetting(tx, PEER_SETTING, cosignerId, Math.trunc(clock.nowMs())))
  } else if (hexOf(known) !== hexOf(cosignerId)) {
    throw failure('COSIGNER_UNAVAILABLE', { why: 'its vault belongs to another daemon' })
  }
}
