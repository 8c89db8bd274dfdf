/** What a cosigner keeps in memory for a daemon that does not read. */
import { EventEmitter } from 'node:events'
import { randomBytes } from 'node:crypto'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { afterEach, expect, it, vi } from 'vitest'
import { OpenRequestSchema, type OpenResponse } from '../../gen/countersign/v1/cosigner_pb.ts'
import type { CosignerHost } from '../../src/party/remote/cosigner-host.ts'
import { DaemonSession, type DaemonStream } from '../../src/party/remote/daemon-session.ts'
import { ParkedDaemon } from '../../src/party/remote/parked-daemon.ts'

/** It reads what is sent to it when it is told to. */
class FakeStream extends EventEmitter {
  readonly sent: OpenResponse[] = []
  isPaused = false
  readonly #taken: (() => void)[] = []
  write(message: OpenResponse, taken: () => void = () => undefined): boolean {
    this.sent.push(message)
    this.#taken.push(taken)
    return true
  }
  /** Answers whether there was something. */
  read(): boolean {
    const taken = this.#taken.shift()
    taken?.()
    return taken !== undefined
  }
  pause = (): void => void (this.isPaused = true)
  resume = (): void => void (this.isPaused = false)
  end = (): void => undefined
}

const head = { sequence: 1n, hash: new Uint8Array(32) }
const LONG = new Uint8Array(200_000)
const hosted = {
  calls: { call: async (name: string) => (name === 'open' ? { ownId: new Uint8Array(32), publicKey: new Uint8Array(32), head } : {}) },
  frames: { call: async () => LONG },
}
const host = { ready: async () => hosted, renew: async () => undefined, nowMs: 0 } as unknown as CosignerHost

let session: DaemonSession | undefined
afterEach(() => session?.close(status.OK, ''))

it('bounds the answers in parts that wait for one that asks and does not read, and goes on once it does', async () => {
  const stream = new FakeStream()
  const daemonId = new Uint8Array(randomBytes(32))
  const parked = new ParkedDaemon(host)
  session = new DaemonSession(stream as unknown as DaemonStream, { host, parked, daemonId, maxAgeMs: 60_000, onMisspoke: () => undefined })
  const say = (callId: number, content: MessageInitShape<typeof OpenRequestSchema>['content']) =>
    stream.emit('data', create(OpenRequestSchema, { callId, content: content as never }))
  say(1, { case: 'open', value: {} })
  await vi.waitFor(() => expect(stream.sent).toHaveLength(1), 20_000)
  say(2, { case: 'pair', value: { partyId: daemonId, shards: [0], takesParts: true } })
  await vi.waitFor(() => expect(stream.sent).toHaveLength(2), 20_000)
  let asked = 0
  for (; !stream.isPaused && asked < 200; asked++) {
    say(3 + asked, { case: 'frame', value: new Uint8Array(64) })
    await new Promise(setImmediate)
  }
  expect(stream.isPaused).toBe(true)
  expect(asked).toBeLessThan(100)
  while (stream.isPaused && stream.read()) await new Promise(setImmediate)
  expect(stream.isPaused).toBe(false)
})
