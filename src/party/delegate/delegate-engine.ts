/**
 * Signing with what other daemons delegated: for each of them a link that is opened when it is first needed, and for each
 * access the refresh that has to come before its first signature. To the signing script it is what the two-party engine
 * is for the daemon's own wallets.
 */
import type { Clock } from '../../domain/clock.ts'
import { failure, isFailure } from '../../domain/failure.ts'
import { accessIdFromBytes, type ProjectId } from '../../domain/ids.ts'
import type { EcdsaSignature } from '../../engine/dkls23/sign-messages.ts'
import type { EdSignature } from '../../engine/frost/sign-messages.ts'
import type { DaemonVault } from '../../vault/daemon-vault.ts'
import { getImportedAccess, type ImportedAccess, oldestAccessesOf } from '../../vault/imported-accesses.ts'
import { getImportedSecret, openImportedSecret } from '../../vault/imported-secrets.ts'
import type { Tx } from '../../vault/store.ts'
import { PeerUnavailable } from '../counterparty.ts'
import type { EdSignJob } from '../ed-initiator.ts'
import type { ReadyPresignature } from '../initiator.ts'
import type { PooledWallet } from '../key-pools.ts'
import { MovingMean } from '../moving-mean.ts'
import { translated } from '../party-failure.ts'
import { PortFailure } from '../port-calls.ts'
import { PreparedJobs, SIGN_CALL } from '../prepared-jobs.ts'
import type { PoolSettings } from '../presignature-pool.ts'
import { hexOf } from '../presignature-map.ts'
import { runRefresh } from '../refresh-desk.ts'
import { RefreshOrders } from '../refresh-orders.ts'
import type { SignJob } from '../sign-initiator.ts'
import { WalletGates } from '../wallet-gates.ts'
import type { GrantingAddress } from './cosign-rpc.ts'
import type { CosignTarget, DaemonRefusal } from './cosign-stream.ts'
import { giveBack } from './give-back.ts'
import { type GrantingLink, openGrantingLink } from './granting-link.ts'

export type Granting = GrantingAddress & { readonly name: string; readonly partyId: Uint8Array }

export type DelegateEngineOptions = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly pool: PoolSettings
  readonly granting: readonly Granting[]
  readonly onAlert: (what: string, detail: string) => void
  /** In the transaction that decides its first refresh. */
  readonly activated: (tx: Tx, accessId: Uint8Array, shareEpoch: number) => void
}

const REFRESH_WITHIN_MS = 25_000
/** Accesses that are looked at for one whose stream carries what is of none. */
const MAX_CARRIERS = 16
/** Reasons for which it ends streams that it takes again later. */
const PASSING: ReadonlySet<string> = new Set(['OVERLOADED', 'SHUTTING_DOWN', 'STREAM_ROTATE'])
/** In the place of a reason where the two do not go on with the protocol. */
const PROTOCOL = 'PROTOCOL'
/** Reasons with which a granting daemon says that an access is over. */
const OVER: ReadonlySet<string> = new Set(['DELEGATED_ACCESS_REVOKED', 'DELEGATED_ACCESS_EXPIRED'])

export class DelegateEngine {
  readonly #options: DelegateEngineOptions
  readonly #links = new Map<string, GrantingLink>()
  readonly #gates = new WalletGates()
  readonly #orders = new RefreshOrders()
  readonly #rounds = new MovingMean()
  readonly #prepared = new PreparedJobs()
  readonly #readying = new Map<string, Promise<void>>()
  /** Access → the daemon that delegated it, of those that were used since the start. */
  readonly #granting = new Map<string, string>()
  #stopped = false

  constructor(options: DelegateEngineOptions) {
    this.#options = options
  }

  /**
   * Joins the daemon that delegated, and replaces the first share with it where that was not done yet. Answers the project
   * that payloads for it name. Refuses: GRANTING_DAEMON_UNKNOWN, GRANTING_DAEMON_UNAVAILABLE, GRANTING_DAEMON_REFUSED,
   * IMPORTED_ACCESS_ENDED, LINK_BURNED, LINK_SUSPENDED.
   */
  async ready(access: ImportedAccess, signal: AbortSignal): Promise<{ readonly projectId: ProjectId }> {
    const link = this.#linkOf(access)
    const { accessId } = access
    return this.telling(accessId, async () => {
      const { projectId } = await translated(link.streams.join(accessId))
      await link.align()
      if (access.state === 'PENDING') await this.#replaceShare(link, access, signal)
      return { projectId: projectId as ProjectId }
    })
  }

  async takePresignature(
    { walletId, keyType }: PooledWallet,
    signal: AbortSignal,
    whenEmpty: 'wait' | 'fail' = 'wait',
  ): Promise<ReadyPresignature> {
    if (whenEmpty === 'wait') await this.#gates.pass(walletId, signal)
    return translated(this.#usedLink(walletId).pools.of(keyType).take(walletId, signal, whenEmpty))
  }

  discardPresignature(presigId: Uint8Array): void {
    this.#prepared.forget(presigId)
    for (const { signer } of this.#links.values()) void signer.call('discard', presigId, { transfer: [] }).catch(() => undefined)
  }

  /** As TwoPartyEngine's. */
  prepareSign(job: SignJob): void {
    const link = this.#links.get(this.#granting.get(hexOf(job.walletId)) ?? '')
    if (link !== undefined) this.#prepared.begin(job, link.signer, link.pools.of('secp256k1').liveCount)
  }

  sign(job: SignJob): Promise<EcdsaSignature> {
    return this.#run(job, (link) => this.#prepared.finish(job, link.signer))
  }

  signEd25519(job: EdSignJob): Promise<EdSignature> {
    return this.#run(job, (link) => link.signer.call('signEd25519', job, SIGN_CALL))
  }

  estimateSignMs({ walletId, keyType }: PooledWallet): number {
    const pool = this.#usedLink(walletId).pools.of(keyType)
    const waitMs = pool.estimateWaitMs(walletId)
    return waitMs === 0 && pool.liveCount === 0 ? 0 : waitMs + this.#rounds.value
  }

  /**
   * The daemon that delegated destroys its half. Refuses: GRANTING_DAEMON_UNKNOWN, GRANTING_DAEMON_UNAVAILABLE,
   * GRANTING_DAEMON_REFUSED.
   */
  async giveBack({ accessId, grantingId }: ImportedAccess): Promise<void> {
    const granting = this.#grantingOf(grantingId)
    const refusal = await giveBack(this.#targetOf(granting, accessId)).catch((error: unknown) => {
      throw error instanceof PeerUnavailable ? failure('GRANTING_DAEMON_UNAVAILABLE', { why: error.message }) : error
    })
    if (refusal !== undefined && !OVER.has(refusal.reason)) throw this.#told(accessId, refusal)
  }

  /** The links to daemons that delegated which are held open, and what they have ready. */
  get openLinks(): { readonly open: number; readonly presignatures: number } {
    const links = [...this.#links.values()]
    return { open: links.length, presignatures: links.reduce((sum, { pools }) => sum + pools.size, 0) }
  }

  /** Nothing signs with the access any more. */
  drop(accessId: Uint8Array): void {
    const link = this.#links.get(this.#granting.get(hexOf(accessId)) ?? '')
    link?.pools.forget(accessId)
    link?.streams.drop(accessId)
    void link?.signer.call('wipeWallet', accessId, { transfer: [] }).catch(() => undefined)
  }

  /** After the root of the vault was rotated. */
  async renewShareKey(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.renewShareKey()))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    const links = [...this.#links.values()]
    this.#links.clear()
    await Promise.all(links.map((link) => link.close()))
  }

  /** Nobody hears of a cosigner here. What the daemon said as it ended the stream counts more than that the stream ended. */
  async telling<T>(accessId: Uint8Array, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const isRefused = isFailure(error) && error.reason === 'COSIGNER_REFUSED'
      if (!isFailure(error) || (error.reason !== 'COSIGNER_UNAVAILABLE' && !isRefused)) throw error
      const { why } = error.facts as { readonly why: string }
      if (isRefused) throw failure('GRANTING_DAEMON_REFUSED', { refusal: PROTOCOL, why })
      const link = this.#links.get(this.#granting.get(hexOf(accessId)) ?? '')
      const refusal = link?.streams.refusalOf(accessId)
      const isFinal = refusal !== undefined && refusal.reason !== '' && !PASSING.has(refusal.reason)
      if (isFinal) throw this.#told(accessId, refusal)
      throw failure('GRANTING_DAEMON_UNAVAILABLE', { why })
    }
  }

  #told(accessId: Uint8Array, { reason, message }: DaemonRefusal): Error {
    if (OVER.has(reason)) return failure('IMPORTED_ACCESS_ENDED', { accessId: accessIdFromBytes(accessId) })
    return failure('GRANTING_DAEMON_REFUSED', { refusal: reason, why: message })
  }

  async #run<T>(job: SignJob | EdSignJob, rounds: (link: GrantingLink) => Promise<T>): Promise<T> {
    const { walletId, reqId } = job
    if (this.#gates.isHeld(walletId)) throw new PortFailure('UNKNOWN_PRESIGNATURE')
    const link = this.#usedLink(walletId)
    const startMs = performance.now()
    const keyType = 'message' in job ? 'ed25519' : 'secp256k1'
    const endLive = link.pools.of(keyType).beginLive()
    try {
      return await this.#gates.during(walletId, () => translated(rounds(link)))
    } catch (error) {
      // What it does not know any more, it knows none of.
      if (error instanceof PortFailure && error.reason === 'UNKNOWN_PRESIGNATURE') link.pools.forget(walletId)
      const refusal = link.streams.takeRefusal(reqId)
      throw refusal === undefined ? error : this.#told(walletId, refusal)
    } finally {
      endLive()
      this.#rounds.note(performance.now() - startMs)
    }
  }

  #usedLink(accessId: Uint8Array): GrantingLink {
    const link = this.#links.get(this.#granting.get(hexOf(accessId)) ?? '')
    if (link === undefined) throw failure('COSIGNER_UNAVAILABLE', { why: 'the link to it is being opened again' })
    return link
  }

  #linkOf({ accessId, grantingId }: ImportedAccess): GrantingLink {
    if (this.#stopped) throw failure('SHUTTING_DOWN', {})
    const granting = this.#grantingOf(grantingId)
    const key = hexOf(granting.partyId)
    this.#granting.set(hexOf(accessId), key)
    const open = this.#links.get(key)
    if (open !== undefined) return open
    const link = this.#openLink(key, granting)
    this.#links.set(key, link)
    return link
  }

  #grantingOf(grantingId: Uint8Array | undefined): Granting {
    if (grantingId === undefined) throw failure('FOREIGN_SHARE', {})
    const key = hexOf(grantingId)
    const granting = this.#options.granting.find(({ partyId }) => hexOf(partyId) === key)
    if (granting === undefined) throw failure('GRANTING_DAEMON_UNKNOWN', { partyId: key })
    return granting
  }

  #openLink(key: string, granting: Granting): GrantingLink {
    const { vault, clock, pool, onAlert } = this.#options
    const link: GrantingLink = openGrantingLink({
      vault,
      clock,
      pool,
      partyId: granting.partyId,
      name: granting.name,
      targetOf: (accessId) => this.#targetOf(granting, accessId),
      accesses: () => oldestAccessesOf(vault.read, granting.partyId, MAX_CARRIERS).map(({ accessId }) => accessId),
      refreshOrders: this.#orders,
      onAlert,
      onLost: () => {
        onAlert('delegate_link', `${granting.name}: its thread ended`)
        if (this.#links.get(key) === link) this.#links.delete(key)
      },
    })
    return link
  }

  #targetOf({ url, authorities, partyId }: Granting, accessId: Uint8Array): CosignTarget {
    const { vault } = this.#options
    const sealed = getImportedSecret(vault.read, accessId, 'api-key')
    if (sealed === undefined) throw failure('IMPORTED_ACCESS_ENDED', { accessId: accessIdFromBytes(accessId) })
    const shareKey = vault.shareKey()
    try {
      const apiKey = openImportedSecret(shareKey, vault.vaultId, sealed)
      const text = Buffer.from(apiKey).toString('latin1')
      apiKey.fill(0)
      return { url, authorities, partyId, accessId, apiKey: text }
    } finally {
      shareKey.fill(0)
    }
  }

  /** Once, whoever asks. */
  async #replaceShare(link: GrantingLink, { accessId, keyType }: ImportedAccess, signal: AbortSignal): Promise<void> {
    const key = hexOf(accessId)
    const { vault, clock, activated } = this.#options
    const running =
      this.#readying.get(key) ??
      this.#refresh(link, { walletId: accessId, keyType }, (tx, shareEpoch) => activated(tx, accessId, shareEpoch), clock).finally(() =>
        this.#readying.delete(key),
      )
    this.#readying.set(key, running)
    await Promise.race([running, aborted(signal)])
    if (getImportedAccess(vault.read, accessId)?.state !== 'ACTIVE') throw failure('IMPORTED_ACCESS_ENDED', { accessId: accessIdFromBytes(accessId) })
  }

  async #refresh(link: GrantingLink, wallet: PooledWallet, record: (tx: Tx, shareEpoch: number) => void, clock: Clock): Promise<void> {
    // One that an earlier try has already decided goes no further.
    if (getImportedAccess(this.#options.vault.read, wallet.walletId)?.state !== 'PENDING') return
    await runRefresh({ vault: this.#options.vault, clock, gates: this.#gates, orders: this.#orders }, link, wallet, {
      order: { record },
      during: (change) => change(),
      signal: AbortSignal.timeout(REFRESH_WITHIN_MS),
      deadlineMs: clock.nowMs() + REFRESH_WITHIN_MS,
    })
  }
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const fail = (): void => reject(failure('DEADLINE_EXCEEDED', {}))
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
