/** The edge with the daemon's configuration and log. */
import type { KeyObject } from 'node:crypto'
import type { Config } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import {
  logCertificateRefused,
  logCertificateReloaded,
  logInternalError,
  logRequestRefused,
  logSlowSignature,
  logSocketReplaced,
} from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { PacedWarning } from '../observe/paced-warning.ts'
import type { ApiKeyDirectory, ApiKeyProofs } from '../rpc/authenticate.ts'
import type { WebSettings } from '../rpc/cross-origin.ts'
import type { DelegateDirectory } from '../rpc/delegates.ts'
import type { EndUserDirectory } from '../rpc/end-users.ts'
import { type EdgeEvents, openEdge } from '../rpc/edge.ts'
import type { IdempotencyStore } from '../rpc/idempotency.ts'
import type { Denial } from '../rpc/pipeline.ts'
import type { UseCases } from '../rpc/use-cases.ts'
import type { WebhookInbox } from '../rpc/webhook-inbox.ts'

export type EdgeNeeds = {
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  readonly useCases: UseCases
  readonly metrics: Metrics
  readonly directory: ApiKeyDirectory
  readonly keyProofs: ApiKeyProofs
  readonly users: EndUserDirectory
  readonly delegates: DelegateDirectory
  readonly web: WebSettings
  readonly inbox: WebhookInbox | undefined
  readonly idempotency: IdempotencyStore
  readonly recordDenial: (denial: Denial) => Promise<void>
  /** The vault's, so that a page token outlives a restart. */
  readonly pageTokenKey: KeyObject
}

export type Endpoints = {
  readonly grpc: string
  readonly connect: string
  readonly socket: string
  /** Where metrics are served, if they are. */
  readonly metrics?: string
}

export type Edge = {
  readonly endpoints: Endpoints
  readonly setServing: (serving: boolean) => void
  readonly inFlight: () => number
  /** Takes nothing new, waits at most `waitMs` for what is in flight, then ends it. */
  readonly stop: (waitMs: number) => Promise<void>
}

const SLOW_WARNING_MS = 10_000

/** Counts every call, and says in the log what was refused and what was slow. */
const callObserver = (config: Config, log: Logger, metrics: Metrics): EdgeEvents['onCall'] => {
  const slow = new PacedWarning(SLOW_WARNING_MS)
  return (call) => {
    metrics.noteCall(call)
    const { method, reason, callerId, tookMs, stages } = call
    if (reason !== undefined) logRequestRefused(log, { method, reason, callerId })
    if (stages === undefined || tookMs <= config.slowSignatureMs) return
    const keptBack = slow.admit(performance.now())
    if (keptBack !== undefined) logSlowSignature(log, { method, tookMs, stages: stages.format(tookMs), keptBack })
  }
}

export const startEdge = async ({ config, log, metrics, ...needs }: EdgeNeeds): Promise<Edge> => {
  const edge = await openEdge({
    ...needs,
    events: {
      onCall: callObserver(config, log, metrics),
      onInternalError: (where, error) => logInternalError(log, { where, error }),
      onReloaded: (facts) => logCertificateReloaded(log, facts),
      onRefused: (facts) => logCertificateRefused(log, facts),
      onStaleSocketRemoved: (path) => logSocketReplaced(log, { path }),
    },
    listen: {
      grpc: config.grpcListen,
      connect: config.connectListen,
      socket: config.socket,
      boundSockets: config.sockets,
      tls: config.tls,
      tlsIdentities: config.tlsIdentities,
      allowPlaintextBeyondLoopback: config.allowPlaintextBeyondLoopback,
      maxConcurrentRequests: config.limits.maxConcurrentRequests,
      maxStreamsPerConnection: config.limits.maxStreamsPerConnection,
    },
  })
  return {
    endpoints: { grpc: edge.grpcAddress, connect: edge.connectAddress, socket: config.socket },
    setServing: edge.setServing,
    inFlight: edge.inFlight,
    stop: edge.stop,
  }
}
