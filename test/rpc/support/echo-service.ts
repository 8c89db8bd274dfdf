/** A service with one RPC of each kind, described at run time, to try the adapters with. */
import { create, createFileRegistry } from '@bufbuild/protobuf'
import type { DescService, MessageInitShape, DescMessage } from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt'
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect'

const { OPTIONAL } = FieldDescriptorProto_Label
const field = (name: string, number: number, type: FieldDescriptorProto_Type) => ({
  name,
  number,
  type,
  label: OPTIONAL,
})

const message = (name: string) => ({
  name,
  field: [
    field('text', 1, FieldDescriptorProto_Type.STRING),
    field('count', 2, FieldDescriptorProto_Type.INT32),
    field('data', 3, FieldDescriptorProto_Type.BYTES),
  ],
})

const method = (name: string, clientStreaming: boolean, serverStreaming: boolean) => ({
  name,
  inputType: '.test.v1.Ask',
  outputType: '.test.v1.Answer',
  clientStreaming,
  serverStreaming,
})

const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: 'test/v1/echo.proto',
    package: 'test.v1',
    syntax: 'proto3',
    messageType: [message('Ask'), message('Answer')],
    service: [
      {
        name: 'EchoService',
        method: [
          method('Unary', false, false),
          method('ServerStream', false, true),
          method('ClientStream', true, false),
          method('Bidi', true, true),
        ],
      },
    ],
  }),
  () => undefined,
)

const found = registry.getService('test.v1.EchoService')
if (found === undefined) throw new Error('the test service is described')
export const EchoService: DescService = found

export type Body = { text: string; count: number; data: Uint8Array }
type Init = Partial<Body>

/** What a test gives for the RPCs it uses; the descriptors are made at run time, so the types are stated here. */
export type EchoImpl = {
  readonly unary?: (ask: Body, context: HandlerContext) => Promise<Init> | Init
  readonly serverStream?: (ask: Body, context: HandlerContext) => AsyncIterable<Init>
  readonly clientStream?: (asks: AsyncIterable<Body>, context: HandlerContext) => Promise<Init>
  readonly bidi?: (asks: AsyncIterable<Body>, context: HandlerContext) => AsyncIterable<Init>
}

export const asServiceImpl = (impl: EchoImpl): ServiceImpl<DescService> =>
  impl as unknown as ServiceImpl<DescService>

export type AskInit = MessageInitShape<DescMessage> & Init

type CallOptions = {
  readonly headers?: Record<string, string>
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  readonly onHeader?: (headers: Headers) => void
  readonly onTrailer?: (headers: Headers) => void
}

/** The client's side of EchoImpl, as createClient makes it. */
export type EchoClient = {
  readonly unary: (ask: Init, options?: CallOptions) => Promise<Body>
  readonly serverStream: (ask: Init, options?: CallOptions) => AsyncIterable<Body>
  readonly clientStream: (asks: AsyncIterable<Init>, options?: CallOptions) => Promise<Body>
  readonly bidi: (asks: AsyncIterable<Init>, options?: CallOptions) => AsyncIterable<Body>
}
