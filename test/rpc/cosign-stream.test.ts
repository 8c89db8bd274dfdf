/** Cosign on the wire: who gets in, the order of things, how much is read, and how a stream ends. */
import { create } from '@bufbuild/protobuf'
import { randomBytes, sign } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CosignRequestSchema, type CosignRequest, type CosignResponse, DelegationService } from '../../gen/countersign/v1/delegation_pb.ts'
import { createDelegateDirectory } from '../../src/commands/wire-delegates.ts'
import { openCosign } from '../../src/delegation/cosign.ts'
import { cosignStatement } from '../../src/engine/sealing/cosign-proof.ts'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { answerBytesOf } from '../../src/party/delegate-gate.ts'
import { cosignStream } from '../../src/rpc/cosign-stream.ts'
import type { CosignPeer, CosignSession } from '../../src/rpc/cosign-use-cases.ts'
import { OpenStreamCall } from '../../src/rpc/stream-call.ts'
import { type Carrier, closeGranting, grant, type Granted, type Granting, jobFor, messageOf, openDelegate, openGranting } from '../delegation/granting-scene.ts'
import { reasonOf } from './support/refusal.ts'
import { openTestEdge, PROJECT, type TestEdge } from './support/test-edge.ts'

type Content = CosignRequest['content']

/** What a client says, as it says it. */
class Said implements AsyncIterable<CosignRequest> {
  readonly #queue: CosignRequest[] = []
  #wake = Promise.withResolvers<void>()
  #isOver = false
  taken = 0

  say(content: Content | { case: undefined }, callId: number): void {
    this.#queue.push(create(CosignRequestSchema, { callId, content: content as Content }))
    this.#wake.resolve()
  }

  end(): void {
    this.#isOver = true
    this.#wake.resolve()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CosignRequest> {
    for (;;) {
      const next = this.#queue.shift()
      if (next !== undefined) {
        this.taken += 1
        yield next
      } else if (this.#isOver) return
      else {
        this.#wake = Promise.withResolvers<void>()
        await this.#wake.promise
      }
    }
  }
}

describe('over gRPC', () => {
  let own: Granting['own']
  let stage: Granting['stage']
  let edge: TestEdge
  let granted: Granted
  beforeAll(async () => {
    ({ own, stage } = await openGranting())
    granted = await grant(own.vault)
    edge = await openTestEdge({
      keys: [],
      delegates: createDelegateDirectory(own.vault),
      delegation: { openCosign: (caller, peer) => openCosign(stage.cosign, caller, peer) },
    })
  })
  afterAll(async () => {
    await edge[Symbol.asyncDispose]()
    await closeGranting({ own, stage })
  })

  const open = (said: Said, key = granted.apiKey) => edge.client(DelegationService, key).cosign(said)

  /** A stream that says this and nothing more: how it ends. */
  const endOf = async (contents: readonly (Content | { case: undefined })[], key?: string, callId = 1): Promise<string> => {
    const said = new Said()
    for (const [at, content] of contents.entries()) said.say(content, callId === 0 ? 0 : callId + at)
    const reading = (async () => {
      for await (const _ of open(said, key)) continue
    })()
    try {
      return (await reasonOf(reading)) ?? 'it was not refused'
    } finally {
      said.end()
    }
  }

  const connect = async (question: (frame: Uint8Array) => Promise<Uint8Array | undefined>) => {
    const said = new Said()
    const waiting = new Map<number, { resolve: (response: CosignResponse) => void; reject: (error: unknown) => void }>()
    let next = 1
    const ended = (async () => {
      for await (const response of open(said)) {
        if (response.content.case === 'question') {
          const frame = await question(new Uint8Array(response.content.value))
          said.say({ case: 'questionAnswer', value: { frame } as never }, response.callId)
        } else waiting.get(response.callId)?.resolve(response)
      }
    })()
    ended.catch((error: unknown) => {
      for (const { reject } of waiting.values()) reject(error)
    })
    const ask = (content: Content): Promise<CosignResponse['content']> =>
      new Promise((resolve, reject) => {
        waiting.set(next, { resolve: ({ content: answer }) => resolve(answer), reject })
        said.say(content, next++)
      })
    const { access, identity } = granted
    const nonce = new Uint8Array(randomBytes(32))
    const hello = { delegatedAccessId: access.accessId, publicKey: identity.publicKey, nonce }
    const challenge = await ask({ case: 'hello', value: hello as never })
    if (challenge.case !== 'challenge') throw new Error('no challenge')
    const parties = { idC: identity.idC, idS: stage.delegates.partyId, accessId: granted.own.walletId, nonceC: nonce, nonceS: challenge.value.nonce }
    const joined = await ask({ case: 'proof', value: new Uint8Array(sign(null, cosignStatement('delegate', parties), identity.privateKey)) })
    const carrier: Carrier = {
      frame: async (frame) => {
        const answer = await ask({ case: 'frame', value: frame })
        if (answer.case !== 'frame') throw new Error('no frame')
        const { frame: bytes, receipt } = answer.value
        return { frame: bytes === undefined ? undefined : new Uint8Array(bytes), receipt: receipt as never }
      },
      close: () => said.end(),
    }
    return { carrier, joined, ask, ended }
  }

  it('a delegate joins, refreshes and signs; its stream ends when its access does', async () => {
    let connected: Awaited<ReturnType<typeof connect>> | undefined
    const delegate = await openDelegate(stage.delegates.partyId, granted, async (question) => {
      connected = await connect(question)
      return connected.carrier
    })
    expect(connected?.joined).toMatchObject({ case: 'joined', value: { projectId: PROJECT, walletId: granted.wallet.walletId } })
    expect(await connected?.ask({ case: 'ping', value: {} as never })).toMatchObject({ case: 'pong' })
    await delegate.c.refreshes.refresh(delegate.walletId)
    const [ready] = await delegate.c.presign([delegate.walletId])
    await delegate.c.sign(jobFor(granted, ready!, messageOf('over the wire')))
    expect(delegate.answers.at(-1)?.receipt).toMatchObject({ hash: expect.any(Uint8Array) })
    await own.vault.commit((tx) => stage.accessEnds.end(tx, granted.access.accessId, { actor: { kind: 'operator', id: '' }, why: 'project' }, Date.now()))
    await stage.accessEnds.settle()
    expect(await reasonOf(connected!.ended)).toBe('DELEGATED_ACCESS_REVOKED')
    expect(await endOf([{ case: 'ping', value: {} as never }])).toBe('DELEGATED_ACCESS_REVOKED')
    granted = await grant(own.vault)
  })

  it('what is out of its turn ends the stream, and so does what is no request', async () => {
    const hello: Content = {
      case: 'hello',
      value: { delegatedAccessId: granted.access.accessId, publicKey: granted.identity.publicKey, nonce: new Uint8Array(32) } as never,
    }
    const proof: Content = { case: 'proof', value: new Uint8Array(64) }
    const frame: Content = { case: 'frame', value: new Uint8Array(64) }
    expect(await endOf([frame])).toBe('INVALID_REQUEST')
    expect(await endOf([proof])).toBe('INVALID_REQUEST')
    expect(await endOf([{ case: 'ping', value: {} as never }])).toBe('INVALID_REQUEST')
    expect(await endOf([hello, { case: 'questionAnswer', value: {} as never }])).toBe('INVALID_REQUEST')
    expect(await endOf([{ case: undefined }])).toBe('INVALID_REQUEST')
    expect(await endOf([hello, hello])).toBe('INVALID_REQUEST')
    expect(await endOf([hello, frame])).toBe('INVALID_REQUEST')
    expect(await endOf([hello], undefined, 0)).toBe('INVALID_REQUEST')
    expect(await endOf([hello, proof])).toBe('DELEGATE_NOT_PROVEN')
    expect(await endOf([hello], `cdk_${'A'.repeat(43)}`)).toBe('WALLET_API_KEY_INVALID')
  })
})

describe('the window', () => {
  const opened: OpenStreamCall[] = []
  afterEach(() => {
    for (const stream of opened.splice(0)) stream[Symbol.dispose]()
  })
  const relay = (session: Partial<CosignSession>, said: Said, seen: { peer?: CosignPeer } = {}, proveWithinMs?: number) => {
    const none = new AbortController().signal
    const accessId = '00000000-0000-4000-8000-000000000001' as never
    const stream = new OpenStreamCall({
      caller: { kind: 'delegate', principal: 'delegate:1', projectId: PROJECT, accessId },
      run: () => Promise.reject(new Error('not called')),
      clientSignal: none, stopSignal: none, abandonSignal: none,
      assertGood: () => {}, maxAgeMs: 10_000, idleMs: 10_000, drainMs: 10_000,
    })
    opened.push(stream)
    const whole: CosignSession = {
      hello: () => ({ publicKey: new Uint8Array(32), nonce: new Uint8Array(32), signature: new Uint8Array(64) }),
      prove: async () => ({ projectId: 'p', walletId: 'w', expireTimeMs: 1 }),
      answerBytes: () => 0,
      frame: async () => () => ({ frame: undefined }),
      close: () => {},
      ...session,
    }
    const openSession = (_: unknown, peer: CosignPeer): CosignSession => {
      seen.peer = peer
      return whole
    }
    said.say({ case: 'hello', value: { delegatedAccessId: 'x', publicKey: new Uint8Array(32), nonce: new Uint8Array(32) } as never }, 1)
    if (proveWithinMs === undefined) said.say({ case: 'proof', value: new Uint8Array(64) }, 2)
    return cosignStream(openSession, proveWithinMs)(said, stream)
  }

  it('reads no more than 64 requests that are at work or wait to be taken', async () => {
    const said = new Said()
    let begun = 0
    const answers = relay({ frame: () => new Promise(() => (begun += 1)) }, said)
    for (let n = 0; n < 200; n++) said.say({ case: 'frame', value: new Uint8Array(64) }, 3 + n)
    await answers.next()
    await answers.next()
    // Asking for the third says that the second was taken.
    answers.next().catch(() => undefined)
    await sleep(20)
    expect([begun, said.taken]).toEqual([64, 66])
    said.end()
  })

  it('reads no more than four MiB of them', async () => {
    const said = new Said()
    let begun = 0
    const answers = relay({ frame: () => new Promise(() => (begun += 1)) }, said)
    for (let n = 0; n < 20; n++) said.say({ case: 'frame', value: new Uint8Array(1_048_576) }, 3 + n)
    await answers.next()
    await answers.next()
    answers.next().catch(() => undefined)
    await sleep(20)
    expect(begun).toBe(4)
    said.end()
  })

  it('reads on only as far as the answers that its delegate has not taken may fill', async () => {
    const said = new Said()
    let begun = 0
    const frame = async () => {
      begun += 1
      return () => ({ frame: undefined })
    }
    const answers = relay({ frame, answerBytes: answerBytesOf }, said)
    const p1 = new Uint8Array(64)
    p1[5] = FRAME_TYPES.P1
    for (let n = 0; n < 64; n++) said.say({ case: 'frame', value: p1 }, 3 + n)
    await answers.next()
    await answers.next()
    await answers.next()
    await sleep(20)
    expect(begun).toBe(10)
    // Each that is taken lets another one in.
    await answers.next()
    await answers.next()
    await sleep(20)
    expect(begun).toBe(12)
    said.end()
  })

  it('is not held open by somebody who does not prove to be the delegate', async () => {
    const said = new Said()
    const closed = Promise.withResolvers<void>()
    const answers = relay({ close: closed.resolve }, said, {}, 20)
    await answers.next()
    await expect(answers.next()).rejects.toMatchObject({ reason: 'DELEGATE_NOT_PROVEN' })
    await closed.promise
    said.end()
  })

  it('asks the delegate between its answers, and does not wait for ever', async () => {
    const said = new Said()
    const seen: { peer?: CosignPeer } = {}
    const answers = relay({}, said, seen)
    await answers.next()
    await answers.next()
    const asked = seen.peer!.question(new Uint8Array([7]))
    const { value } = await answers.next()
    expect(value).toMatchObject({ content: { case: 'question', value: new Uint8Array([7]) } })
    said.say({ case: 'questionAnswer', value: { frame: new Uint8Array([8]) } as never }, (value as CosignResponse).callId)
    answers.next().catch(() => undefined)
    expect(await asked).toEqual(new Uint8Array([8]))
    const left = seen.peer!.question(new Uint8Array([9]))
    left.catch(() => undefined)
    said.end()
    opened[0]![Symbol.dispose]()
    await expect(Promise.race([left, sleep(11_000)])).rejects.toThrow('does not answer')
  })
})
