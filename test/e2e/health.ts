import { Code, ConnectError, createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from '../../gen/grpc/health/v1/health_pb.ts'
import { type EndpointOptions, resolveEndpoint } from '../../src/client/grpc-endpoint.ts'
import type { Endpoints } from './start-daemon.ts'

/** What the health service says of one service, by its name in the protocol; UNREACHABLE where nothing answers. */
export const healthOf = async (
  { endpoints }: { readonly endpoints: Endpoints },
  service = '',
  way: EndpointOptions = { endpoint: endpoints.grpc },
): Promise<string> => {
  const { baseUrl, sessionOptions: nodeOptions } = resolveEndpoint(way)
  const client = createClient(Health, createGrpcTransport({ baseUrl, nodeOptions }))
  try {
    const { status } = await client.check({ service }, { timeoutMs: 10_000 })
    return Object.entries(ServingStatus).find(([, value]) => value === status)?.[0] ?? String(status)
  } catch (error) {
    return error instanceof ConnectError && error.code !== Code.Unavailable ? (Code[error.code] ?? '') : 'UNREACHABLE'
  }
}
