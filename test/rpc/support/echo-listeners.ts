import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node'
import { listenConnect } from '../../../src/rpc/connect-listener.ts'
import { listenGrpcOnTcp } from '../../../src/rpc/grpc-listener.ts'
import type { MountedService } from '../../../src/rpc/mounted-services.ts'
import type { EchoClient, EchoImpl } from './echo-service.ts'
import { asServiceImpl, EchoService } from './echo-service.ts'

export type EchoListeners = AsyncDisposable & {
  readonly grpcAddress: string
  readonly connectAddress: string
  readonly masked: unknown[]
  readonly clients: { readonly [protocol in 'grpc' | 'connect' | 'grpcWeb']: EchoClient }
}

const LOOPBACK = { host: '127.0.0.1', port: 0 }

/** The echo service on both kinds of listener, and a client for each protocol. */
export const openEcho = async (impl: EchoImpl, bodyTimeoutMs = 10_000): Promise<EchoListeners> => {
  const masked: unknown[] = []
  const services: MountedService[] = [{ name: 'wallet', desc: EchoService, implementation: complete(impl) }]
  const maxStreamsPerConnection = 256
  const onMaskedError = (_where: unknown, error: unknown): void => {
    masked.push(error)
  }
  const shared = { services, maxStreamsPerConnection, bodyTimeoutMs, onMaskedError, gate: async () => {} }
  const grpc = await listenGrpcOnTcp(shared, LOOPBACK, undefined, new Map())
  const connect = await listenConnect(shared, LOOPBACK, undefined, new Map())
  const client = (transport: Parameters<typeof createClient>[1]) =>
    createClient(EchoService, transport) as unknown as EchoClient
  const connectUrl = `http://${connect.address}`
  return {
    grpcAddress: grpc.address,
    connectAddress: connect.address,
    masked,
    clients: {
      grpc: client(createGrpcTransport({ baseUrl: `http://${grpc.address}` })),
      connect: client(createConnectTransport({ baseUrl: connectUrl, httpVersion: '1.1' })),
      grpcWeb: client(createGrpcWebTransport({ baseUrl: connectUrl, httpVersion: '2' })),
    },
    [Symbol.asyncDispose]: async () => {
      grpc.close()
      connect.close()
      await connect.drain()
    },
  }
}

const missing = () => {
  throw new Error('this test does not call it')
}

const complete = (impl: EchoImpl) =>
  asServiceImpl({ unary: missing, serverStream: missing, clientStream: missing, bidi: missing, ...impl })
