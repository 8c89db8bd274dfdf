/** Joins the two parties: their threads, the ports between them, and what each remembers of the other. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { Clock } from '../domain/clock.ts'
import { failure, isFailure } from '../domain/failure.ts'
import { type AuditHead, auditHead, requireRememberedHead } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { listFreezes } from '../vault/freezes.ts'
import { rememberPeerHead } from '../vault/peer-heads.ts'
import { requireUnsealed } from '../vault/restore-state.ts'
import { getSetting, putSetting } from '../vault/settings.ts'
import { dropPendingShare, listPendingShares } from '../vault/wallet-shares.ts'
import type { CosignerCalls, CosignerEvents, CosignerWorkerData } from './cosigner.ts'
import type { LostMaterial } from './cosigner-links.ts'
import { endThread, STOP } from './end-thread.ts'
import { stopDivergentWallets } from './epoch-check.ts'
import { KeyPools } from './key-pools.ts'
import { Absence } from './absence.ts'
import { asFailure } from './party-failure.ts'
import { partyIdOf } from './party-id.ts'
import { openPortEnd, type PortEnd } from './port-calls.ts'
import type { PoolSettings, ShardOf } from './presignature-pool.ts'
import { hexOf } from './presignature-map.ts'
import { threadEnvironment } from './thread-environment.ts'
import { Shards } from './shards.ts'
import type { RemoteCosignerData } from './remote/remote-cosigner-worker.ts'
import type { RemoteCosigner } from './remote/resuming-stream.ts'
import type { RefreshOrders } from './refresh-orders.ts'
import type { SignerCalls, SignerHostCalls, SignerWorkerData } from './signer.ts'
import { createSignerHost, type SignerHostEvents } from './signer-host.ts'

export type EmbeddedCosigner = Omit<CosignerWorkerData, 'frames' | 'create'>

export type PartiesOptions = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly pool: PoolSettings
  /** Links that take new wallets, each with a lock, OT material and crypto workers of its own: 1 to 16. */
  readonly cryptoWorkers: number
  /** In a thread of this process, or on a host of its own. */
  readonly cosigner: EmbeddedCosigner | RemoteCosigner
  readonly onAlert: (party: 'daemon' | 'cosigner', what: string, detail: string) => void
  readonly refreshOrders: RefreshOrders
  /** The cosigner, on another host, cannot be reached, and is waited for with what both made; `''`: it is joined again. */
  readonly onAway?: (why: string) => void
  /** A wallet's pool is about to run dry. */
  readonly onLowPool?: (walletId: Uint8Array, left: number) => void
} & SignerHostEvents

export type JoinedParties = {
  readonly cosigner: PortEnd<CosignerCalls>
  readonly signer: PortEnd<SignerCalls>
  readonly pools: KeyPools
  readonly cosignerId: Uint8Array
  /** The shard that a wallet's shares are on. */
  readonly shardOf: ShardOf
  /** `why`: what was lost; absent when the daemon stops. */
  readonly close: (why?: string) => Promise<void>
}

/** Where each party's vault keeps the identity of the other. */
export const PEER_SETTING = 'peer_id'
const OPEN_TIMEOUT_MS = 30_000
const CALL_TIMEOUT_MS = 10_000
const FREEZES_MAX = 100_000
/** Of the rest it has no notion. */
const KNOWN_TO_COSIGNER: ReadonlySet<string> = new Set(['wallet', 'project', 'all'])
/** The wallet epoch of a key that was just generated. */
const FIRST_EPOCH = 0

/** Opens the cosigner, checks that each side is the one the other knows and not an older copy, and joins them. */
export const openParties = async (options: PartiesOptions, lost: (why: string) => void): Promise<JoinedParties> => {
  const { vault, clock } = options
  requireUnsealed(vault.read)
  let isLost = false
  /** Once: the second thread ends because the first did. */
  const loseOnce = (why: string): void => {
    if (isLost) return
    isLost = true
    lost(why)
  }
  /** Once both are there. */
  let joined: { readonly cosignerLost: (lost: LostMaterial) => void; readonly setDistance: (ms: number) => void } | undefined
  let absence: Absence | undefined
  const channel = new MessageChannel()
  const cosignerThread = startCosigner(options.cosigner, channel.port2)
  const events: CosignerEvents = {
    alert: ({ what, detail }) => options.onAlert('cosigner', what, detail),
    lost: (lost) => joined?.cosignerLost(lost),
    // One that goes away while it is being joined is lost: its calls fail.
    away: ({ why }) => (absence === undefined ? loseOnce(why) : absence.begin(why)),
    back: () => absence?.end(),
    distance: ({ ms }) => joined?.setDistance(ms),
  }
  const onBug = (error: unknown): void => options.onAlert('daemon', 'internal', String(error))
  const cosigner: PortEnd<CosignerCalls> = openPortEnd(cosignerThread, events, onBug)
  /** The cosigner last: a session that is under way ends, where a cosigner that is gone would let it wait. */
  const ends = [() => endThread(cosignerThread, () => cosigner.call('stop', undefined, STOP))]
  /** They were told to end, so their ends are no loss. */
  let stopping = false
  const close = async (): Promise<void> => {
    stopping = true
    for (const end of ends) await end()
  }
  try {
    watchThread(cosignerThread, cosigner, 'the cosigner', () => !stopping, loseOnce)
    const { ownId, head: theirs } = await cosigner.call('open', undefined, { timeoutMs: OPEN_TIMEOUT_MS })
    pinPeer(vault, ownId, clock, 'address' in options.cosigner)
    requireForward(vault, ownId, theirs, clock)
    const idC = partyIdOf(vault.signer.publicKey)
    const shards = new Shards(vault.read, idC, ownId, options.cryptoWorkers)
    const served = shards.served()
    warnOfMore(options, served)
    const { head } = await cosigner.call('pair', { idC, shards: served })
    if (head !== undefined) requireRememberedHead(vault.read, head)
    dropUndecided(vault, clock)
    // A stop between a refresh and the overwriting of the old share's pages left that undone.
    vault.eraseDeleted()
    const shareKey = vault.shareKey()
    const links = { idC, idS: ownId, shards: served, configured: shards.configured }
    const data: SignerWorkerData = { ...links, shareKey, vaultId: vault.vaultId, frames: channel.port1 }
    const signerThread = startThread('./signer-worker.ts', 'signer', data)
    shareKey.fill(0)
    const pools: KeyPools = new KeyPools(
      {
        secp256k1: (walletIds, shard) => signer.call('presign', { shard, walletIds }, { timeoutMs: OPEN_TIMEOUT_MS }),
        ed25519: (walletIds, shard) =>
          signer.call('presignEd25519', { shard, walletIds }, { timeoutMs: OPEN_TIMEOUT_MS }),
      },
      options.pool,
      () => clock.nowMs(),
      {
        dropped: (walletId) => {
          void signer.call('wipeWallet', walletId, { transfer: [] }).catch(() => undefined)
          void cosigner.call('dropPresignatures', { walletId }).catch(() => undefined)
        },
        low: (walletId, left) => options.onLowPool?.(walletId, left),
      },
      (walletId) => shards.of(walletId),
    )
    const host: SignerHostCalls = createSignerHost(vault, clock, options.refreshOrders, {
      walletStopped: options.walletStopped,
      walletWiped: (walletId) => pools.forget(walletId),
      wiped: (shard) => pools.forgetShard(shard),
      lost: async (lost) => {
        pools.forgetShard(lost.shard, 'secp256k1')
        await cosigner.call('lose', lost, { timeoutMs: CALL_TIMEOUT_MS })
      },
      alert: (what, detail) => options.onAlert('daemon', what, detail),
    })
    const signer: PortEnd<SignerCalls> = openPortEnd(signerThread, host, onBug)
    ends.unshift(() => endThread(signerThread, () => signer.call('stop', undefined, STOP)))
    const align = (): Promise<void> => alignParties(options, { cosigner, signer }, shards)
    joined = {
      setDistance: (ms) => pools.setDistance(ms),
      cosignerLost: (lost) => {
        pools.forgetShard(lost.shard, 'secp256k1')
        void signer.call('lose', lost).catch((error) => onBug(asFailure(error)))
      },
    }
    watchThread(signerThread, signer, 'the signer thread', () => !stopping, loseOnce)
    await align()
    absence = new Absence(pools, align, options, (why) => stopping || loseOnce(why))
    void signer.call('warm', undefined).catch((error) => stopping || onBug(asFailure(error)))
    const stop = async (why?: string): Promise<void> => {
      if (stopping) return
      stopping = true
      pools.shut(why === undefined ? undefined : failure('COSIGNER_UNAVAILABLE', { why }))
      await close()
    }
    return { cosigner, signer, pools, cosignerId: ownId, shardOf: (walletId) => shards.of(walletId), close: stop }
  } catch (error) {
    await close()
    throw error
  }
}

type Parties = Pick<JoinedParties, 'cosigner' | 'signer'>

/** After they are joined, and after every absence: what each may have missed of the other. */
const alignParties = async (
  { vault, clock, onAlert }: PartiesOptions,
  { cosigner, signer }: Parties,
  shards: Shards,
): Promise<void> => {
  await signer.call('connect', undefined, { timeoutMs: OPEN_TIMEOUT_MS })
  const epochs = await cosigner.call('shareEpochs', undefined, { timeoutMs: OPEN_TIMEOUT_MS })
  const ahead = (walletId: Uint8Array): void =>
    onAlert('daemon', 'wallet_ahead', `wallet ${hexOf(walletId)}: the cosigner claims a later epoch than was ever decided`)
  const walletIds = await stopDivergentWallets(vault, clock, epochs, ahead, (linkId) => shards.has(linkId))
  if (walletIds.length > 0) await cosigner.call('quarantine', { walletIds }, { timeoutMs: OPEN_TIMEOUT_MS })
  for (const walletId of walletIds) {
    onAlert('daemon', 'wallet_behind', `wallet ${hexOf(walletId)}: its shares are of different epochs`)
  }
  await cosigner.call('rememberHead', { head: auditHead(vault.read), exact: true }, { timeoutMs: CALL_TIMEOUT_MS })
  for (const freeze of listFreezes(vault.read, undefined, FREEZES_MAX)) {
    if (KNOWN_TO_COSIGNER.has(freeze.scope)) await cosigner.call('freeze', { freeze }, { timeoutMs: CALL_TIMEOUT_MS })
  }
}

/** A setting that was lowered does not make a wallet unsignable. */
const warnOfMore = ({ cryptoWorkers, onAlert }: PartiesOptions, served: readonly number[]): void => {
  const more = served.length - cryptoWorkers
  if (more > 0) onAlert('daemon', 'links', `${more} links beyond crypto_workers have wallets and are served too`)
}

const startCosigner = (cosigner: EmbeddedCosigner | RemoteCosigner, frames: MessagePort): Worker =>
  'address' in cosigner
    ? startThread('./remote/remote-cosigner-worker.ts', 'cosigner link', { ...cosigner, frames })
    : startThread('./cosigner-worker.ts', 'cosigner', { ...cosigner, create: false, frames })

type ThreadData = CosignerWorkerData | RemoteCosignerData | SignerWorkerData

const startThread = (file: string, name: string, data: ThreadData): Worker =>
  new Worker(new URL(file, import.meta.url), {
    name,
    workerData: data,
    transferList: [data.frames],
    env: threadEnvironment(),
  })

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

/** The first is remembered, of this process; one on another host was paired. Another one is not this daemon's. */
const pinPeer = (vault: DaemonVault, cosignerId: Uint8Array, clock: Clock, isRemote: boolean): void => {
  const known = getSetting(vault.read, PEER_SETTING)?.value
  if (known === undefined && isRemote) {
    throw failure('COSIGNER_UNAVAILABLE', { why: 'it is not paired with this daemon: countersign cosigner pair' })
  }
  if (known === undefined) {
    vault.commitNow((tx) => putSetting(tx, PEER_SETTING, cosignerId, Math.trunc(clock.nowMs())))
  } else if (hexOf(known) !== hexOf(cosignerId)) {
    throw failure('COSIGNER_UNAVAILABLE', { why: 'its vault belongs to another daemon' })
  }
}
