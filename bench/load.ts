/** Calls over grpc-js with the generated messages, and many of them at a steady number in flight. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
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
    close: () => client.close(),
  }
}

export type Load = { readonly perSecond: number; readonly latenciesMs: readonly number[] }

/** Makes `count` calls, `concurrency` of them in flight at any time. The first that fails ends it. */
export const runLoad = async (call: PreparedCall, count: number, concurrency: number): Promise<Load> => {
  const latenciesMs: number[] = []
  let left = count
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const startMs = performance.now()
      await call()
      latenciesMs.push(performance.now() - startMs)
    }
  }
  const startMs = performance.now()
  await Promise.all(Array.from({ length: concurrency }, worker))
  return { perSecond: (count / (performance.now() - startMs)) * 1_000, latenciesMs }
}
