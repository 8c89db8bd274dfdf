/** The RPC by which a delegate joins the daemon that delegated, as grpc-js wants it, and how that daemon is reached. */
import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { ChannelCredentials, type MethodDefinition } from '@grpc/grpc-js'
import { CosignRequestSchema, CosignResponseSchema, DelegationService } from '../../../gen/countersign/v1/delegation_pb.ts'

type Request = MessageShape<typeof CosignRequestSchema>
type Response = MessageShape<typeof CosignResponseSchema>

const MAX_MESSAGE_BYTES = 1_572_864

/** Small enough that a host that vanished is noticed before callers give up. */
const CLIENT_OPTIONS = {
  // With HTTP/2's own window a presign session would wait for the distance a dozen times.
  'grpc-node.flow_control_window': 1024 * 1024,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.enable_channelz': 0,
  'grpc.enable_retries': 0,
  // Neither the environment nor the name service has a say in how the daemon is reached and called.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
} as const

const { cosign } = DelegationService.method
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const COSIGN_RPC: MethodDefinition<Request, Response> = {
  path: `/${cosign.parent.typeName}/${cosign.name}`,
  requestStream: true,
  responseStream: true,
  requestSerialize: (message) => asBuffer(toBinary(CosignRequestSchema, message)),
  requestDeserialize: (bytes) => fromBinary(CosignRequestSchema, bytes),
  responseSerialize: (message) => asBuffer(toBinary(CosignResponseSchema, message)),
  responseDeserialize: (bytes) => fromBinary(CosignResponseSchema, bytes),
}

/** Where a granting daemon is. */
export type GrantingAddress = {
  /** `https://host:port`; `http://` on this machine only. */
  readonly url: string
  /** PEM; trusted in the place of the well-known authorities. */
  readonly authorities: Uint8Array | undefined
}

export type CosignChannel = {
  /** `host:port`. */
  readonly host: string
  readonly credentials: ChannelCredentials
  readonly options: Readonly<Record<string, string | number>>
}

export const channelTo = ({ url, authorities }: GrantingAddress): CosignChannel => {
  const { hostname, host, protocol } = new URL(url)
  const isPlain = protocol === 'http:'
  const target = /:\d+$/.test(host) ? host : `${host}:${isPlain ? 80 : 443}`
  if (isPlain) return { host: target, credentials: ChannelCredentials.createInsecure(), options: CLIENT_OPTIONS }
  const roots = authorities === undefined ? null : Buffer.from(authorities)
  const address = hostname.replace(/^\[|\]$/g, '')
  if (isIP(address) === 0) return { host: target, credentials: ChannelCredentials.createSsl(roots), options: CLIENT_OPTIONS }
  // TLS wants a name to ask for, and an address is none; the certificate has to be the address's all the same.
  const verify = { checkServerIdentity: (_name: string, shown: PeerCertificate) => checkServerIdentity(address, shown) }
  return {
    host: target,
    credentials: ChannelCredentials.createSsl(roots, null, null, verify),
    options: { ...CLIENT_OPTIONS, 'grpc.ssl_target_name_override': 'daemon.countersign' },
  }
}
