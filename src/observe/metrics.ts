/**
 * What the daemon measures of itself, as Prometheus takes it. Every label comes from a short list fixed here or in the
 * proto files: no wallet, user, key or address is ever one. README.md lists the names.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { STAGES, type StageTimes } from '../domain/stages.ts'

export type CallMeasured = {
  /** `countersign.v1.WalletService/SignMessage` */
  readonly method: string
  readonly reason: string | undefined
  readonly tookMs: number
  readonly isItem: boolean
  readonly stages: StageTimes | undefined
}

export type PoolLevels = {
  readonly ready: number
  readonly capacity: number
  readonly wallets: number
  /** Wallets that were filled once and are below half of their low water now. */
  readonly walletsLow: number
  readonly waiting: number
  readonly madeTotal: number
  readonly evictedTotal: number
  /** Presignatures a second while filling, lately. */
  readonly fillRate: number
}

export const LINK_STATES = ['starting', 'ready', 'suspended', 'burned', 'unavailable'] as const
export type LinkLevel = (typeof LINK_STATES)[number]

/** Asked when somebody scrapes. */
export type MetricSources = {
  readonly pool: () => PoolLevels | undefined
  readonly linkState: () => Promise<LinkLevel>
  readonly inFlight: () => number
  readonly webhooks: () => WebhookBacklog
  readonly delegation: () => Promise<{ readonly [K in (typeof DELEGATION_SIDES)[number]]: DelegationLevels }>
  readonly sends: () => readonly OpenSends[]
}

/** What the daemon is on a link of delegated access. */
export const DELEGATION_SIDES = ['granting', 'delegate'] as const
const DELEGATION_STATES = ['active', 'suspended', 'burned'] as const
export type DelegationLevels = { readonly [K in (typeof DELEGATION_STATES)[number] | 'open' | 'presignatures']: number }

export type WebhookBacklog = {
  readonly pending: number
  /** Unix milliseconds. */
  readonly oldestMs: number | undefined
}

/** Of one network. */
export type OpenSends = {
  readonly open: number
  readonly stuck: number
  /** Unix milliseconds. */
  readonly oldestMs: number
}

export type WebhookOutcome = 'delivered' | 'retrying' | 'failed'

export type Metrics = Disposable & {
  readonly noteCall: (call: CallMeasured) => void
  readonly noteLowPool: () => void
  readonly noteWebhookAttempt: (outcome: WebhookOutcome) => void
  /** The exposition text. */
  readonly scrape: (sources: MetricSources) => Promise<string>
  readonly contentType: string
}

const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30]
const LOOP_QUANTILES = [50, 99, 100] as const

/** Open for as long as somebody listens. */
const STREAMS: ReadonlySet<string> = new Set(['SignStream', 'SignActionStream', 'SendTransaction', 'Cosign'])

const shortName = (method: string): string => method.split('/').at(-1) ?? method

const createCallMetrics = (registers: [Registry]) => ({
  calls: new Counter({
    name: 'countersign_calls_total',
    help: 'Calls that ended, and items of streams, by RPC and by why they were refused (OK when answered).',
    labelNames: ['method', 'reason', 'item'],
    registers,
  }),
  callSeconds: new Histogram({
    name: 'countersign_call_seconds',
    help: 'Time from a call or item coming in to its answer, by RPC. Streams themselves are left out.',
    labelNames: ['method'],
    buckets: SECONDS,
    registers,
  }),
  stageSeconds: new Histogram({
    name: 'countersign_sign_stage_seconds',
    help: `Where the time of answered signatures went: ${STAGES.join(', ')}, total.`,
    labelNames: ['method', 'stage'],
    buckets: SECONDS,
    registers,
  }),
  webhookAttempts: new Counter({
    name: 'countersign_webhook_attempts_total',
    help: 'Attempts to send an event to a webhook: delivered, retrying (there is another attempt), failed (there is none).',
    labelNames: ['outcome'],
    registers,
  }),
  lowPools: new Counter({
    name: 'countersign_pool_low_total',
    help: 'Times a pool that had been filled fell below half of its low water.',
    registers,
  }),
})

const createLevels = (registers: [Registry]) => {
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: `countersign_${name}`, help, labelNames, registers })
  return {
    ready: gauge('presignatures', 'Presignatures that are ready, of all wallets.'),
    capacity: gauge('presignatures_capacity', 'The most that are held.'),
    wallets: gauge('presignature_wallets', 'Wallets with a pool.'),
    walletsLow: gauge('presignature_wallets_low', 'Wallets whose pool is below half of its low water.'),
    waiting: gauge('presignature_waiting', 'Requests that wait for a presignature.'),
    fillRate: gauge('presignature_fill_rate', 'Presignatures a second while filling, lately.'),
    made: gauge('presignatures_made', 'Presignatures made since the parties were joined.'),
    evicted: gauge('presignatures_evicted', 'Presignatures given up for other wallets since the parties were joined.'),
    link: gauge('link_state', 'The link to the cosigner: 1 for the state it is in.', ['state']),
    inFlight: gauge('calls_in_flight', 'Calls and items that are worked on.'),
    loop: gauge('event_loop_lag_seconds', 'How late the main thread was, since the last scrape.', ['quantile']),
    webhooksPending: gauge('webhook_pending', 'Webhook deliveries that wait.'),
    webhooksOldest: gauge('webhook_oldest_pending_seconds', 'Since when the oldest of them waits; 0 without one.'),
    delegationLinks: gauge('delegation_links', 'Links of delegated access, by what the daemon is on them and how they stand.', [
      'side',
      'state',
    ]),
    delegationOpen: gauge('delegation_links_open', 'Those of them that are held open.', ['side']),
    delegationReady: gauge('delegation_presignatures', 'Presignatures over links of delegated access.', ['side']),
    sendsOpen: gauge('transactions_open', 'Transactions that were sent and are not over.'),
    sendsStuck: gauge('transactions_stuck', 'Of these, those that nothing has moved for two minutes.'),
    sendsOldest: gauge('transactions_oldest_open_seconds', 'Since when the oldest of them is under way; 0 without one.'),
    memory: gauge('resident_memory_bytes', 'Memory of the process.'),
    cpu: gauge('cpu_seconds', 'Processor time of the process.'),
  }
}

type Levels = ReturnType<typeof createLevels>

const setSends = (levels: Levels, sends: readonly OpenSends[]): void => {
  const sum = (of: 'open' | 'stuck'): number => sends.reduce((total, one) => total + one[of], 0)
  levels.sendsOpen.set(sum('open'))
  levels.sendsStuck.set(sum('stuck'))
  levels.sendsOldest.set(sends.length === 0 ? 0 : Math.max(0, Date.now() - Math.min(...sends.map(({ oldestMs }) => oldestMs))) / 1_000)
}

const setDelegation = (levels: Levels, delegation: Awaited<ReturnType<MetricSources['delegation']>>): void => {
  for (const side of DELEGATION_SIDES) {
    for (const state of DELEGATION_STATES) levels.delegationLinks.set({ side, state }, delegation[side][state])
    levels.delegationOpen.set({ side }, delegation[side].open)
    levels.delegationReady.set({ side }, delegation[side].presignatures)
  }
}

const setLevels = async (levels: Levels, sources: MetricSources, loop: ReturnType<typeof monitorEventLoopDelay>): Promise<void> => {
  const pool = sources.pool()
  levels.ready.set(pool?.ready ?? 0)
  levels.capacity.set(pool?.capacity ?? 0)
  levels.wallets.set(pool?.wallets ?? 0)
  levels.walletsLow.set(pool?.walletsLow ?? 0)
  levels.waiting.set(pool?.waiting ?? 0)
  levels.fillRate.set(pool?.fillRate ?? 0)
  levels.made.set(pool?.madeTotal ?? 0)
  levels.evicted.set(pool?.evictedTotal ?? 0)
  const current = await sources.linkState()
  for (const state of LINK_STATES) levels.link.set({ state }, state === current ? 1 : 0)
  levels.inFlight.set(sources.inFlight())
  for (const quantile of LOOP_QUANTILES)
    levels.loop.set({ quantile: String(quantile / 100) }, loop.percentile(quantile) / 1e9)
  loop.reset()
  const { pending, oldestMs } = sources.webhooks()
  levels.webhooksPending.set(pending)
  levels.webhooksOldest.set(oldestMs === undefined ? 0 : Math.max(0, Date.now() - oldestMs) / 1_000)
  setSends(levels, sources.sends())
  setDelegation(levels, await sources.delegation())
  levels.memory.set(process.memoryUsage.rss())
  const { user, system } = process.cpuUsage()
  levels.cpu.set((user + system) / 1e6)
}

export const createMetrics = (): Metrics => {
  const registry = new Registry()
  const calls = createCallMetrics([registry])
  const levels = createLevels([registry])
  const loop = monitorEventLoopDelay({ resolution: 10 })
  loop.enable()
  return {
    contentType: registry.contentType,
    noteCall: ({ method: fullName, reason, tookMs, isItem, stages }) => {
      const method = shortName(fullName)
      calls.calls.inc({ method, reason: reason ?? 'OK', item: String(isItem) })
      if (!STREAMS.has(method) && !method.startsWith('Watch')) calls.callSeconds.observe({ method }, tookMs / 1_000)
      if (stages === undefined || reason !== undefined) return
      for (const [stage, ms] of stages.entries()) calls.stageSeconds.observe({ method, stage }, ms / 1_000)
      calls.stageSeconds.observe({ method, stage: 'total' }, tookMs / 1_000)
    },
    noteLowPool: () => calls.lowPools.inc(),
    noteWebhookAttempt: (outcome) => calls.webhookAttempts.inc({ outcome }),
    scrape: async (sources) => {
      await setLevels(levels, sources, loop)
      return registry.metrics()
    },
    [Symbol.dispose]: () => {
      loop.disable()
      registry.clear()
    },
  }
}
