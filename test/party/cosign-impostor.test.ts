/** A delegate's end of a `Cosign` stream to somebody who is not the daemon that delegated. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { create } from '@bufbuild/protobuf'
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CosignRequest, type CosignResponse, CosignResponseSchema } from '../../gen/countersign/v1/delegation_pb.ts'
import { COSIGN_RPC } from '../../src/party/delegate/cosign-rpc.ts'
import { CosignStream } from '../../src/party/delegate/cosign-stream.ts'

const server = new Server()
let url: string
let heard: string[]
beforeAll(async () => {
  const speak = (stream: ServerDuplexStream<CosignRequest, CosignResponse>): void => {
    stream.on('error', () => undefined)
    stream.on('data', ({ content }: CosignRequest) => {
      heard.push(content.case ?? '')
      if (content.case === 'hello') stream.write(create(CosignResponseSchema, { callId: 7, content: { case: 'question', value: randomBytes(80) } }))
    })
  }
  server.addService({ cosign: COSIGN_RPC }, { cosign: speak })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))),
  )
  url = `http://127.0.0.1:${port}`
})
afterAll(() => server.forceShutdown())

it('is asked nothing before that daemon has proven who it is', async () => {
  heard = []
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const identity = {
    publicKey: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)),
    sign: (statement: Uint8Array) => new Uint8Array(sign(null, statement, privateKey)),
  }
  const target = {
    url,
    authorities: undefined,
    partyId: new Uint8Array(randomBytes(32)),
    accessId: new Uint8Array(randomBytes(16)),
    apiKey: `cdk_${'A'.repeat(43)}`,
  }
  const asked: Uint8Array[] = []
  const question = async (frame: Uint8Array): Promise<undefined> => void asked.push(frame)
  const stream = new CosignStream(target, identity, { question, ended: () => undefined })
  await expect(stream.joined).rejects.toThrow('it asks before it has proven who it is')
  expect(asked).toEqual([])
  expect(heard).toEqual(['hello'])
  expect(stream.isOver).toBe(true)
})
