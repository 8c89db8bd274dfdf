/**
 * The daemon's face: every listener, with the same services behind each. Starts closed: health says NOT_SERVING
 * until `setServing(true)`.
 */
import { generateKeySync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Clock } from '../domain/clock.ts'
import type { ApiKeyId } from '../domain/ids.ts'
import { SERVICES } from './access.ts'
import { DEFAULT_ADMISSION } from './admission.ts'
import { createAdminService } from './admin-service.ts'
import { type ApiKeyDirectory, type ApiKeyProofs, SECRETS_ONLY } from './authenticate.ts'
import type { WebSettings } from './cross-origin.ts'
import { createEndUserService } from './end-user-service.ts'
import { type DelegateDirectory, NO_DELEGATES } from './delegates.ts'
import type { EndUserDirectory } from './end-users.ts'
import { createAuditService } from './audit-service.ts'
import type { CertificateEvents, TlsFiles } from './certificate-files.ts'
import { CertificateFiles } from './certificate-files.ts'
import type { ConnectListener } from './connect-listener.ts'
import { listenConnect } from './connect-listener.ts'
import type { GrpcListener, GrpcListenerSettings } from './grpc-listener.ts'
import { listenGrpcOnSocket, listenGrpcOnTcp } from './grpc-listener.ts'
import type { HealthState } from './health.ts'
import { createHealth } from './health.ts'
import type { IdempotencyStore } from './idempotency.ts'
import type { ListenAddress } from './listen-address.ts'
import { refusePlaintextBeyondLoopback } from './listen-address.ts'
import type { Implementations } from './mounted-services.ts'
import { listServices, MAX_STREAMS_PER_CONNECTION } from './mounted-services.ts'
import { createPageTokens } from './page-token.ts'
import type { CertificateIdentities } from './peer.ts'
import type { CallObserver, Denial } from './pipeline.ts'
import type { KeyedService } from './handlers.ts'
import { DEFAULT_LIMITS, Pipeline } from './pipeline.ts'
import { createReflection } from './reflection.ts'
import type { UseCases } from './use-cases.ts'
import { createSessionService } from './session-service.ts'
import { createRequestValidator } from './validate.ts'
import { createDelegationService } from './delegation-service.ts'
import { createWalletService } from './wallet-service.ts'
import type { WebhookInbox } from './webhook-inbox.ts'

export type EdgeListen = {
  readonly grpc: ListenAddress
  readonly connect: ListenAddress
  /** A unix socket whose callers present an API key; absent for none. */
  readonly socket?: string | undefined
  /** Unix sockets whose every caller is one API key. */
  readonly boundSockets: readonly { readonly path: string; readonly apiKeyId: ApiKeyId }[]
  readonly tls?: TlsFiles | undefined
  /** Names in client certificates → API keys. When there are any, TCP callers are who their certificate says. */
  readonly tlsIdentities: readonly { readonly identity: string; readonly apiKeyId: ApiKeyId }[]
  readonly allowPlaintextBeyondLoopback: boolean
  readonly maxConcurrentRequests: number
  readonly maxStreamsPerConnection?: number | undefined
}

export type EdgeEvents = CallObserver &
  CertificateEvents & {
    readonly onStaleSocketRemoved: (path: string) => void
  }

export type EdgeSettings = {
  readonly useCases: UseCases
  readonly directory: ApiKeyDirectory
  /** Absent: API keys have secrets and nothing else. */
  readonly keyProofs?: ApiKeyProofs | undefined
  readonly users: EndUserDirectory
  /** Absent: there is no delegated access. */
  readonly delegates?: DelegateDirectory | undefined
  /** Absent: no page of another origin may call, and there are no keys to look up. */
  readonly web?: WebSettings | undefined
  /** Absent: no webhooks are taken. */
  readonly inbox?: WebhookInbox | undefined
  readonly idempotency: IdempotencyStore
  readonly recordDenial: (denial: Denial) => Promise<void>
  readonly events: EdgeEvents
  readonly clock: Clock
  readonly listen: EdgeListen
  /**
   * HMAC key of the page tokens, 32 bytes; lists go on across restarts when it stays the same. Drawn when absent.
   */
  readonly pageTokenKey?: KeyObject | undefined
  /** How often the certificate files are looked at. */
  readonly certificateIntervalMs?: number | undefined
}

export type Edge = {
  /** `host:port`, with the port the system gave. */
  readonly grpcAddress: string
  readonly connectAddress: string
  /** The unbound socket first, where there is one. */
  readonly socketPaths: readonly string[]
  readonly inFlight: () => number
  readonly setServing: (isServing: boolean) => void
  /**
   * NOT_SERVING; no further calls, streams end with SHUTTING_DOWN; calls in flight get `graceMs` and are then
   * abandoned likewise; then everything is closed and the socket files are gone. Never rejects.
   */
  readonly stop: (graceMs: number) => Promise<void>
}

const ABANDON_MS = 500

type Listener = GrpcListener | ConnectListener

const createPipeline = (
  { directory, keyProofs, users, delegates, idempotency, recordDenial, events, clock, listen }: EdgeSettings,
  stop: StopSignals,
) =>
  new Pipeline({
    directory,
    keyProofs: keyProofs ?? SECRETS_ONLY,
    users,
    delegates: delegates ?? NO_DELEGATES,
    idempotency,
    recordDenial,
    observer: events,
    clock,
    validator: createRequestValidator(Object.values(SERVICES)),
    stopSignal: stop.stopping.signal,
    abandonSignal: stop.abandoning.signal,
    limits: { ...DEFAULT_LIMITS, admission: { ...DEFAULT_ADMISSION, maxInFlight: listen.maxConcurrentRequests } },
  })

const PIPED: ReadonlySet<keyof typeof SERVICES> = new Set<KeyedService>([
  'wallet',
  'delegation',
  'session',
  'endUser',
  'audit',
  'admin',
])
const isPiped = (service: keyof typeof SERVICES): service is KeyedService => PIPED.has(service)

type StopSignals = { readonly stopping: AbortController; readonly abandoning: AbortController }

const createImplementations = (
  settings: EdgeSettings,
  pipeline: Pipeline,
  health: HealthState,
): Implementations => {
  const { useCases } = settings
  const tokens = createPageTokens(settings.pageTokenKey ?? generateKeySync('hmac', { length: 256 }))
  const reflection = createReflection(Object.values(SERVICES))
  return {
    wallet: pipeline.wrap('wallet', createWalletService(useCases.wallets, useCases.signing, useCases.sending, tokens)),
    delegation: pipeline.wrap('delegation', createDelegationService(useCases.delegation, useCases.delegate, tokens)),
    session: pipeline.wrap('session', createSessionService(useCases.session, tokens)),
    endUser: pipeline.wrap('endUser', createEndUserService(useCases.endUsers)),
    audit: pipeline.wrap('audit', createAuditService(useCases.audit, tokens)),
    admin: pipeline.wrap('admin', createAdminService(useCases.admin, useCases.webhooks, useCases.delegate, tokens)),
    health: health.implementation,
    reflection: reflection.v1,
    reflectionAlpha: reflection.v1alpha,
  }
}

type Opened = {
  readonly grpc: GrpcListener
  readonly connect: ConnectListener
  readonly sockets: readonly GrpcListener[]
}

/** Opens every listener, or none: `opened` holds what is open if this throws. */
const openListeners = async (
  settings: EdgeSettings,
  pipeline: Pipeline,
  implementations: Implementations,
  certificates: CertificateFiles | undefined,
  opened: Listener[],
): Promise<Opened> => {
  const { listen, events } = settings
  const identities: CertificateIdentities = new Map(
    listen.tlsIdentities.map((one) => [one.identity, one.apiKeyId]),
  )
  const shared: GrpcListenerSettings = {
    services: listServices(implementations),
    maxStreamsPerConnection: listen.maxStreamsPerConnection ?? MAX_STREAMS_PER_CONNECTION,
    onMaskedError: (method, error) => events.onInternalError(method.name, error),
  }
  const track = <L extends Listener>(listener: L): L => {
    opened.push(listener)
    return listener
  }
  const grpc = track(await listenGrpcOnTcp(shared, listen.grpc, certificates, identities))
  const connectSettings = {
    ...shared,
    web: settings.web,
    inbox: settings.inbox,
    gate: async (service: keyof typeof SERVICES, context: Parameters<Pipeline['gate']>[1]): Promise<void> => {
      if (isPiped(service)) await pipeline.gate(service, context)
    },
    onMaskedError: (where: string, error: unknown) => events.onInternalError(where, error),
  }
  const connect = track(await listenConnect(connectSettings, listen.connect, certificates, identities))
  const sockets: GrpcListener[] = []
  const unbound = listen.socket === undefined ? [] : [{ path: listen.socket, apiKeyId: undefined }]
  for (const { path, apiKeyId } of [...unbound, ...listen.boundSockets]) {
    const socket = { path, boundApiKeyId: apiKeyId, onStaleRemoved: events.onStaleSocketRemoved }
    sockets.push(track(await listenGrpcOnSocket(shared, socket)))
  }
  return { grpc, connect, sockets }
}

const within = (work: Promise<unknown>, timeoutMs: number): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs)
    work.then(
      () => {
        clearTimeout(timer)
        resolve()
      },
      () => {
        clearTimeout(timer)
        resolve()
      },
    )
  })

/** Opens the listeners. Throws LISTEN_FAILED, having closed what was open, when one of them cannot be. */
export const openEdge = async (settings: EdgeSettings): Promise<Edge> => {
  const { listen, events } = settings
  for (const address of [listen.grpc, listen.connect])
    refusePlaintextBeyondLoopback(address, {
      isEncrypted: listen.tls !== undefined,
      isAllowed: listen.allowPlaintextBeyondLoopback,
    })
  const certificates =
    listen.tls && new CertificateFiles(listen.tls, events, settings.certificateIntervalMs ?? 10_000)
  const signals: StopSignals = { stopping: new AbortController(), abandoning: new AbortController() }
  const pipeline = createPipeline(settings, signals)
  const health = createHealth(Object.values(SERVICES), signals.stopping.signal)
  const implementations = createImplementations(settings, pipeline, health)
  const opened: Listener[] = []
  const close = (): void => {
    for (const listener of opened) listener.close()
    certificates?.[Symbol.dispose]()
  }
  try {
    const { grpc, connect, sockets } = await openListeners(
      settings,
      pipeline,
      implementations,
      certificates,
      opened,
    )
    return {
      grpcAddress: grpc.address,
      connectAddress: connect.address,
      socketPaths: sockets.map(({ address }) => address),
      inFlight: () => pipeline.inFlight,
      setServing: health.setServing,
      stop: async (graceMs) => {
        health.setServing(false)
        signals.stopping.abort()
        const drained = Promise.all(opened.map((listener) => listener.drain()))
        await within(drained, graceMs)
        signals.abandoning.abort()
        await within(drained, ABANDON_MS)
        close()
      },
    }
  } catch (error) {
    close()
    throw error
  }
}
