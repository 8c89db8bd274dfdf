/**
 * The composition root: the only place that wires things. Order up: vault → parties → edge → SERVING. Order down: edge
 * → parties → vault, so that what was answered is on disk before anything closes.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CustodyTurns } from '../admin/custody.ts'
import { delegationLinks, type DelegationLinksNeeds } from '../admin/delegation-links.ts'
import { linkViews, worstLinkState } from '../admin/status.ts'
import { Currencies } from '../chain/currencies.ts'
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths } from '../config/load-config.ts'
import { endUndelivered } from '../delegation/delegate-access.ts'
import { eraseLapsedSecrets } from '../delegation/webhook-secrets.ts'
import { followSpend } from '../delegation/settle-spends.ts'
import { endExpiredGrants } from '../delegation/end-grants.ts'
import { walletIdFromBytes } from '../domain/ids.ts'
import {
  logAuditUnavailable,
  logCosignerGone,
  logDaemonServing,
  logDaemonStarting,
  logDaemonStopped,
  logDaemonStopping,
  logInternalError,
  logPartyAlert,
  logTransactionStuck,
  logPoolLow,
} from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { createMetrics, type LinkLevel, type Metrics } from '../observe/metrics.ts'
import { listenMetrics } from '../observe/metrics-listener.ts'
import { PacedWarning } from '../observe/paced-warning.ts'
import { tellOfEndedKeys } from '../session/tell-keys.ts'
import { systemClock } from '../party/entropy.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { type EngineOptions, TwoPartyEngine } from '../party/two-party-engine.ts'
import { type FenceKey, Fences } from '../signing/fences.ts'
import { GrantCache } from '../signing/grant-cache.ts'
import { RateLimiter } from '../signing/rate-limiter.ts'
import { auditHead } from '../vault/audit-chain.ts'
import { pruneDelegationTokens } from '../vault/delegation-tokens.ts'
import { type DaemonVault, openDaemonVault } from '../vault/daemon-vault.ts'
import { listFreezes } from '../vault/freezes.ts'
import { pruneSessionRequests, pruneSessionUsage } from '../vault/session-marks.ts'
import { pruneRequests } from '../vault/requests.ts'
import { pruneFlows } from '../vault/sign-in-flows.ts'
import { verifyStateIndex } from '../vault/state-index.ts'
import type { Tx } from '../vault/store.ts'
import { pruneUsage, utcDay } from '../vault/usage.ts'
import { pruneSpends } from '../vault/spends.ts'
import { pruneSent } from '../vault/sent-transactions.ts'
import { pruneSessions } from '../vault/user-sessions.ts'
import { getWallet } from '../vault/wallets.ts'
import { rootKeyProviders } from './root-keys.ts'
import { backupPlaces, sealDirectory, sealUseCases, sealUsers } from './sealed-daemon.ts'
import { VERSION } from './version.ts'
import { openByNetwork } from '../vault/sent-queries.ts'
import { deliveryBacklog, pruneWebhooks } from '../vault/webhook-deliveries.ts'
import { watchParties } from './watch-parties.ts'
import { cosignerOf } from './wire-cosigner.ts'
import { createDelegateDirectory, grantEnder, openAccessEnds, openDelegates } from './wire-delegates.ts'
import { wireChains } from './wire-chains.ts'
import { startFollowing } from './wire-following.ts'
import { createEndUserDirectory } from './wire-end-users.ts'
import { createDirectory, createIdempotencyStore, createKeyProofs, denialRecorder } from './wire-directory.ts'
import { startSweep } from './sweep.ts'
import { type Edge, type Endpoints, startEdge } from './wire-edge.ts'
import { openSessions } from './wire-session.ts'
import { wireDelegate } from './wire-delegate.ts'
import { wireHttpEgress } from './wire-egress.ts'
import { wireSignIn, wireWeb } from './wire-sign-in.ts'
import type { SendingNeeds } from '../sending/sending-needs.ts'
import { wireSending } from './wire-sending.ts'
import { wireUseCases } from './wire-use-cases.ts'
import { wireWebhooks } from './wire-webhooks.ts'

export type RunningDaemon = { readonly endpoints: Endpoints; readonly stop: () => Promise<void> }
export type ServeOptions = { readonly mode: 'dev' | 'production'; readonly log: Logger }

const STOP_WAIT_MS = 10_000
const ANCHOR_MS = 1_000
const PRUNE_MS = 60_000
const PRUNE_AT_ONCE = 500
const PRUNE_PAUSE_MS = 20
const DAY_MS = 86_400_000
const FREEZES_MAX = 100_000
/** As the contract says of what was sent. */
const SENT_DAYS = 90
/** Counters are kept a week, for whoever asks why a cap was reached. */
const USAGE_DAYS = 7

/** Serves until stopped. Refuses what the vault and the listeners refuse: VAULT_*, ROOT_KEY_*, LISTEN_FAILED. */
export const serve = (config: Config, secrets: Secrets, options: ServeOptions): Promise<RunningDaemon> =>
  composeDaemon(config, secrets, options, (engine) => new TwoPartyEngine(engine))

/**
 * As `serve`, over the engine that `openEngine` answers. The daemon has one, the two parties; the bench composes another
 * around a plain key, to measure everything else by it. No option reaches this (test/architecture.test.ts).
 */
export const composeDaemon = async (
  config: Config,
  secrets: Secrets,
  { mode, log }: ServeOptions,
  openEngine: (options: EngineOptions) => SigningEngine,
): Promise<RunningDaemon> => {
  const clock = systemClock
  const startedMs = clock.nowMs()
  logDaemonStarting(log, { version: VERSION, dataDir: config.dataDir, mode, isRemote: config.cosigner !== undefined })
  const paths = dataDirPaths(config.dataDir)
  const providers = rootKeyProviders(config, secrets)
  const backups = backupPlaces(config)
  const place = { path: paths.daemonVault, provider: providers.daemon, nowMs: startedMs }
  const vault = await openDaemonVault({ ...place, indexIsVerifiedLater: true })
  const closing: (() => Promise<void>)[] = [() => vault.close()]
  const closeAll = async (): Promise<void> => {
    for (const close of closing.toReversed()) await close()
  }
  try {
    rmSync(paths.endpoints, { force: true })
    let edge: Edge | undefined
    const metrics = createMetrics()
    closing.push(async () => metrics[Symbol.dispose]())
    const onAlert = (party: 'daemon' | 'cosigner', what: string, detail: string): void =>
      logPartyAlert(log, { party, what, detail })
    const fences = new Fences(raisedFences(vault))
    const engine = openEngine({
      vault,
      clock,
      pool: config.presignatures,
      cryptoWorkers: config.cryptoWorkers,
      cosigner: cosignerOf(config, secrets, backups.cosigner),
      onAlert,
      onAvailability: (available, why) => {
        if (!available) logCosignerGone(log, { why })
        edge?.setServing(available)
      },
      mayPool: (walletId) => fences.blocking(fencesBefore(vault, walletId)) === undefined,
      onLowPool: lowPoolReporter(log, metrics),
      walletStopped: () => undefined,
    })
    closing.push(() => engine.stop())
    const joining = engine.start()
    joining.catch(() => undefined)
    // While the cosigner's thread opens its own vault and does the same.
    verifyStateIndex(vault.read)
    await joining
    await endUndelivered(vault, clock)
    const grants = new GrantCache()
    const send = wireHttpEgress(config)
    const signIn = wireSignIn({ vault, clock, send, config, secrets, log })
    const sessions = openSessions(vault, clock, config.profilesDirectory, (what, detail) => onAlert('daemon', what, detail))
    closing.push(() => sessions.sessionSigner.close())
    const webhooks = wireWebhooks({ config, vault, clock, send, metrics, log })
    closing.push(webhooks.stop)
    const rates = new RateLimiter(() => Number(clock.monotonicNs() / 1_000n) / 1_000)
    const alert = (what: string, detail: string): void => onAlert('daemon', what, detail)
    const { requireSessionFlow } = sessions
    const delegates = openDelegates({ vault, clock, fences, rates, onAlert: alert, requireSessionFlow })
    closing.push(() => delegates.close())
    const accessEnds = openAccessEnds(vault, delegates)
    const grantEnded = grantEnder(accessEnds)
    const delegate = wireDelegate({ config, secrets, vault, clock, fences, log, onAlert: alert })
    closing.push(delegate.stop)
    const signing = {
      vault,
      engine,
      clock,
      grants,
      fences,
      rates,
      onAlert: alert,
    }
    const chains = wireChains(config, secrets, send, clock)
    const onStuck: SendingNeeds['onStuck'] = (facts) => logTransactionStuck(log, facts)
    const sending = wireSending({ ...signing, requireSessionFlow, chains, confirmations: config.chainConfirmations, onStuck }, { SPEND: followSpend })
    closing.push(sending.stop)
    const needs = {
      ...signing,
      sender: sending.sender,
      delegates,
      started: { version: VERSION, timeMs: startedMs, isRemote: config.cosigner !== undefined },
      backup: backups.daemon,
      allowExport: config.allowExport.daemon,
      allowImport: config.allowImport.daemon,
      rootKey: providers.daemon,
      isVenueProfile: (id: string) => sessions.profiles().offered.some(({ profile }) => profile.id === id),
      custody: new CustodyTurns(),
      sessions,
      chains,
      currencies: new Currencies(config.tokens),
      confirmations: config.chainConfirmations,
      signIn,
      delegate: delegate.needs,
      maxGrantMs: config.maxGrantDays * DAY_MS,
      grantEnded,
      grantErased: () => accessEnds.settle(),
      accessEnds,
      judgeUrl: webhooks.judgeUrl,
      webhookCounts: webhooks.webhookCounts,
    }
    edge = await startEdge({
      config,
      log,
      clock,
      metrics,
      useCases: sealUseCases(vault, wireUseCases(needs)),
      directory: sealDirectory(vault, createDirectory(vault, grants, clock)),
      keyProofs: createKeyProofs(vault, grants, clock),
      users: sealUsers(vault, createEndUserDirectory(vault, signIn.tokens, clock)),
      delegates: createDelegateDirectory(vault),
      web: wireWeb(vault, signIn.tokens, clock),
      inbox: delegate.inbox,
      idempotency: createIdempotencyStore(vault, clock),
      recordDenial: denialRecorder(vault, clock),
      pageTokenKey: vault.read.keys.pageToken,
    })
    const served = edge
    closing.push(startHousekeeping(vault, engine, log))
    closing.push(startSweep(vault, clock, (nowMs) => endExpiredGrants(vault, nowMs, grantEnded, () => accessEnds.settle())))
    closing.push(startSweep(vault, clock, (nowMs) => accessEnds.endExpired(nowMs)))
    closing.push(startSweep(vault, clock, (nowMs) => tellOfEndedKeys(vault, nowMs)))
    closing.push(startFollowing(needs, config.chainFollowMs, (error) => logInternalError(log, { where: 'chains', error })))
    webhooks.start()
    sending.start()
    closing.push(() => served.stop(STOP_WAIT_MS))
    edge.setServing(engine.available)
    closing.push(watchParties({ vault, engine, setServing: served.setServing, log }))
    const endpoints = { ...edge.endpoints, ...(await serveMetrics(config, log, { ...needs, metrics, edge }, closing)) }
    publishEndpoints(paths.endpoints, endpoints)
    closing.push(async () => rmSync(paths.endpoints, { force: true }))
    logDaemonServing(log, endpoints)
    return { endpoints, stop: () => stopDaemon(served, closeAll, log) }
  } catch (error) {
    await closeAll()
    throw error
  }
}

const LOW_POOL_WARNING_MS = 10_000

const lowPoolReporter = (log: Logger, metrics: Metrics) => {
  const paced = new PacedWarning(LOW_POOL_WARNING_MS)
  return (walletId: Uint8Array, left: number): void => {
    metrics.noteLowPool()
    const keptBack = paced.admit(performance.now())
    if (keptBack !== undefined) logPoolLow(log, { walletId: walletIdFromBytes(walletId), left, keptBack })
  }
}

type Measured = DelegationLinksNeeds & { readonly metrics: Metrics; readonly engine: SigningEngine; readonly edge: Edge }

/** Opens the metrics listener, if there is to be one; answers where it is. */
const serveMetrics = async (
  { metricsListen }: Config,
  log: Logger,
  { metrics, engine, edge, ...needs }: Measured,
  closing: (() => Promise<void>)[],
): Promise<{ readonly metrics?: string }> => {
  if (metricsListen === undefined) return {}
  const linkState = async (): Promise<LinkLevel> => {
    const { available, signer, cosigner } = await engine.status()
    return available ? worstLinkState(linkViews(signer, cosigner)) : 'unavailable'
  }
  const { read } = needs.vault
  const sources = {
    pool: () => engine.poolView(),
    linkState,
    inFlight: edge.inFlight,
    webhooks: () => deliveryBacklog(read),
    sends: () => openByNetwork(read),
    delegation: () => delegationLinks(needs),
  }
  const onError = (error: unknown): void => logInternalError(log, { where: 'metrics', error })
  const listener = await listenMetrics(metricsListen, () => metrics.scrape(sources), metrics.contentType, onError)
  closing.push(listener.close)
  return { metrics: listener.address }
}

/** Whole or not at all: whoever waits for the file reads it as soon as it is there. */
const publishEndpoints = (path: string, endpoints: object): void => {
  const fresh = `${path}.new`
  writeFileSync(fresh, `${JSON.stringify(endpoints)}\n`, { mode: 0o600 })
  renameSync(fresh, path)
}

const stopDaemon = async (edge: Edge, closeAll: () => Promise<void>, log: Logger): Promise<void> => {
  const startMs = Date.now()
  logDaemonStopping(log, { signal: 'SIGTERM', inFlight: edge.inFlight() })
  await closeAll()
  logDaemonStopped(log, { tookMs: Date.now() - startMs })
}

const raisedFences = (vault: DaemonVault): FenceKey[] =>
  listFreezes(vault.read, undefined, FREEZES_MAX).map(({ scope, id }) => ({ scope, id: scope === 'all' ? '*' : id }))

const fencesBefore = (vault: DaemonVault, walletId: Uint8Array): readonly FenceKey[] => {
  const id = walletIdFromBytes(walletId)
  const project = getWallet(vault.read, id)?.project
  const all: FenceKey[] = [{ scope: 'all', id: '*' }, { scope: 'wallet', id }]
  return project === undefined ? all : [...all, { scope: 'project', id: project }]
}

/** Tells the cosigner where the chain stands, and forgets what is too old to matter. Answers how to end it. */
const startHousekeeping = (vault: DaemonVault, engine: SigningEngine, log: Logger): (() => Promise<void>) => {
  let anchored = 0n
  let running: Promise<void> = Promise.resolve()
  const ending = new AbortController()
  const anchor = async (): Promise<void> => {
    if (vault.fault() !== undefined) return
    const head = auditHead(vault.read)
    // Remembering the cosigner's head in return writes no audit row, so a quiet daemon stays quiet.
    if (head.sequence === anchored) return
    anchored = head.sequence
    await engine.anchor(head).catch(() => undefined)
  }
  const prune = async (): Promise<void> => {
    const fault = vault.fault()
    if (fault !== undefined) return logAuditUnavailable(log, { code: fault })
    const nowMs = Date.now()
    const pruneSome = (tx: Tx): boolean =>
      Math.max(
        pruneRequests(tx, nowMs, PRUNE_AT_ONCE),
        pruneUsage(tx, utcDay(nowMs) - USAGE_DAYS, PRUNE_AT_ONCE),
        pruneSessions(tx, nowMs, PRUNE_AT_ONCE),
        pruneFlows(tx, nowMs, PRUNE_AT_ONCE),
        pruneSessionUsage(tx, utcDay(nowMs) - USAGE_DAYS, PRUNE_AT_ONCE),
        pruneSessionRequests(tx, nowMs, PRUNE_AT_ONCE),
        pruneWebhooks(tx, nowMs, PRUNE_AT_ONCE),
        pruneDelegationTokens(tx, nowMs, PRUNE_AT_ONCE),
        pruneSpends(tx, nowMs, PRUNE_AT_ONCE),
        pruneSent(tx, nowMs - SENT_DAYS * DAY_MS, PRUNE_AT_ONCE),
      ) === PRUNE_AT_ONCE
    await eraseLapsedSecrets(vault, nowMs).catch(() => 0)
    // As long as there is more, with a pause for everybody else's commits, or a busy day would never be forgotten.
    while (await vault.commit(pruneSome).catch(() => false)) {
      await sleep(PRUNE_PAUSE_MS, undefined, { signal: ending.signal }).catch(() => undefined)
      if (ending.signal.aborted) return
    }
  }
  const anchoring = setInterval(() => {
    // A read that fails is no reason to end the process: the next commit says what is wrong with the disk.
    running = running.then(anchor).catch(() => undefined)
  }, ANCHOR_MS).unref()
  let pruned: Promise<void> = Promise.resolve()
  const pruning = setInterval(() => {
    pruned = pruned.then(prune)
  }, PRUNE_MS).unref()
  return async () => {
    clearInterval(anchoring)
    clearInterval(pruning)
    ending.abort()
    await pruned
    await running
    await anchor()
  }
}
