/** Items on one SignStream: each is awaited by itself, however they come back. */
import type { DescMethodBiDiStreaming } from '@bufbuild/protobuf'
import type { LoadClient } from './load.ts'

export type Items = {
  /** `bytes`: a SignStreamRequest without its id. Resolves when its answer is there; rejects when it was refused. */
  readonly send: (bytes: Uint8Array) => Promise<Buffer>
  readonly close: () => Promise<void>
}

type Waiting = { readonly resolve: (answer: Buffer) => void; readonly reject: (error: Error) => void }

/** Field 1, length-delimited: the id is the first thing in a message, both ways. */
const ITEM_ID = 0x0a
/** Field 7, length-delimited: `error` in the place of an answer. */
const ERROR = 0x3a

const withId = (id: string, bytes: Uint8Array): Buffer => Buffer.concat([Buffer.from([ITEM_ID, id.length]), Buffer.from(id), bytes])

const readItem = (answer: Buffer): { readonly id: string; readonly isError: boolean } => {
  if (answer[0] !== ITEM_ID) throw new Error('an answer without an id')
  const end = 2 + (answer[1] ?? 0)
  return { id: answer.toString('latin1', 2, end), isError: answer[end] === ERROR }
}

export const openItems = (client: LoadClient, method: DescMethodBiDiStreaming): Items => {
  const call = client.openStream(method)
  const waiting = new Map<string, Waiting>()
  let next = 0
  const ended = Promise.withResolvers<void>()
  call.on('data', (answer: Buffer) => {
    const { id, isError } = readItem(answer)
    const one = waiting.get(id)
    waiting.delete(id)
    if (isError) one?.reject(new Error(`item ${id} was refused`))
    else one?.resolve(answer)
  })
  call.on('error', (error: Error) => {
    for (const { reject } of waiting.values()) reject(error)
    ended.reject(error)
  })
  call.on('end', () => ended.resolve())
  return {
    send: (bytes) =>
      new Promise((resolve, reject) => {
        const id = String(next++)
        waiting.set(id, { resolve, reject })
        call.write(withId(id, bytes))
      }),
    close: () => {
      call.end()
      return ended.promise
    },
  }
}
