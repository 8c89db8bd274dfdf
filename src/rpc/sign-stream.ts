/** WalletService.SignStream: items to the RPCs they are requests of, and answers back to the stream. */
import { create, toBinary } from '@bufbuild/protobuf'
import type { DescMethod, Message, MessageInitShape } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { isFailure, failure } from '../domain/failure.ts'
import type { SignStreamRequest, SignStreamResponse } from '../../gen/countersign/v1/wallet_pb.ts'
import { type SignStreamResponseSchema, WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import type { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import { answerItems, type Item } from './item-stream.ts'
import { maxRequestBytes } from './mounted-services.ts'
import { toFailure, toStatusError } from './status.ts'
import type { StreamCall } from './stream-call.ts'

type Response = MessageInitShape<typeof SignStreamResponseSchema>
/** The answer's kind is the request's. */
type Answered = SignStreamResponse['result']

const { signMessage, signTypedData, signTransaction, signAuthorization, signDigest } = WalletService.method
const METHODS = { signMessage, signTypedData, signTransaction, signAuthorization, signDigest } as const satisfies Record<
  NonNullable<SignStreamRequest['request']['case']>,
  DescMethod
>
const ID_MAX_BYTES = 128

/** The status that the item's own RPC would have ended with. */
export const toWireStatus = (error: unknown): MessageInitShape<typeof StatusSchema> => {
  const { code, rawMessage: message, details } = toStatusError(toFailure(error))
  const packed = details.flatMap((detail) =>
    'desc' in detail ? [anyPack(detail.desc, create(detail.desc, detail.value as never))] : [],
  )
  return { code, message, details: packed }
}

const refusal = (itemId: string, error: unknown, timing = ''): Response => ({
  itemId,
  result: { case: 'error', value: toWireStatus(error) },
  timing,
})

const violation = (field: string, description: string) => failure('INVALID_REQUEST', { violations: [{ field, description }] })

const openItem =
  (stream: StreamCall) =>
  ({ itemId, request }: SignStreamRequest): Item<Response> | undefined => {
    if (itemId === '' && request.case === undefined) return undefined
    if (itemId === '' || Buffer.byteLength(itemId) > ID_MAX_BYTES)
      throw violation('item_id', `an item has an id of 1 to ${ID_MAX_BYTES} bytes`)
    if (request.case === undefined) {
      const missing = violation('request', 'exactly one field is required in oneof')
      return { id: itemId, bytes: 0, work: async () => () => refusal(itemId, missing) }
    }
    const kind = request.case
    const message: Message = request.value
    const method = METHODS[kind]
    const bytes = toBinary(method.input, message as never)
    return {
      id: itemId,
      bytes: bytes.length,
      work: async () => {
        try {
          const limitBytes = maxRequestBytes(method)
          if (bytes.length > limitBytes) throw failure('REQUEST_TOO_LARGE', { limitBytes })
          const answer = await stream.run(method, message, bytes)
          const { timing } = answer
          if ('refusal' in answer) return () => refusal(itemId, answer.refusal, timing)
          return () => {
            try {
              answer.check()
              return { itemId, result: { case: kind, value: answer.response } as Answered, timing }
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

export const signStream = (requests: AsyncIterable<SignStreamRequest>, stream: StreamCall): AsyncIterable<Response> =>
  answerItems(requests, stream, openItem(stream), refusal)
