/** What a daemon makes of a cosigner that answers what it may not: the stream ends, or one call is refused; nothing hangs. */
import { create } from '@bufbuild/protobuf'
import { Server, type ServerDuplexStream } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type OpenRequest, type OpenResponse, OpenResponseSchema } from '../../gen/countersign/v1/cosigner_pb.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { pinnedServer } from '../../src/party/remote/channel-credentials.ts'
import { COSIGNER_RPCS } from '../../src/party/remote/cosigner-service.ts'
import { CosignerStream } from '../../src/party/remote/cosigner-stream.ts'
import { ResumingStream } from '../../src/party/remote/resuming-stream.ts'
import { pairedVaults } from './remote-scene.ts'

vi.setConfig({ testTimeout: 30_000 })

type Said = NonNullable<Parameters<typeof create<typeof OpenResponseSchema>>[1]>
type Script = (request: OpenRequest) => readonly (Said & { callId?: number })[]

let vaults: Awaited<ReturnType<typeof pairedVaults>>
let server: Server
let address: string
let script: Script
let streams = 0

beforeAll(async () => {
  vaults = await pairedVaults()
  server = new Server()
  const speak = (stream: ServerDuplexStream<OpenRequest, OpenResponse>): void => {
    streams += 1
    stream.on('error', () => undefined)
    stream.on('data', (request: OpenRequest) => {
      for (const said of script(request)) stream.write(create(OpenResponseSchema, { callId: request.callId, ...said }))
    })
    stream.on('end', () => stream.end())
  }
  server.addService({ open: COSIGNER_RPCS.open }, { open: speak })
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = pinnedServer(vaults.cosigner, [vaults.daemon.own])
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)))
  })
  address = `127.0.0.1:${port}`
})
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})
afterAll(async () => {
  server.forceShutdown()
  await vaults.close()
})

const identity = () => ({
  keyPem: vaults.daemon.keyPem,
  certificate: vaults.daemon.own.certificate,
  peerCertificate: vaults.cosigner.own.certificate,
})
const connect = (said: Script) => {
  script = said
  const heard: string[] = []
  const { promise: ended, resolve } = Promise.withResolvers<string>()
  const stream = new CosignerStream(address, identity(), {
    // Whoever asks waits.
    question: () => new Promise(() => undefined),
    alert: (what) => void heard.push(what),
    lost: () => void heard.push('lost'),
    rotate: () => void heard.push('rotate'),
    ended: (why) => resolve(why.message),
  })
  closing.push(() => stream.close())
  return { stream, heard, ended }
}

const head = { sequence: 1n, hash: new Uint8Array(32) }
const of = (length: number): Uint8Array => new Uint8Array(length)
const WALLET = { walletId: of(16) }

describe('an answer that does not fit', () => {
  const answers: readonly [string, (stream: CosignerStream) => Promise<unknown>, Said & { callId?: number }][] = [
    ['of another kind', (stream) => stream.call('status', undefined), { content: { case: 'done', value: {} } }],
    ['of no kind', (stream) => stream.call('status', undefined), {}],
    ['to nobody', (stream) => stream.call('status', undefined), { callId: 77, content: { case: 'done', value: {} } }],
    ['a frame in the place of a status', (stream) => stream.call('status', undefined), { content: { case: 'frame', value: {} } }],
    ['a status in the place of a frame', (stream) => stream.frame(of(64)), { content: { case: 'status', value: { head } } }],
    ['an id of another length', (stream) => stream.call('open', undefined), { content: { case: 'opened', value: { partyId: of(31), publicKey: of(32), head } } }],
    ['no head', (stream) => stream.call('open', undefined), { content: { case: 'opened', value: { partyId: of(32), publicKey: of(32) } } }],
    ['a head beyond every chain', (stream) => stream.call('rememberHead', { head, exact: true }), { content: { case: 'head', value: { sequence: 2n ** 64n - 1n, hash: of(32) } } }],
    ['links that there are not', (stream) => stream.call('status', undefined), { content: { case: 'status', value: { head, links: [{ shard: 16, state: 'ACTIVE' }] } } }],
    ['a state that there is not', (stream) => stream.call('status', undefined), { content: { case: 'status', value: { head, links: [{ shard: 0, state: 'GOOD' }] } } }],
    ['a token of another length', (stream) => stream.pair({ idC: of(32), shards: [0] }, of(0)), { content: { case: 'paired', value: { resumeToken: of(15) } } }],
    ['an epoch of half a wallet', (stream) => stream.shareEpochs(), { content: { case: 'shareEpochs', value: { refreshed: [{ walletId: of(8), epoch: 1 }] } } }],
    ['more wallet secrets than anybody has', (stream) => stream.call('ownerWord', WALLET), { content: { case: 'ownerWord', value: { partyId: of(32), identityKey: of(32), signature: of(64), secretIds: Array.from({ length: 17 }, () => of(32)) } } }],
    ['a loss of a link that there is not', (stream) => stream.call('status', undefined), { content: { case: 'lost', value: { shard: 99, epoch: 1 } } }],
  ]
  it.each(answers)('%s: the stream ends, and with it the call', async (_, ask, said) => {
    const { stream, ended, heard } = connect(() => [said])
    const refusal = await ask(stream).catch((error: unknown) => error)
    expect(isFailure(refusal) && refusal.reason).toBe('COSIGNER_UNAVAILABLE')
    await ended
    expect(heard).toEqual(['misspoke'])
    expect(stream.isEnded).toBe(true)
  })

  it('more questions at once than there can be', async () => {
    const question: Said = { content: { case: 'question', value: of(64) } }
    const { stream, ended, heard } = connect(() => Array.from({ length: 100 }, (_, i) => ({ ...question, callId: i + 1 })))
    void stream.call('status', undefined).catch(() => undefined)
    await ended
    expect(heard).toEqual(['misspoke'])
  })

  it('a refusal in words of its own says nothing to callers but that it was refused', async () => {
    const { stream } = connect(() => [{ content: { case: 'refused', value: { reason: 'send your keys to', facts: { why: 'x' } } } }])
    const refusal = (await stream.call('status', undefined).catch((error: unknown) => error)) as { reason: string; facts: unknown }
    expect(refusal).toMatchObject({ reason: 'COSIGNER_REFUSED', facts: { why: 'no reason that is known here' } })
  })
})

describe('a hold on a cosigner', () => {
  const hold = (said: Script) => {
    script = said
    const heard: string[] = []
    const party = new ResumingStream({ ...identity(), address, partyId: vaults.cosigner.own.partyId }, {
      question: async () => undefined,
      alert: (what) => void heard.push(what),
      lost: () => void heard.push('lost'),
      away: () => void heard.push('away'),
      back: () => void heard.push('back'),
      distance: () => undefined,
      ended: () => void heard.push('ended'),
    })
    closing.push(() => party.stop())
    return { party, heard }
  }
  const opened = (partyId: Uint8Array): Said => ({ content: { case: 'opened', value: { partyId, publicKey: of(32), head } } })
  const honest: Script = ({ content }) => {
    if (content.case === 'open') return [opened(vaults.cosigner.own.partyId)]
    if (content.case === 'pair') return [{ content: { case: 'paired', value: { resumeToken: of(16) } } }]
    return [{ content: { case: 'done', value: {} } }]
  }
  const ARGS = () => ({ idC: vaults.daemon.own.partyId, shards: [0] })

  it('is not taken by another party under the pinned certificate', async () => {
    const { party, heard } = hold(() => [opened(of(32))])
    await expect(party.open()).rejects.toMatchObject({ reason: 'COSIGNER_UNAVAILABLE' })
    await vi.waitFor(() => expect(heard).toContain('ended'), 20_000)
  })

  it('ends where the cosigner, asked to go on, begins to talk nonsense or has forgotten', async () => {
    const { party, heard } = hold(honest)
    await party.open()
    await party.pair(ARGS())
    script = (request) =>
      request.content.case === 'pair' ? [{ content: { case: 'refused', value: { reason: 'RESUME_UNKNOWN' } } }] : honest(request).map((said) => (request.content.case === 'open' ? said : { callId: 99, ...said }))
    await party.call('discard', of(16)).catch(() => undefined)
    await vi.waitFor(() => expect(heard).toContain('ended'), 20_000)
    expect(heard.slice(0, 2)).toEqual(['misspoke', 'away'])
  })

  it('moves no more often than streams can be opened, however often it is told to', async () => {
    const { party, heard } = hold((request) => {
      const rotate = Array.from({ length: 50 }, (_, i) => ({ callId: i + 1, content: { case: 'rotate', value: {} } as const }))
      return request.content.case === 'discard' ? [...rotate, ...honest(request)] : honest(request)
    })
    await party.open()
    await party.pair(ARGS())
    const before = streams
    await party.call('discard', of(16))
    await party.call('discard', of(16))
    expect(streams - before).toBeLessThanOrEqual(2)
    expect(heard.filter((what) => what === 'ended' || what === 'misspoke')).toEqual([])
  })
})
