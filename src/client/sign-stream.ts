/** SignStream for programs that think in requests: send one, await its answer, many at a time over one stream. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, type CallOptions, type Client } from '@connectrpc/connect'
import type { Any } from '@bufbuild/protobuf/wkt'
import {
  type SignStreamRequest,
  SignStreamRequestSchema,
  type SignStreamResponse,
  type WalletService,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { Status } from '../../gen/google/rpc/status_pb.ts'
import { CountersignError, decodeError } from './countersign-error.ts'

type Requests = MessageInitShape<typeof SignStreamRequestSchema>['request']
export type StreamedRequest = Extract<NonNullable<Requests>, { readonly case: string }>
export type StreamedKind = StreamedRequest['case']
type AnswerOf<K extends StreamedKind> = Extract<SignStreamResponse['result'], { readonly case: K }>['value']

export type SignStream = {
  /**
   * Sends one request and resolves with its answer, whenever that comes. Rejects with a CountersignError: why this item
   * was refused, or why the stream ended before it was answered.
   */
  readonly sign: <K extends StreamedKind>(
    kind: K,
    request: Extract<StreamedRequest, { readonly case: K }>['value'],
  ) => Promise<AnswerOf<K>>
  /** Sends nothing more; resolves when everything sent is answered. */
  readonly close: () => Promise<void>
}

type Waiting = { readonly resolve: (answer: never) => void; readonly reject: (error: CountersignError) => void }

const KEEP_ALIVE_MS = 60_000
/** gRPC's numbers are Connect's codes. */
const CODES = new Map<number, Code>(Object.values(Code).flatMap((code) => (typeof code === 'number' ? [[code, code]] : [])))
const ENDED = new ConnectError('the stream has ended', Code.Unavailable)

const readDetail = ({ typeUrl, value }: Any) => ({ type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1), value })

/** The refusal of one item, as a call of its own would have been refused. */
export const decodeItemError = ({ code, message, details }: Status): CountersignError => {
  const error = new ConnectError(message, CODES.get(code) ?? Code.Unknown)
  error.details = details.map(readDetail)
  return decodeError(error)
}

/** An endless source of what is pushed into it. */
const createOutbox = () => {
  const queue: SignStreamRequest[] = []
  let isClosed = false
  let wake = Promise.withResolvers<void>()
  const stir = (): void => {
    wake.resolve()
    wake = Promise.withResolvers()
  }
  async function* messages(): AsyncGenerator<SignStreamRequest> {
    for (;;) {
      const next = queue.shift()
      if (next !== undefined) yield next
      else if (isClosed) return
      else await wake.promise
    }
  }
  return {
    messages,
    push: (request: SignStreamRequest): void => {
      queue.push(request)
      stir()
    },
    close: (): void => {
      isClosed = true
      stir()
    },
  }
}

/** Opens a stream on `wallets` (`client.wallets`) and keeps it alive while nothing is asked. */
export const openSignStream = (wallets: Client<typeof WalletService>, options?: CallOptions): SignStream => {
  const outbox = createOutbox()
  const waiting = new Map<string, Waiting>()
  let number = 0
  let ended: CountersignError | undefined
  const keepAlive = setInterval(() => outbox.push(create(SignStreamRequestSchema)), KEEP_ALIVE_MS).unref()

  const settle = ({ itemId, result }: SignStreamResponse): void => {
    const item = waiting.get(itemId)
    waiting.delete(itemId)
    if (result.case === 'error') item?.reject(decodeItemError(result.value))
    else item?.resolve(result.value as never)
  }
  const finish = (error: CountersignError): void => {
    ended = error
    clearInterval(keepAlive)
    outbox.close()
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  const read = async (): Promise<void> => {
    try {
      for await (const response of wallets.signStream(outbox.messages(), options)) settle(response)
      finish(decodeError(ENDED))
    } catch (error) {
      finish(decodeError(error))
    }
  }
  const done = read()
  return {
    sign: (kind, request) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) return reject(ended)
        const itemId = String(number++)
        waiting.set(itemId, { resolve, reject })
        const chosen = { case: kind, value: request } as StreamedRequest
        outbox.push(create(SignStreamRequestSchema, { itemId, request: chosen }))
      }),
    close: () => {
      outbox.close()
      return done
    },
  }
}
