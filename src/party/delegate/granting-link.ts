/**
 * This delegate and one daemon that delegated, joined: party C's thread over a link of their own, the streams that carry its
 * frames, and the pools of what they make together. What open-parties.ts is to the cosigner.
 */
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Clock } from '../../domain/clock.ts'
import { failure } from '../../domain/failure.ts'
import { makeLinkParties } from '../../engine/dkls23/contexts.ts'
import type { DaemonVault } from '../../vault/daemon-vault.ts'
import { getShare, type StoredShare } from '../../vault/wallet-shares.ts'
import type { QuestionCalls } from '../cosigner.ts'
import { DistanceMeter, isSmall } from '../distance-meter.ts'
import { KeyPools } from '../key-pools.ts'
import { endThread, STOP } from '../end-thread.ts'
import { asFailure } from '../party-failure.ts'
import { partyIdOf } from '../party-id.ts'
import { openPortEnd, type PortEnd } from '../port-calls.ts'
import type { PoolSettings } from '../presignature-pool.ts'
import { hexOf } from '../presignature-map.ts'
import type { ReadyPresignature } from '../initiator.ts'
import type { RefreshOrders } from '../refresh-orders.ts'
import type { SignerCalls, SignerHostCalls, SignerWorkerData } from '../signer.ts'
import { createSignerHost } from '../signer-host.ts'
import { MAX_SHARDS } from '../shards.ts'
import { threadEnvironment } from '../thread-environment.ts'
import { CosignStreams, type CosignStreamsDeps } from './cosign-streams.ts'

export type GrantingLinkOptions = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly pool: PoolSettings
  /** 32 bytes. */
  readonly partyId: Uint8Array
  /** For people: threads and alerts are named after it. */
  readonly name: string
  readonly targetOf: CosignStreamsDeps['targetOf']
  readonly accesses: CosignStreamsDeps['accesses']
  readonly refreshOrders: RefreshOrders
  readonly onAlert: (what: string, detail: string) => void
  /** A thread ended: this link is over, and another may be opened. */
  readonly onLost: () => void
}

export type GrantingLink = {
  readonly signer: PortEnd<SignerCalls>
  readonly pools: KeyPools
  readonly streams: CosignStreams
  readonly shardOf: () => number
  /**
   * Says hello where a stream was lost since: what was made with a daemon that started anew is given up. A burned link that
   * the operator here has let go on is set up anew, if the operator there has too.
   */
  readonly align: () => Promise<void>
  readonly renewShareKey: () => Promise<void>
  readonly close: () => Promise<void>
}

const SHARD = 0
const CALL_TIMEOUT_MS = 10_000
const OPEN_TIMEOUT_MS = 30_000
/** A frame of a stream is at most 1 MiB: of a session of more it would be longer. */
const BATCH_MAX = 16

export const openGrantingLink = (options: GrantingLinkOptions): GrantingLink => {
  const { vault, clock, name } = options
  let isOver = false
  const onBug = (error: unknown): void => options.onAlert('internal', `${name}: ${String(error)}`)
  const channel = new MessageChannel()
  const shareKey = vault.shareKey()
  const data: SignerWorkerData = {
    idC: partyIdOf(vault.signer.publicKey),
    idS: options.partyId,
    shards: [SHARD],
    configured: 1,
    shareKey,
    vaultId: vault.vaultId,
    frames: channel.port1,
  }
  const thread = new Worker(new URL('../signer-worker.ts', import.meta.url), {
    name: `delegate of ${name}`, workerData: data, transferList: [data.frames], env: threadEnvironment(),
  })
  shareKey.fill(0)
  const { publicKey, signStatement } = vault.signer
  const streams: CosignStreams = new CosignStreams({
    identity: { publicKey, sign: signStatement },
    targetOf: options.targetOf,
    accesses: options.accesses,
    question: (frame) => questions.call('question', frame, { timeoutMs: CALL_TIMEOUT_MS }),
  })
  const distance = new DistanceMeter((ms) => pools.setDistance(ms))
  const frame = (bytes: Uint8Array): Promise<Uint8Array | undefined> => {
    const answered = streams.frame(bytes)
    return isSmall(bytes) ? distance.timed(answered) : answered
  }
  const questions: PortEnd<QuestionCalls> = openPortEnd(channel.port2, { frame }, onBug)
  const pools: KeyPools = openPools(options, () => signer)
  const { linkId } = makeLinkParties(data.idC, data.idS, SHARD, MAX_SHARDS)
  const host: SignerHostCalls = overOneLink(vault, linkId, createSignerHost(vault, clock, options.refreshOrders, {
    walletStopped: () => undefined,
    walletWiped: (walletId) => pools.forget(walletId),
    wiped: () => pools.forgetShard(SHARD),
    // The daemon's side finds out with the next session over it.
    lost: async () => pools.forgetShard(SHARD, 'secp256k1'),
    alert: (what, detail) => options.onAlert(what, `${name}: ${detail}`),
  }))
  const signer: PortEnd<SignerCalls> = openPortEnd(thread, host, onBug)
  const end = (why: string): void => {
    if (isOver) return
    isOver = true
    signer.shut(why)
    questions.shut(why)
    pools.shut(failure('COSIGNER_UNAVAILABLE', { why }))
    streams.close()
    channel.port2.close()
  }
  const lose = (): void => {
    if (isOver) return
    end('its thread ended')
    options.onLost()
  }
  thread.on('error', lose)
  thread.on('exit', lose)
  return {
    signer,
    pools,
    streams,
    shardOf: () => SHARD,
    align: aligner(streams, signer, pools),
    renewShareKey: () => signer.call('useShareKey', vault.shareKey(), { timeoutMs: CALL_TIMEOUT_MS }),
    close: async () => {
      if (isOver) return
      pools.shut()
      await endThread(thread, () => signer.call('stop', undefined, STOP).finally(() => end('the daemon stops')))
    },
  }
}

/**
 * Of the shares that are of this link: the daemon at its other end asks about wallets by their ids, and learns nothing of
 * what is between this one and others.
 */
const overOneLink = (vault: DaemonVault, linkId: Uint8Array, host: SignerHostCalls): SignerHostCalls => {
  const isOther = (share: StoredShare | undefined): boolean => share !== undefined && hexOf(share.linkId) !== hexOf(linkId)
  const ownShare = (walletId: Uint8Array): StoredShare | undefined => {
    const share = getShare(vault.read, walletId)
    return isOther(share) ? undefined : share
  }
  return {
    ...host,
    loadShare: ownShare,
    settleOutcome: async (question) => (isOther(getShare(vault.read, question.walletId)) ? 'ABORTED' : host.settleOutcome(question)),
  }
}

/** A session of the protocol over a stream is about the stream's own wallet: one session a wallet. */
const openPools = ({ clock, pool }: GrantingLinkOptions, signerNow: () => PortEnd<SignerCalls>): KeyPools => {
  const eachWallet =
    (method: 'presign' | 'presignEd25519') =>
    async (walletIds: readonly Uint8Array[]): Promise<readonly ReadyPresignature[]> => {
      const byWallet = Map.groupBy(walletIds, hexOf)
      const made: ReadyPresignature[] = []
      let failed: unknown
      for (const ids of byWallet.values()) {
        await signerNow()
          .call(method, { shard: SHARD, walletIds: ids }, { timeoutMs: OPEN_TIMEOUT_MS })
          .then((ready) => made.push(...ready))
          .catch((error: unknown) => (failed = error))
      }
      if (made.length === 0 && failed !== undefined) throw failed
      return made
    }
  return new KeyPools(
    { secp256k1: eachWallet('presign'), ed25519: eachWallet('presignEd25519') },
    { ...pool, batch: Math.min(pool.batch, BATCH_MAX) },
    () => clock.nowMs(),
    {
      dropped: (walletId) => void signerNow().call('wipeWallet', walletId, { transfer: [] }).catch(() => undefined),
      low: () => undefined,
    },
    () => SHARD,
  )
}

const aligner = (streams: CosignStreams, signer: PortEnd<SignerCalls>, pools: KeyPools): (() => Promise<void>) => {
  let alignedAt = -1
  let aligning: Promise<void> | undefined
  const align = async (): Promise<void> => {
    const { losses } = streams
    const refuse = (error: unknown): never => {
      throw asFailure(error)
    }
    const isOther = await signer.call('connect', undefined, { timeoutMs: CALL_TIMEOUT_MS }).catch(refuse)
    if (isOther) pools.forgetAll()
    await signer.call('relinkGranted', undefined, { timeoutMs: OPEN_TIMEOUT_MS }).catch(refuse)
    alignedAt = losses
  }
  return async () => {
    if (alignedAt === streams.losses) return
    aligning ??= align().finally(() => (aligning = undefined))
    await aligning
  }
}
