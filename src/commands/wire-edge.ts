/** The edge with the daemon's configuration and log. */
import type { KeyObject } from 'node:crypto'
import type { Config } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import {
  logCertificateRefused,
  logCertificateReloaded,
  logInternalError,
  logRequestRefused,
  logSocketReplaced,
} from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import type { ApiKeyDirectory } from '../rpc/authenticate.ts'
import { openEdge } from '../rpc/edge.ts'
import type { IdempotencyStore } from '../rpc/idempotency.ts'
import type { Denial } from '../rpc/pipeline.ts'
import type { UseCases } from '../rpc/use-cases.ts'

export type EdgeNeeds = {
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  readonly useCases: UseCases
  readonly directory: ApiKeyDirectory
  readonly idempotency: IdempotencyStore
  readonly recordDenial: (denial: Denial) => Promise<void>
  /** The vault's, so that a page token outlives a restart. */
  readonly pageTokenKey: KeyObject
}

export type Endpoints = { readonly grpc: string; readonly connect: string; readonly socket: string }

export type Edge = {
  readonly endpoints: Endpoints
  readonly setServing: (serving: boolean) => void
  readonly inFlight: () => number
  /** Takes nothing new, waits at most `waitMs` for what is in flight, then ends it. */
  readonly stop: (waitMs: number) => Promise<void>
}

export const startEdge = async ({ config, log, ...needs }: EdgeNeeds): Promise<Edge> => {
  const edge = await openEdge({
    ...needs,
    events: {
      onCall: ({ method, reason, apiKeyId }) => {
        if (reason !== undefined) logRequestRefused(log, { method, reason, callerId: apiKeyId })
      },
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
