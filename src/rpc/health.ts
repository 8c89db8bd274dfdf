/**
 * grpc.health.v1 for load balancers and supervisors: SERVING for `""` and each service once the daemon may be
 * called.
 */
import { Code, ConnectError } from '@connectrpc/connect'
import type { ServiceImpl } from '@connectrpc/connect'
import type { DescService } from '@bufbuild/protobuf'
import type { Health } from '../../gen/grpc/health/v1/health_pb.ts'
import { HealthCheckResponse_ServingStatus as ServingStatus } from '../../gen/grpc/health/v1/health_pb.ts'

export type HealthState = {
  readonly implementation: ServiceImpl<typeof Health>
  /** All services at once: they share every part that could fail. */
  readonly setServing: (isServing: boolean) => void
}

/** `endSignal` ends the watches; their clients see the last state before it. */
export const createHealth = (services: readonly DescService[], endSignal: AbortSignal): HealthState => {
  const names = new Set(['', ...services.map(({ typeName }) => typeName)])
  const watchers = new Set<() => void>()
  let status: ServingStatus = ServingStatus.NOT_SERVING

  const statusOf = (service: string): ServingStatus => {
    if (!names.has(service)) throw new ConnectError('unknown service', Code.NotFound)
    return status
  }

  return {
    setServing: (isServing) => {
      status = isServing ? ServingStatus.SERVING : ServingStatus.NOT_SERVING
      for (const wake of watchers) wake()
    },
    implementation: {
      check: ({ service }) => ({ status: statusOf(service) }),
      list: () => ({ statuses: Object.fromEntries([...names].map((name) => [name, { status }])) }),
      /** A name that is not served is SERVICE_UNKNOWN here, and the stream stays open: it may be served later. */
      async *watch({ service }, { signal }) {
        const known = names.has(service)
        const ended = AbortSignal.any([signal, endSignal])
        let told: ServingStatus | undefined
        while (!ended.aborted) {
          const now = known ? status : ServingStatus.SERVICE_UNKNOWN
          if (now !== told) {
            told = now
            yield { status: now }
            continue
          }
          const { promise, resolve } = Promise.withResolvers<void>()
          const wake = (): void => resolve()
          watchers.add(wake)
          ended.addEventListener('abort', wake, { once: true })
          await promise
          watchers.delete(wake)
          ended.removeEventListener('abort', wake)
        }
      },
    },
  }
}
