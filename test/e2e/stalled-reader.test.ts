/** A client that sends and does not read, over a bare HTTP/2 connection: it is soon not read from, and nothing grows. */
import { readFileSync } from 'node:fs'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type SignStreamResponse,
  SignStreamRequestSchema,
  SignStreamResponseSchema,
  type Wallet,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { headSequence, rowsOfKind } from './audit-rows.ts'
import { connect, newWallet, outcomeOf } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

let daemon: TestDaemon
let admin: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  daemon = await startDaemon()
  admin = connect(daemon, daemon.adminKey)
  wallet = await newWallet(admin, 'stalled')
  // What a daemon takes for its first signatures is not the stalled reader's.
  const ask = { wallet: wallet.walletId, content: { case: 'text', value: 'x'.repeat(8_000) } as const }
  for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 32 }, () => admin.wallets.signMessage(ask)))
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})

const frame = (body: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

const item = (itemId: string, text: string): Buffer => {
  const value = { wallet: wallet.walletId, content: { case: 'text', value: text } as const }
  return frame(toBinary(SignStreamRequestSchema, create(SignStreamRequestSchema, { itemId, request: { case: 'signMessage', value } })))
}

type BareStream = { readonly session: ClientHttp2Session; readonly stream: ClientHttp2Stream }

/** `windowBytes`: how much the daemon may send before something is read. */
const openBare = (windowBytes: number): BareStream => {
  const session = connectHttp2(`http://${daemon.endpoints.grpc}`, { settings: { initialWindowSize: windowBytes } })
  session.on('error', () => undefined)
  const stream = session.request({
    ':method': 'POST',
    ':path': '/countersign.v1.WalletService/SignStream',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${daemon.adminKey}`,
  })
  stream.on('error', () => undefined)
  return { session, stream }
}

const residentMb = (): number => {
  const status = readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1_000
}

/** Sends items until the connection takes no more for a while. Answers how many it took. */
const sendUntilHeldBack = async ({ stream }: BareStream, texts: () => string, most: number): Promise<number> => {
  let sent = 0
  while (sent < most) {
    const taken = stream.write(item(`i${sent++}`, texts()))
    if (taken) continue
    const drained = new Promise<boolean>((resolve) => stream.once('drain', () => resolve(true)))
    if (!(await Promise.race([drained, sleep(1_500, false)]))) return sent
  }
  return sent
}

const readAll = async ({ stream }: BareStream, count: number): Promise<readonly SignStreamResponse[]> => {
  const answers: SignStreamResponse[] = []
  let rest = Buffer.alloc(0)
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1)
      answers.push(fromBinary(SignStreamResponseSchema, new Uint8Array(rest.subarray(5, end))))
      rest = rest.subarray(end)
    }
    if (answers.length >= count) break
  }
  return answers
}

/** grpc-js and the kernel hold some of what is sent; signatures are made for items in work and answers not yet taken. */
const SIGNED_MAX = 256 + 512

describe('a reader that stalls', () => {
  it('is held back: what is signed for it stays bounded, and so does the daemon’s memory', async () => {
    const after = await headSequence(admin)
    const before = residentMb()
    const bare = openBare(1_024)
    const text = 'x'.repeat(8_000)
    const sent = await sendUntilHeldBack(bare, () => text, 60_000)
    expect(sent).toBeLessThan(5_000)
    let intents = -1
    for (let now = 0; now !== intents; ) {
      intents = now
      await sleep(1_000)
      now = (await rowsOfKind(admin, 'sign.intent', after)).length
    }
    expect(intents).toBeGreaterThan(0)
    expect(intents).toBeLessThanOrEqual(SIGNED_MAX)
    // Half of what it would hold, had it taken all. Crypto workers may have come up meanwhile.
    expect(residentMb() - before).toBeLessThan(240)
    bare.session.destroy()
  })

  it('harms nobody else, and gets everything once it reads', async () => {
    const bare = openBare(1_024)
    const sent = await sendUntilHeldBack(bare, () => 'held', 400)
    const ask = { wallet: wallet.walletId, content: { case: 'text', value: 'beside' } as const }
    for (let i = 0; i < 20; i++) expect((await admin.wallets.signMessage(ask)).signature?.hex).toMatch(/^0x/)
    bare.stream.end()
    const answers = await readAll(bare, sent)
    expect(answers.map(({ result }) => result.case)).toEqual(Array.from({ length: sent }, () => 'signMessage'))
    expect(new Set(answers.map(({ itemId }) => itemId)).size).toBe(sent)
    bare.session.destroy()
  })

  it('twenty of them cost no more than a bounded share each', async () => {
    const before = residentMb()
    const all = Array.from({ length: 20 }, () => openBare(1_024))
    await Promise.all(all.map((bare) => sendUntilHeldBack(bare, () => 'y'.repeat(2_000), 600)))
    await sleep(1_000)
    expect(residentMb() - before).toBeLessThan(200)
    for (const { session } of all) session.destroy()
    const ask = { wallet: wallet.walletId, content: { case: 'text', value: 'after' } as const }
    // On a busy machine what was held for them takes longer to be given up than a call waits.
    await expect.poll(() => outcomeOf(admin.wallets.signMessage(ask)), { timeout: 50_000, interval: 200 }).toBe('signed')
  })
})
