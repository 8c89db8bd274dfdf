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
import type { Call, PublicCall } from '../domain/call.ts'
import type { ACCESS, PublicRule, SERVICES } from './access.ts'
import type { StreamCall } from './stream-call.ts'
import type { WebExchange } from './web-exchange.ts'

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: Call,
) => Promise<MessageInitShape<O>>

/** Of an RPC that anybody may call. */
export type PublicHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: PublicCall,
  web: WebExchange,
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

export type Handler<M extends DescMethod, Rule = unknown> =
  M extends DescMethodUnary<infer I, infer O>
    ? Rule extends PublicRule ? PublicHandler<I, O> : UnaryHandler<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? StreamHandler<I, O>
      : M extends DescMethodBiDiStreaming<infer I, infer O>
        ? BidiHandler<I, O>
        : never

/** The services whose callers pass the pipeline. */
export type KeyedService = 'wallet' | 'delegation' | 'session' | 'endUser' | 'audit' | 'admin'
export type Handlers<S extends KeyedService> = {
  readonly [M in keyof (typeof SERVICES)[S]['method']]: Handler<
    Extract<(typeof SERVICES)[S]['method'][M], DescMethod>,
    M extends keyof (typeof ACCESS)[S] ? (typeof ACCESS)[S][M] : never
  >
}
