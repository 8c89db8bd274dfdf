/**
 * The daemon's hold on both parties: starts the cosigner's thread and party C's thread, joins them, and shuts signing
 * when either is gone. A vault or key of the cosigner that cannot be opened leaves the daemon up and signing closed;
 * the next call tries again.
 */
import { type Failure, failure, isFailure } from '../domain/failure.ts'
import type { EcdsaSignature } from '../engine/dkls23/sign-messages.ts'
import type { EdSignature } from '../engine/frost/sign-messages.ts'
import type { PoolLevels } from '../observe/metrics.ts'
import { type AuditHead, auditHead } from '../vault/audit-chain.ts'
import type { FreezeRow, FreezeSubject } from '../vault/freezes.ts'
import { rememberPeerHead } from '../vault/peer-heads.ts'
import type { KeyType } from '../vault/wallets.ts'
import { CustodyCalls } from './custody-calls.ts'
import type { CosignerStatus } from './cosigner.ts'
import type { EdSignJob } from './ed-initiator.ts'
import type { ReadyPresignature } from './initiator.ts'
import type { PooledWallet } from './key-pools.ts'
import { MovingMean } from './moving-mean.ts'
import { type JoinedParties, openParties, type PartiesOptions } from './open-parties.ts'
import { DelegateCalls } from './delegate-calls.ts'
import { OwnerCalls } from './owner-calls.ts'
import { asFailure, toldOf, translated, whyOf } from './party-failure.ts'
import { PortFailure } from './port-calls.ts'
import { PreparedJobs, SIGN_CALL } from './prepared-jobs.ts'
import { hexOf } from './presignature-map.ts'
import { RefreshOrders } from './refresh-orders.ts'
import { type RefreshTurn, runRefresh } from './refresh-desk.ts'
import type { SignJob } from './sign-initiator.ts'
import type { Made, SignerStatus } from './signer.ts'
import { WalletGates } from './wallet-gates.ts'

export type EngineOptions = Omit<PartiesOptions, 'refreshOrders'> & {
  /** Whether presignatures may be made for a wallet before anybody signs with it. */
  readonly mayPool?: (walletId: Uint8Array) => boolean
  /** Signing is possible, or is not any more. */
  readonly onAvailability: (available: boolean, why: string) => void
}

const CALL_TIMEOUT_MS = 10_000
const RETRY_MS = 1_000

export class TwoPartyEngine {
  readonly #options: EngineOptions
  #live: JoinedParties | undefined
  /** Why `#live` cannot be reached for the moment. */
  #away: Failure | undefined
  #starting: Promise<JoinedParties> | undefined
  #lastTryMs = 0
  #why = 'not started'
  /** What signing is refused with instead of COSIGNER_UNAVAILABLE. */
  #refusal: Failure | undefined
  #stopped = false
  readonly #gates = new WalletGates()
  readonly #orders = new RefreshOrders()
  readonly #prepared = new PreparedJobs()
  readonly #rounds: { readonly [K in KeyType]: MovingMean } = { secp256k1: new MovingMean(), ed25519: new MovingMean() }

  /** What the owners of wallets ask for. */
  readonly owners: OwnerCalls
  readonly delegates: DelegateCalls
  readonly custody: CustodyCalls

  constructor(options: EngineOptions) {
    this.#options = options
    this.owners = new OwnerCalls(() => this.#ensure(), this.#gates)
    this.custody = new CustodyCalls(() => this.#ensure(), () => this.#live, options)
    const ownKey = (): Uint8Array => options.vault.signer.publicKey
    this.delegates = new DelegateCalls(() => this.#ensure(), this.#gates, this.#orders, ownKey)
  }

  get available(): boolean {
    return this.#live !== undefined && this.#away === undefined
  }

  get presignatureCount(): number {
    return this.#live?.pools.size ?? 0
  }

  /** Starts both parties. Resolves when they are joined; a cosigner that does not open is an availability, not a throw. */
  async start(): Promise<void> {
    try {
      await this.#ensure()
    } catch (error) {
      if (!isFailure(error) || error.reason === 'VAULT_ROLLED_BACK') throw error
    }
  }

  async generateWallet(keyType: KeyType): Promise<Made> {
    const { signer } = await this.#ensure()
    return translated(signer.call('generate', { keyType }, { timeoutMs: CALL_TIMEOUT_MS }))
  }

  /** After the transaction that made the wallet ACTIVE. */
  async acknowledge(sid: Uint8Array, { walletId, keyType }: PooledWallet): Promise<void> {
    await this.#live?.signer.call('acknowledge', sid, { transfer: [] }).catch(() => undefined)
    if (this.#options.mayPool?.(walletId) !== false) this.#live?.pools.of(keyType).keepWarm(walletId)
  }

  /** After the daemon's own record is gone: the cosigner forgets its part of a wallet that never came to be. */
  async abandonWallet(walletId: Uint8Array): Promise<void> {
    await this.#live?.cosigner.call('abandonWallet', { walletId }, { timeoutMs: CALL_TIMEOUT_MS })
  }

  async takePresignature(
    { walletId, keyType }: PooledWallet,
    signal: AbortSignal,
    whenEmpty: 'wait' | 'fail' = 'wait',
  ): Promise<ReadyPresignature> {
    for (;;) {
      if (whenEmpty === 'wait') await this.#gates.pass(walletId, signal)
      const { pools } = await this.#ensure()
      try {
        return await translated(pools.of(keyType).take(walletId, signal, whenEmpty))
      } catch (error) {
        // A refresh that begins while one is waited for leaves the wallet out of the session: this waits for it too.
        if (whenEmpty === 'fail' || !this.#gates.isHeld(walletId)) throw error
      }
    }
  }

  /**
   * Both parties' shares change, the key stays. Signatures under way are waited for and those that come wait; the
   * wallet's presignatures are gone. Refuses as `runRefresh`.
   */
  async refreshShares(wallet: PooledWallet, turn: RefreshTurn): Promise<void> {
    const live = await this.#ensure()
    const { vault, clock } = this.#options
    await runRefresh({ vault, clock, gates: this.#gates, orders: this.#orders }, live, wallet, turn)
    // Each side remembers how far the other's vault is from here on, so an older copy of either is refused.
    await this.anchor(auditHead(vault.read)).catch((error: unknown) =>
      this.#options.onAlert('daemon', 'anchor', String(error)),
    )
  }

  /** One that was taken and is not going to be used: both sides overwrite it, and nothing waits for that. */
  discardPresignature(presigId: Uint8Array): void {
    const live = this.#live
    this.#prepared.forget(presigId)
    void live?.signer.call('discard', presigId, { transfer: [] }).catch(() => undefined)
    void live?.cosigner.call('discard', presigId, { transfer: [] }).catch(() => undefined)
  }

  /**
   * Lets party C's thread work on a signature, by a secp256k1 wallet, whose intent is about to be written: nothing leaves
   * that thread before `sign` is called with the same job. One that is not to be has its presignature discarded. Not
   * where many are being made.
   */
  prepareSign(job: SignJob): void {
    const live = this.#live
    if (live !== undefined) this.#prepared.begin(job, live.signer, live.pools.of('secp256k1').liveCount)
  }

  /** By a secp256k1 wallet. */
  sign(job: SignJob): Promise<EcdsaSignature> {
    return this.#measured('secp256k1', job.walletId, ({ signer }) => this.#prepared.finish(job, signer))
  }

  signEd25519(job: EdSignJob): Promise<EdSignature> {
    return this.#measured('ed25519', job.walletId, ({ signer }) =>
      signer.call('signEd25519', job, SIGN_CALL),
    )
  }

  async #measured<T>(
    keyType: KeyType,
    walletId: Uint8Array,
    rounds: (parties: JoinedParties) => Promise<T>,
  ): Promise<T> {
    // A presignature that was taken before a refresh began went with the shares it was made of: another one is taken.
    if (this.#gates.isHeld(walletId)) throw new PortFailure('UNKNOWN_PRESIGNATURE')
    return this.#gates.during(walletId, () => this.#measureRounds(keyType, rounds))
  }

  async #measureRounds<T>(keyType: KeyType, rounds: (parties: JoinedParties) => Promise<T>): Promise<T> {
    const live = await this.#ensure()
    const endLive = live.pools.of(keyType).beginLive()
    const startMs = performance.now()
    try {
      return await translated(rounds(live))
    } finally {
      endLive()
      this.#rounds[keyType].note(performance.now() - startMs)
    }
  }

  /**
   * How long a signature that is asked for now is likely to take behind the work that is there; 0 when there is none,
   * so that an estimate that has become too long cannot keep everything out.
   */
  estimateSignMs({ walletId, keyType }: PooledWallet): number {
    const pool = this.#live?.pools.of(keyType)
    if (pool === undefined) return 0
    const waitMs = pool.estimateWaitMs(walletId)
    return waitMs === 0 && pool.liveCount === 0 ? 0 : waitMs + this.#rounds[keyType].value
  }

  /** Fills a wallet's pool. Resolves when it is `depth` deep (0: as deep as the settings say) or `signal` aborts. */
  async warmPool(
    { walletId, keyType }: PooledWallet,
    depth: number,
    signal: AbortSignal,
  ): Promise<{ readonly depth: number; readonly capacity: number; readonly fillRate: number }> {
    await this.#gates.pass(walletId, signal)
    const { pools } = await this.#ensure()
    const pool = pools.of(keyType)
    const ready = await translated(pool.warm(walletId, depth, signal))
    return { depth: ready, capacity: pool.walletCapacity, fillRate: pool.fillRate }
  }

  poolView(): PoolLevels | undefined {
    return this.#live?.pools.view()
  }

  /** Wallets with a pool that is kept filled. */
  pooledWallets(): readonly Uint8Array[] {
    return this.#live?.pools.wallets() ?? []
  }

  /** Every presignature of these wallets is gone on both sides; a party that is away has none to lose. */
  async dropPools(walletIds: readonly Uint8Array[]): Promise<void> {
    for (const walletId of walletIds) this.#live?.pools.forget(walletId)
    await Promise.all(walletIds.map((walletId) => this.dropPresignatures(walletId).catch(() => undefined)))
  }

  /** The wallet's presignatures are gone on both sides. */
  async dropPresignatures(walletId: Uint8Array): Promise<void> {
    const live = this.#live
    if (live === undefined) return
    live.pools.forget(walletId)
    await live.signer.call('wipeWallet', walletId, { transfer: [], timeoutMs: CALL_TIMEOUT_MS })
    // Half of a presignature is of no use: one that is away keeps its own until it expires.
    if (this.#away === undefined) await live.cosigner.call('dropPresignatures', { walletId }, { timeoutMs: CALL_TIMEOUT_MS })
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
    const share = async ({ cosigner }: JoinedParties): Promise<void> => {
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
    if (live === undefined || this.#away !== undefined) return
    const theirs = await live.cosigner.call('rememberHead', { head, exact: false }, { timeoutMs: CALL_TIMEOUT_MS })
    const { vault, clock } = this.#options
    await vault.commit((tx) => rememberPeerHead(tx, live.cosignerId, theirs, Math.trunc(clock.nowMs())))
  }

  /** After the root of the daemon's vault was rotated. A thread that starts later asks the vault itself. */
  async renewShareKey(): Promise<void> {
    const live = this.#live ?? (await this.#starting?.catch(() => undefined))
    await live?.signer.call('useShareKey', this.#options.vault.shareKey(), { timeoutMs: CALL_TIMEOUT_MS })
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
    readonly signer: readonly SignerStatus[] | undefined
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

  async #ensure(): Promise<JoinedParties> {
    if (this.#away !== undefined) throw this.#away
    if (this.#live !== undefined) return this.#live
    if (this.#stopped) throw failure('SHUTTING_DOWN', {})
    if (this.#starting === undefined) {
      const sinceMs = this.#options.clock.nowMs() - this.#lastTryMs
      if (sinceMs >= 0 && sinceMs < RETRY_MS) throw this.#refusal ?? failure('COSIGNER_UNAVAILABLE', { why: this.#why })
      this.#lastTryMs = this.#options.clock.nowMs()
      this.#starting = this.#open().finally(() => {
        this.#starting = undefined
      })
    }
    return this.#starting
  }

  async #open(): Promise<JoinedParties> {
    try {
      const options = { ...this.#options, onAway: (why: string) => this.#setAway(why), refreshOrders: this.#orders }
      const live = await openParties(options, (why) => this.#lose(why))
      this.#live = live
      this.#why = ''
      this.#options.onAvailability(true, '')
      return live
    } catch (error) {
      const known = asFailure(error)
      if (isFailure(known) && known.reason === 'VAULT_ROLLED_BACK') throw known
      this.#why = isFailure(known) ? toldOf(known) : 'it cannot be started'
      if (!isFailure(known)) this.#options.onAlert('daemon', 'internal', String(error))
      this.#refusal = isFailure(known) && known.reason === 'RESTORE_UNACKNOWLEDGED' ? known : undefined
      this.#options.onAvailability(false, isFailure(known) ? whyOf(known) : this.#why)
      throw this.#refusal ?? failure('COSIGNER_UNAVAILABLE', { why: this.#why })
    }
  }

  /** The cosigner cannot be reached, and both parties wait with what they have; `''`: it is back. */
  #setAway(why: string): void {
    this.#away = why === '' ? undefined : failure('COSIGNER_UNAVAILABLE', { why })
    this.#why = why
    if (!this.#stopped) this.#options.onAvailability(why === '', why)
  }

  #lose(why: string): void {
    const [live, wasAway] = [this.#live, this.#away !== undefined]
    this.#live = undefined
    this.#away = undefined
    this.#why = why
    if (!this.#stopped) this.#options.onAvailability(false, why)
    // One that was away and has begun anew is there again: nobody has to ask first.
    void live?.close(why).then(() => (wasAway && !this.#stopped ? this.start() : undefined)).catch(() => undefined)
  }
}
