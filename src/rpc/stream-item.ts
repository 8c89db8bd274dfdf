/** An item of a stream is a request of a unary RPC, and is answered as that RPC would have answered it. */
import { create } from '@bufbuild/protobuf'
import type { DescMethod, Message, MessageInitShape } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { failure, invalidField, isFailure } from '../domain/failure.ts'
import type { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import type { Item } from './item-stream.ts'
import { maxRequestBytes } from './mounted-services.ts'
import { toFailure, toStatusError } from './status.ts'
import type { StreamCall } from './stream-call.ts'

const ID_MAX_BYTES = 128

/** The status that the item's own RPC would have ended with. */
export const toWireStatus = (error: unknown): MessageInitShape<typeof StatusSchema> => {
  const { code, rawMessage: message, details } = toStatusError(toFailure(error))
  const packed = details.flatMap((detail) =>
    'desc' in detail ? [anyPack(detail.desc, create(detail.desc, detail.value as never))] : [],
  )
  return { code, message, details: packed }
}

export const refusal = (itemId: string, error: unknown, timing = '') => ({
  itemId,
  result: { case: 'error' as const, value: toWireStatus(error) },
  timing,
})
type Refusal = ReturnType<typeof refusal>

/** Refuses, and with it the stream, an id that no answer could be told apart by. */
export const requireItemId = (itemId: string): void => {
  if (itemId === '' || Buffer.byteLength(itemId) > ID_MAX_BYTES)
    throw invalidField('item_id', `an item has an id of 1 to ${ID_MAX_BYTES} bytes`)
}

/** An item that holds no request. */
export const emptyItem = (itemId: string, field: string, description: string): Item<Refusal> => {
  const missing = invalidField(field, description)
  return { id: itemId, bytes: 0, work: async () => () => refusal(itemId, missing) }
}

export type ItemRequest = {
  readonly itemId: string
  readonly method: DescMethod
  readonly message: Message
  /** As on the wire; undefined for a request that cannot come again. */
  readonly bytes: Uint8Array | undefined
  readonly sizeBytes: number
}

export const itemOf = <Answer>(
  stream: StreamCall,
  { itemId, method, message, bytes, sizeBytes }: ItemRequest,
  answerOf: (response: unknown, timing: string) => Answer,
): Item<Answer | Refusal> => ({
  id: itemId,
  bytes: sizeBytes,
  work: async () => {
    try {
      const limitBytes = maxRequestBytes(method)
      if (sizeBytes > limitBytes) throw failure('REQUEST_TOO_LARGE', { limitBytes })
      const answer = await stream.run(method, message, bytes)
      const { timing } = answer
      if ('refusal' in answer) return () => refusal(itemId, answer.refusal, timing)
      return () => {
        try {
          answer.check()
          return answerOf(answer.response, timing)
        } catch (error) {
          return refusal(itemId, error, timing)
        }
      }
    } catch (error) {
      return () => refusal(itemId, isFailure(error) ? error : failure('INTERNAL', {}))
    }
  },
})
