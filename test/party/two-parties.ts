import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../../src/domain/clock.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import type { Entropy } from '../../src/engine/dkls23/operation-generator.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { Initiator } from '../../src/party/initiator.ts'
import { Link, newLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore, type MemoryStore } from '../../src/party/memory-store.ts'
import { Responder } from '../../src/party/responder.ts'

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

export const entropy: Entropy = {
  osRandom64: () => randomBytes(64),
  nonce32: () => randomBytes(32),
  clock: () => ({ wallNs: BigInt(Date.now()) * 1_000_000n, monotonicNs: process.hrtime.bigint() }),
}

export type TestClock = Clock & { advance: (ms: number) => void }
export const testClock = (): TestClock => {
  let offsetMs = 0
  return {
    nowMs: () => Date.now() + offsetMs,
    monotonicNs: () => process.hrtime.bigint() + BigInt(offsetMs) * 1_000_000n,
    advance: (ms) => {
      offsetMs += ms
    },
  }
}

/** What lies between the two: every frame of C passes through, and every answer. */
export type Wire = {
  toS: (frame: Uint8Array) => Uint8Array | Promise<Uint8Array>
  toC: (frame: Uint8Array | undefined) => Uint8Array | undefined | Promise<Uint8Array | undefined>
}

export type TwoParties = {
  readonly c: Initiator
  readonly s: Responder
  readonly linkC: Link
  readonly linkS: Link
  readonly storeC: MemoryStore
  readonly storeS: MemoryStore
  readonly clock: TestClock
  readonly wire: Wire
  readonly alerts: string[]
  /** New process starts over what is durable. */
  readonly restart: () => Promise<TwoParties>
  readonly newWallets: (count: number) => Promise<Uint8Array[]>
}

export type TwoPartiesOptions = {
  readonly idC?: Uint8Array
  readonly idS?: Uint8Array
  readonly storeC?: MemoryStore
  readonly storeS?: MemoryStore
  readonly clock?: TestClock
  readonly entropyC?: Entropy
  readonly entropyS?: Entropy
}

/** Both parties in one process over memory stores, with a wire between them that a test can bend. */
export const twoParties = async (options: TwoPartiesOptions = {}): Promise<TwoParties> => {
  const idC = options.idC ?? sha256(Buffer.from('party C'))
  const idS = options.idS ?? sha256(Buffer.from('party S'))
  const clock = options.clock ?? testClock()
  const parties = makeLinkParties(idC, idS, 0)
  const storeC = options.storeC ?? createMemoryStore()
  const storeS = options.storeS ?? createMemoryStore()
  const alerts: string[] = []
  const wire: Wire = { toS: (frame) => frame, toC: (frame) => frame }
  const now = BigInt(Math.trunc(clock.nowMs()))
  const recordC = (await storeC.loadLink(parties.linkId)) ?? newLinkRecord(parties, ROLE_C, now)
  const recordS = (await storeS.loadLink(parties.linkId)) ?? newLinkRecord(parties, ROLE_S, now)
  const alert = (side: string) => (what: string, detail: string) => alerts.push(`${side}:${what}:${detail}`)
  const linkC: Link = new Link(parties, recordC, storeC, clock, { alert: alert('C'), wipeSessions: () => c.wipeSessions() })
  const linkS: Link = new Link(parties, recordS, storeS, clock, { alert: alert('S'), wipeSessions: () => s.wipeSessions() })
  const peer = {
    exchange: async (frame: Uint8Array) => wire.toC(await s.answer(await wire.toS(frame))),
    close: () => {},
  }
  const c: Initiator = new Initiator({
    link: linkC,
    store: storeC,
    peer,
    entropy: options.entropyC ?? entropy,
    clock,
    incarnationId: randomBytes(16),
    alert: alert('C'),
  })
  const s: Responder = new Responder({
    link: linkS,
    store: storeS,
    entropy: options.entropyS ?? entropy,
    clock,
    incarnationId: randomBytes(16),
    readPayload: (payload) => ({ digest: sha256(payload), summary: '' }),
    readEdPayload: (payload) => ({ message: payload.slice(), summary: '' }),
    ask: (frame) => c.answerQuestion(frame),
    alert: alert('S'),
  })
  await storeC.saveLinks([recordC])
  await storeS.saveLinks([recordS])
  await c.connect()
  return {
    c,
    s,
    linkC,
    linkS,
    storeC,
    storeS,
    clock,
    wire,
    alerts,
    restart: () => {
      linkC.wipeMaterial()
      linkS.wipeMaterial()
      clock.advance(6_000)
      return twoParties({ ...options, idC, idS, storeC, storeS, clock })
    },
    newWallets: async (count) => {
      const { sid, wallets } = await c.generate(count)
      for (const { walletId, wEpoch } of wallets) await storeC.activate(walletId, wEpoch)
      await c.acknowledge(sid)
      return wallets.map(({ walletId }) => walletId)
    },
  }
}

/** A sign job over `payload` with the given presignature. */
export const jobOf = (
  ready: { readonly walletId: Uint8Array; readonly presigId: Uint8Array },
  payload: Uint8Array,
  reqId: Uint8Array = randomBytes(16),
) => ({ ...ready, reqId, digest: sha256(payload), path: [], payload })
