/** SessionKeyService.SignActionStream: items to SignAction, and answers back to the stream. */
import { toBinary } from '@bufbuild/protobuf'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { failure, isFailure } from '../domain/failure.ts'
import {
  SessionKeyService,
  type SignActionResponse,
  type SignActionStreamRequest,
  type SignActionStreamResponseSchema,
} from '../../gen/countersign/v1/session_key_pb.ts'
import { answerItems, type Item } from './item-stream.ts'
import { maxRequestBytes } from './mounted-services.ts'
import { toWireStatus } from './sign-stream.ts'
import type { StreamCall } from './stream-call.ts'

type Response = MessageInitShape<typeof SignActionStreamResponseSchema>

const { signAction } = SessionKeyService.method
const ID_MAX_BYTES = 128
/** More than the other fields of an action can have. */
const OTHER_FIELDS_BYTES = 256

const refusal = (itemId: string, error: unknown, timing = ''): Response => ({
  itemId,
  result: { case: 'error', value: toWireStatus(error) },
  timing,
})

const violation = (field: string, description: string) => failure('INVALID_REQUEST', { violations: [{ field, description }] })

const openItem =
  (stream: StreamCall) =>
  ({ itemId, action }: SignActionStreamRequest): Item<Response> | undefined => {
    if (itemId === '' && action === undefined) return undefined
    if (itemId === '' || Buffer.byteLength(itemId) > ID_MAX_BYTES)
      throw violation('item_id', `an item has an id of 1 to ${ID_MAX_BYTES} bytes`)
    if (action === undefined) {
      const missing = violation('action', 'is required')
      return { id: itemId, bytes: 0, work: async () => () => refusal(itemId, missing) }
    }
    // Only a request that may come again is compared with itself.
    const bytes = action.requestId === '' ? undefined : toBinary(signAction.input, action)
    const size = bytes?.length ?? Buffer.byteLength(action.actionJson) + OTHER_FIELDS_BYTES
    return {
      id: itemId,
      bytes: size,
      work: async () => {
        try {
          const limitBytes = maxRequestBytes(signAction)
          if (size > limitBytes) throw failure('REQUEST_TOO_LARGE', { limitBytes })
          const answer = await stream.run(signAction, action, bytes)
          const { timing } = answer
          if ('refusal' in answer) return () => refusal(itemId, answer.refusal, timing)
          return () => {
            try {
              answer.check()
              return { itemId, result: { case: 'action', value: answer.response as SignActionResponse }, timing }
            } catch (error) {
              return refusal(itemId, error, timing)
            }
          }
        } catch (error) {
          return () => refusal(itemId, isFailure(error) ? error : failure('INTERNAL', {}))
        }
      },
    }
  }

export const signActionStream = (
  requests: AsyncIterable<SignActionStreamRequest>,
  stream: StreamCall,
): AsyncIterable<Response> => answerItems(requests, stream, openItem(stream), refusal)
