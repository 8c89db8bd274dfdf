/** WalletService.SignStream: items to the RPCs they are requests of, and answers back to the stream. */
import { toBinary } from '@bufbuild/protobuf'
import type { DescMethod, Message, MessageInitShape } from '@bufbuild/protobuf'
import type { SignStreamRequest, SignStreamResponse } from '../../gen/countersign/v1/wallet_pb.ts'
import { type SignStreamResponseSchema, WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { answerItems, type Item } from './item-stream.ts'
import type { StreamCall } from './stream-call.ts'
import { emptyItem, itemOf, refusal, requireItemId } from './stream-item.ts'

type Response = MessageInitShape<typeof SignStreamResponseSchema>
/** The answer's kind is the request's. */
type Answered = SignStreamResponse['result']

const { signMessage, signTypedData, signTransaction, signAuthorization, signDigest } = WalletService.method
const METHODS = { signMessage, signTypedData, signTransaction, signAuthorization, signDigest } as const satisfies Record<
  NonNullable<SignStreamRequest['request']['case']>,
  DescMethod
>

const openItem =
  (stream: StreamCall) =>
  ({ itemId, request }: SignStreamRequest): Item<Response> | undefined => {
    if (itemId === '' && request.case === undefined) return undefined
    requireItemId(itemId)
    if (request.case === undefined) return emptyItem(itemId, 'request', 'exactly one field is required in oneof')
    const kind = request.case
    const message: Message = request.value
    const method = METHODS[kind]
    const bytes = toBinary(method.input, message as never)
    return itemOf(stream, { itemId, method, message, bytes, sizeBytes: bytes.length }, (response, timing): Response => ({
      itemId,
      result: { case: kind, value: response } as Answered,
      timing,
    }))
  }

export const signStream = (requests: AsyncIterable<SignStreamRequest>, stream: StreamCall): AsyncIterable<Response> =>
  answerItems(requests, stream, openItem(stream), refusal)
