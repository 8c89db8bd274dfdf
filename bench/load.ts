/** Calls over grpc-js with the generated messages, and many of them at a steady number in flight. */
import type { DescMessage, DescMethodBiDiStreaming, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js'
import type { BenchDaemon } from './bench-daemon.ts'

/** One call; resolves with the bytes of the answer. */
export type PreparedCall = () => Promise<Buffer>

export type LoadClient = {
  readonly prepare: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ) => PreparedCall
  readonly call: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ) => Promise<MessageShape<O>>
  /** One bidirectional stream of bytes. */
  readonly openStream: (method: DescMethodBiDiStreaming) => ClientDuplexStream<Buffer, Buffer>
  readonly close: () => void
}

const keep = (bytes: Buffer): Buffer => bytes

export const openLoadClient = ({ grpc, adminKey }: BenchDaemon): LoadClient => {
  const client = new Client(grpc, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${adminKey}`)
  const prepare: LoadClient['prepare'] = (method, request) => {
    const path = `/${method.parent.typeName}/${method.name}`
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)))
    return () =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(path, keep, keep, bytes, metadata, (error, answer) => {
          if (answer === undefined) reject(error ?? new Error('no answer'))
          else resolve(answer)
        })
      })
  }
  return {
    prepare,
    call: async (method, request) => fromBinary(method.output, await prepare(method, request)()),
    openStream: (method) =>
      client.makeBidiStreamRequest(`/${method.parent.typeName}/${method.name}`, keep, keep, metadata),
    close: () => client.close(),
  }
}

export type Load = { readonly count: number; readonly perSecond: number; readonly latenciesMs: readonly number[] }

export type LoadSize = {
  readonly count: number
  readonly concurrency: number
  /** Goes on beyond `count` until this long has passed. */
  readonly minMs?: number
}

/** Makes `count` calls, `concurrency` of them in flight at any time. The first that fails ends it. */
export const runLoad = async (call: () => Promise<unknown>, size: LoadSize): Promise<Load> => {
  const { count, concurrency, minMs = 0 } = size
  const latenciesMs: number[] = []
  const startMs = performance.now()
  let begun = 0
  const worker = async (): Promise<void> => {
    while (begun < count || performance.now() - startMs < minMs) {
      begun += 1
      const beganMs = performance.now()
      await call()
      latenciesMs.push(performance.now() - beganMs)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return { count: begun, perSecond: (begun / (performance.now() - startMs)) * 1_000, latenciesMs }
}

/** Each of the calls in turn. */
export const inTurn = <T>(calls: readonly (() => Promise<T>)[]): (() => Promise<T>) => {
  let next = 0
  return () => {
    const call = calls[next++ % calls.length]
    if (call === undefined) throw new Error('no call')
    return call()
  }
}
