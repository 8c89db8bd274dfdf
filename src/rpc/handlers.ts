/** What implements a service: a function an RPC, by the RPC's kind. None of them knows the transport. */
import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import type { Call } from '../domain/call.ts'
import type { SERVICES } from './access.ts'
import type { StreamCall } from './stream-call.ts'

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: Call,
) => Promise<MessageInitShape<O>>

export type StreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: Call,
) => AsyncIterable<MessageInitShape<O>>

/** Makes items of what it reads, and runs them with `stream.run`. */
export type BidiHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  stream: StreamCall,
) => AsyncIterable<MessageInitShape<O>>

export type Handler<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? StreamHandler<I, O>
      : M extends DescMethodBiDiStreaming<infer I, infer O>
        ? BidiHandler<I, O>
        : never

/** The services whose callers are known by an API key. */
export type KeyedService = 'wallet' | 'audit' | 'admin'
export type Handlers<S extends KeyedService> = {
  readonly [M in keyof (typeof SERVICES)[S]['method']]: Handler<
    Extract<(typeof SERVICES)[S]['method'][M], DescMethod>
  >
}
