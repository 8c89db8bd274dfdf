/** The RPCs of CosignerService as grpc-js wants them, and the limits of both ends. */
import type { Http2SecureServer } from 'node:http2'
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { MethodDefinition, Server } from '@grpc/grpc-js'
import { CosignerService } from '../../../gen/countersign/v1/cosigner_pb.ts'
import { Health } from '../../../gen/grpc/health/v1/health_pb.ts'

export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024

/** Small enough that a host that vanished is noticed before callers give up. */
export const KEEP_ALIVE = {
  'grpc.keepalive_time_ms': 5_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.enable_channelz': 0,
} as const

/**
 * What a peer may have under way before it hears that it was read: with HTTP/2's own 64 KiB a presign session would wait for
 * the distance a dozen times.
 */
export const WINDOW_BYTES = 1024 * 1024

export const SERVER_SETTINGS = { maxConcurrentStreams: 64, initialWindowSize: WINDOW_BYTES } as const

/**
 * The window of a whole connection, for every connection of a listening server. grpc-js has an option for clients only, so
 * this looks inside.
 */
export const widenWindows = (server: Server): void => {
  const { http2Servers } = server as unknown as { readonly http2Servers: ReadonlyMap<Http2SecureServer, unknown> }
  for (const listening of http2Servers.keys()) {
    listening.on('session', (session) => session.setLocalWindowSize(WINDOW_BYTES))
  }
}

export const CLIENT_OPTIONS = {
  ...KEEP_ALIVE,
  'grpc-node.flow_control_window': WINDOW_BYTES,
  'grpc.enable_retries': 0,
  // Neither the environment nor the name service has a say in how the cosigner is reached and called.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  // TLS wants a name, and an address is none; it counts for nothing.
  'grpc.ssl_target_name_override': 'cosigner.countersign',
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const definition = <I extends DescMessage, O extends DescMessage>(
  { parent, name, input, output }: { parent: { typeName: string }; name: string; input: I; output: O },
  streams: 'none' | 'both' | 'response' = 'none',
): MethodDefinition<MessageShape<I>, MessageShape<O>> => ({
  path: `/${parent.typeName}/${name}`,
  requestStream: streams === 'both',
  responseStream: streams !== 'none',
  requestSerialize: (message) => asBuffer(toBinary(input, message)),
  requestDeserialize: (bytes) => fromBinary(input, bytes),
  responseSerialize: (message) => asBuffer(toBinary(output, message)),
  responseDeserialize: (bytes) => fromBinary(output, bytes),
})

export const COSIGNER_RPCS = {
  open: definition(CosignerService.method.open, 'both'),
  getInfo: definition(CosignerService.method.getInfo),
  freeze: definition(CosignerService.method.freeze),
  unfreeze: definition(CosignerService.method.unfreeze),
  createBackup: definition(CosignerService.method.createBackup),
  rotateVaultKey: definition(CosignerService.method.rotateVaultKey),
}

export const HEALTH_RPCS = {
  check: definition(Health.method.check),
  watch: definition(Health.method.watch, 'response'),
}
