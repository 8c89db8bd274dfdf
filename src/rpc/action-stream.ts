/** SessionKeyService.SignActionStream: items to SignAction, and answers back to the stream. */
import { toBinary } from '@bufbuild/protobuf'
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  SessionKeyService,
  type SignActionResponse,
  type SignActionStreamRequest,
  type SignActionStreamResponseSchema,
} from '../../gen/countersign/v1/session_key_pb.ts'
import { answerItems, type Item } from './item-stream.ts'
import type { StreamCall } from './stream-call.ts'
import { emptyItem, itemOf, refusal, requireItemId } from './stream-item.ts'

type Response = MessageInitShape<typeof SignActionStreamResponseSchema>

const { signAction: method } = SessionKeyService.method
/** More than the other fields of an action can have. */
const OTHER_FIELDS_BYTES = 256

const openItem =
  (stream: StreamCall) =>
  ({ itemId, action }: SignActionStreamRequest): Item<Response> | undefined => {
    if (itemId === '' && action === undefined) return undefined
    requireItemId(itemId)
    if (action === undefined) return emptyItem(itemId, 'action', 'is required')
    // Only a request that may come again is compared with itself.
    const bytes = action.requestId === '' ? undefined : toBinary(method.input, action)
    const sizeBytes = bytes?.length ?? Buffer.byteLength(action.actionJson) + OTHER_FIELDS_BYTES
    return itemOf(stream, { itemId, method, message: action, bytes, sizeBytes }, (response, timing): Response => ({
      itemId,
      result: { case: 'action', value: response as SignActionResponse },
      timing,
    }))
  }

export const signActionStream = (
  requests: AsyncIterable<SignActionStreamRequest>,
  stream: StreamCall,
): AsyncIterable<Response> => answerItems(requests, stream, openItem(stream), refusal)
