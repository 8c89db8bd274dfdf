/** The streams of a delegate to one daemon: what one access does there costs the others nothing. */
import { randomBytes, sign } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { encodeFrame, encodeHello, FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { CosignStream } from '../../src/party/delegate/cosign-stream.ts'
import { CosignStreams, type CosignStreamsDeps } from '../../src/party/delegate/cosign-streams.ts'
import { newIdentity } from '../delegation/granting-scene.ts'
import { type Liar, openLiar, say, type Stream } from '../delegation/liar-scene.ts'

const delegate = newIdentity()
const identity = { publicKey: delegate.publicKey, sign: (said: Uint8Array) => new Uint8Array(sign(null, said, delegate.privateKey)) }
const apiKey = `cdk_${'A'.repeat(43)}`
const [own, dead] = [new Uint8Array(randomBytes(16)), new Uint8Array(randomBytes(16))]
const uuidOf = (id: Uint8Array): string => Buffer.from(id).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

let daemon: Liar
beforeAll(async () => {
  daemon = await openLiar(delegate.idC)
})
beforeEach(() => {
  daemon.speaking = undefined
  daemon.answering = async (frame) => frame
})
afterAll(() => daemon.close())

const targetOf = (accessId: Uint8Array) => ({ url: daemon.url, authorities: undefined, partyId: daemon.identity.idC, accessId, apiKey })
const open = (accesses: readonly Uint8Array[]): CosignStreams =>
  new CosignStreams({ identity, targetOf, accesses: () => accesses, question: async () => undefined } satisfies CosignStreamsDeps)
/** Names no access. */
const hello = (): Uint8Array =>
  encodeFrame({ type: FRAME_TYPES.HELLO, role: ROLE_C, linkId: daemon.parties.linkId, lEpoch: 0, sid: NO_SID, body: encodeHello(new Uint8Array(16)) })

describe('a frame that names no access', () => {
  it('goes over one that is joined, not over one that somebody tries to join', async () => {
    daemon.speaking = (_, { content }) => content.case === 'hello' && content.value.delegatedAccessId === uuidOf(dead)
    const streams = open([dead, own])
    await streams.join(own)
    // Never answered.
    const trying = streams.join(dead).catch(() => undefined)
    expect(await streams.frame(hello())).toBeDefined()
    streams.close()
    await trying
  })

  it('goes over another than one that was refused', async () => {
    daemon.speaking = (stream, { content }) => {
      if (content.case !== 'hello' || content.value.delegatedAccessId !== uuidOf(dead)) return false
      daemon.refuse(stream, 'DELEGATED_ACCESS_REVOKED')
      return true
    }
    const streams = open([dead, own])
    await expect(streams.join(dead)).rejects.toThrow()
    expect(await streams.frame(hello())).toBeDefined()
    expect(streams.losses).toBe(0)
    streams.close()
  })
})

describe('a daemon that asks without end and reads nothing', () => {
  it('is left: what it is to be told is not kept for it', async () => {
    daemon.speaking = (stream, { content }) => {
      if (content.case !== 'frame') return false
      flood(stream)
      return true
    }
    const answered = vi.fn(async () => new Uint8Array(4_096))
    const ended = Promise.withResolvers<string>()
    const stream = new CosignStream(targetOf(own), identity, { question: answered, ended: ended.resolve })
    await stream.joined
    await expect(stream.frame(new Uint8Array(80))).rejects.toThrow('it asks too much')
    expect(await ended.promise).toBe('it asks too much')
    expect(answered.mock.calls.length).toBeLessThan(4_000)
  })
})

/** One question after the other, so that few are open at a time. */
const flood = (stream: Stream): void => {
  stream.pause()
  let asked = 0
  const more = (): void => {
    if (stream.destroyed || asked >= 5_000) return
    say(stream, ++asked, { case: 'question', value: new Uint8Array(80) })
    setImmediate(more)
  }
  more()
}
