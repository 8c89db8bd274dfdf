/** An answer that waited for its reader until the session key had ended does not leave. */
import { connect as connectHttp2 } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { timestampDate } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  SessionScope,
  SignActionStreamRequestSchema,
  type SignActionStreamResponse,
  SignActionStreamResponseSchema,
} from '../../gen/countersign/v1/session_key_pb.ts'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect } from '../e2e/callers.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { activeKey, hlOrder, inMs } from './session-daemon.ts'

let daemon: TestDaemon
let client: CountersignClient

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
})
afterAll(async () => {
  client?.close()
  await daemon?.[Symbol.asyncDispose]()
})

const ITEMS = 60
const ORDERS = 80

const frame = (body: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

const reasonOf = ({ result }: SignActionStreamResponse): string => {
  if (result.case !== 'error') return 'signed'
  const info = result.value.details.find(({ typeUrl }) => typeUrl.endsWith('ErrorInfo'))
  return info === undefined ? '' : fromBinary(ErrorInfoSchema, info.value).reason
}

it('is refused as over, item by item', async () => {
  const key = await activeKey(client, { scopes: [SessionScope.ORDER], expireTime: inMs(8_000) })
  const session = connectHttp2(`http://${daemon.endpoints.grpc}`, { settings: { initialWindowSize: 1_024 } })
  const stream = session.request({
    ':method': 'POST',
    ':path': '/countersign.v1.SessionKeyService/SignActionStream',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${daemon.adminKey}`,
  })
  for (let i = 0; i < ITEMS; i++) {
    const action = { sessionKeyId: key.sessionKeyId, family: 'order', actionJson: hlOrder({}, ORDERS) }
    stream.write(frame(toBinary(SignActionStreamRequestSchema, create(SignActionStreamRequestSchema, { itemId: `i${i}`, action }))))
  }
  const endMs = timestampDate(key.expireTime ?? { $typeName: 'google.protobuf.Timestamp', seconds: 0n, nanos: 0 }).getTime()
  await sleep(Math.max(0, endMs - Date.now()) + 200)
  const answers: SignActionStreamResponse[] = []
  let rest = Buffer.alloc(0)
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1)
      answers.push(fromBinary(SignActionStreamResponseSchema, new Uint8Array(rest.subarray(5, end))))
      rest = rest.subarray(end)
    }
    if (answers.length >= ITEMS) break
  }
  session.destroy()
  const reasons = answers.map(reasonOf)
  // What the transport had taken by then has left; what stood behind it has not.
  expect(reasons.filter((reason) => reason === 'SESSION_UNAUTHORIZED').length).toBeGreaterThan(ITEMS / 3)
  expect(reasons.filter((reason) => reason === 'signed').length).toBeLessThan(ITEMS / 2)
})
