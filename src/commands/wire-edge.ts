/** Every listener of the daemon over one set of handlers. */
import { createSecretKey, randomBytes } from 'node:crypto'
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
import { SERVICES } from '../rpc/access.ts'
import { createAdminService } from '../rpc/admin-service.ts'
import { DEFAULT_ADMISSION } from '../rpc/admission.ts'
import { createAuditService } from '../rpc/audit-service.ts'
import type { ApiKeyDirectory } from '../rpc/authenticate.ts'
import { CertificateFiles } from '../rpc/certificate-files.ts'
import { type ConnectListener, listenConnect } from '../rpc/connect-listener.ts'
import { type GrpcListener, listenGrpcOnSocket, listenGrpcOnTcp } from '../rpc/grpc-listener.ts'
import { createHealth } from '../rpc/health.ts'
import type { IdempotencyStore } from '../rpc/idempotency.ts'
import { refusePlaintextBeyondLoopback } from '../rpc/listen-address.ts'
import { listServices } from '../rpc/mounted-services.ts'
import { createPageTokens } from '../rpc/page-token.ts'
import { DEFAULT_LIMITS, type Denial, Pipeline } from '../rpc/pipeline.ts'
import { createReflection } from '../rpc/reflection.ts'
import type { UseCases } from '../rpc/use-cases.ts'
import { createRequestValidator } from '../rpc/validate.ts'
import { createWalletService } from '../rpc/wallet-service.ts'

export type EdgeNeeds = {
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  readonly useCases: UseCases
  readonly directory: ApiKeyDirectory
  readonly idempotency: IdempotencyStore
  readonly recordDenial: (denial: Denial) => Promise<void>
}

export type Endpoints = { readonly grpc: string; readonly connect: string; readonly socket: string }

export type Edge = {
  readonly endpoints: Endpoints
  readonly setServing: (serving: boolean) => void
  readonly inFlight: () => number
  /** Takes nothing new, waits at most `waitMs` for what is in flight, then ends it. */
  readonly stop: (waitMs: number) => Promise<void>
}

const CERTIFICATE_LOOK_MS = 5_000

export const startEdge = async (needs: EdgeNeeds): Promise<Edge> => {
  const { config, log, clock } = needs
  const stopping = new AbortController()
  const abandoning = new AbortController()
  const descs = Object.values(SERVICES)
  const onMaskedError = (where: string, error: unknown): void => logInternalError(log, { where, error })
  const pipeline = new Pipeline({
    directory: needs.directory,
    idempotency: needs.idempotency,
    validator: createRequestValidator(descs),
    observer: {
      onCall: ({ method, reason, apiKeyId }) => {
        if (reason !== undefined) logRequestRefused(log, { method, reason, callerId: apiKeyId })
      },
      onInternalError: (method, error) => logInternalError(log, { where: method, error }),
    },
    recordDenial: needs.recordDenial,
    clock,
    stopSignal: stopping.signal,
    abandonSignal: abandoning.signal,
    limits: { ...DEFAULT_LIMITS, admission: { ...DEFAULT_ADMISSION, maxInFlight: config.limits.maxConcurrentRequests } },
  })
  const tokens = createPageTokens(createSecretKey(randomBytes(32)))
  const health = createHealth(descs, stopping.signal)
  const reflection = createReflection(descs)
  const services = listServices({
    wallet: pipeline.wrap('wallet', createWalletService(needs.useCases.wallets, needs.useCases.signing, tokens)),
    audit: pipeline.wrap('audit', createAuditService(needs.useCases.audit, tokens)),
    admin: pipeline.wrap('admin', createAdminService(needs.useCases.admin, tokens)),
    health: health.implementation,
    reflection: reflection.v1,
    reflectionAlpha: reflection.v1alpha,
  })
  const { maxStreamsPerConnection } = config.limits
  const certificates =
    config.tls === undefined
      ? undefined
      : new CertificateFiles(
          config.tls,
          {
            onReloaded: (facts) => logCertificateReloaded(log, facts),
            onRefused: (facts) => logCertificateRefused(log, facts),
          },
          CERTIFICATE_LOOK_MS,
        )
  const identities = new Map(config.tlsIdentities.map(({ identity, apiKeyId }) => [identity, apiKeyId]))
  const plaintext = { isEncrypted: certificates !== undefined, isAllowed: config.allowPlaintextBeyondLoopback }
  const open: (GrpcListener | ConnectListener)[] = []
  const listening = async <L extends GrpcListener | ConnectListener>(listener: Promise<L>): Promise<L> => {
    const opened = await listener
    open.push(opened)
    return opened
  }
  try {
    refusePlaintextBeyondLoopback(config.grpcListen, plaintext)
    refusePlaintextBeyondLoopback(config.connectListen, plaintext)
    const shared = { services, maxStreamsPerConnection }
    const settings = {
      ...shared,
      onMaskedError: (method: { readonly name: string }, error: unknown) => onMaskedError(method.name, error),
    }
    const onStaleRemoved = (path: string): void => logSocketReplaced(log, { path })
    const socket = { path: config.socket, boundApiKeyId: undefined, onStaleRemoved }
    await listening(listenGrpcOnSocket(settings, socket))
    for (const { path, apiKeyId } of config.sockets) {
      await listening(listenGrpcOnSocket(settings, { path, boundApiKeyId: apiKeyId, onStaleRemoved }))
    }
    const grpc = await listening(listenGrpcOnTcp(settings, config.grpcListen, certificates, identities))
    const gate: Parameters<typeof listenConnect>[0]['gate'] = (service, context) => {
      if (service === 'wallet' || service === 'audit' || service === 'admin') pipeline.gate(service, context)
    }
    const connect = await listening(
      listenConnect({ ...shared, onMaskedError, gate }, config.connectListen, certificates, identities),
    )
    return {
      endpoints: { grpc: grpc.address, connect: connect.address, socket: config.socket },
      setServing: health.setServing,
      inFlight: () => pipeline.inFlight,
      stop: (waitMs) => stopAll(open, { stopping, abandoning, health, certificates }, waitMs),
    }
  } catch (error) {
    for (const listener of open) listener.close()
    certificates?.[Symbol.dispose]()
    throw error
  }
}

const stopAll = async (
  open: readonly (GrpcListener | ConnectListener)[],
  parts: {
    readonly stopping: AbortController
    readonly abandoning: AbortController
    readonly health: ReturnType<typeof createHealth>
    readonly certificates: CertificateFiles | undefined
  },
  waitMs: number,
): Promise<void> => {
  parts.health.setServing(false)
  parts.stopping.abort()
  const drained = Promise.all(open.map((listener) => listener.drain()))
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, waitMs)
  await Promise.race([drained, late])
  clearTimeout(timer)
  parts.abandoning.abort()
  for (const listener of open) listener.close()
  parts.certificates?.[Symbol.dispose]()
}
