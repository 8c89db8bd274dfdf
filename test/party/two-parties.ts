import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../../src/domain/clock.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import type { LinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import type { Entropy } from '../../src/engine/dkls23/operation-generator.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { Initiator } from '../../src/party/initiator.ts'
import { Link, type LinkPair, newLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore, type MemoryStore } from '../../src/party/memory-store.ts'
import { Responder } from '../../src/party/responder.ts'
import type { SessionsOfC, SessionsOfS } from '../../src/party/session-engine.ts'
import type { ReadPayload } from '../../src/party/sign-responder.ts'

export const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())

export const entropy: Entropy = {
  osRandom64: () => new Uint8Array(randomBytes(64)),
  nonce32: () => new Uint8Array(randomBytes(32)),
  clock: () => ({ wallNs: BigInt(Date.now()) * 1_000_000n, monotonicNs: process.hrtime.bigint() }),
}

export type TestClock = Clock & { advance: (ms: number) => void }
/** Stands still unless it is moved: what a step takes on a busy machine is nobody's delay. */
export const testClock = (): TestClock => {
  const [startMs, startNs] = [Date.now(), process.hrtime.bigint()]
  let offsetMs = 0
  return {
    nowMs: () => startMs + offsetMs,
    monotonicNs: () => startNs + BigInt(Math.round(offsetMs * 1_000)) * 1_000n,
    advance: (ms) => {
      offsetMs += ms
    },
  }
}

/** What lies between the two: every frame of C passes through, and every answer. */
export type Wire = {
  toS: (frame: Uint8Array) => Uint8Array | Promise<Uint8Array>
  toC: (frame: Uint8Array | undefined) => Uint8Array | undefined | Promise<Uint8Array | undefined>
  /** Answers in the place of S. */
  peer: ((frame: Uint8Array) => Promise<Uint8Array | undefined>) | undefined
  /** What S asks of its own accord. */
  question: (frame: Uint8Array) => Uint8Array
}

/** A link whose material is in this thread. */
export type InThreadLink = Link & { readonly material: LinkMaterial | undefined }

export type TwoParties = {
  readonly c: Initiator
  readonly s: Responder
  readonly linkC: InThreadLink
  readonly linkS: InThreadLink
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
  readonly readPayload?: ReadPayload
  /** The link's number, and the other links of each side. */
  readonly shard?: number
  readonly pairs?: { readonly c: LinkPair; readonly s: LinkPair }
  /** Where the heavy steps are computed; in this thread unless given. */
  readonly sessions?: { readonly c: SessionsOfC; readonly s: SessionsOfS }
}

/** Both parties in one process over memory stores, with a wire between them that a test can bend. */
export const twoParties = async (options: TwoPartiesOptions = {}): Promise<TwoParties> => {
  const idC = options.idC ?? sha256(Buffer.from('party C'))
  const idS = options.idS ?? sha256(Buffer.from('party S'))
  const clock = options.clock ?? testClock()
  const parties = makeLinkParties(idC, idS, options.shard ?? 0, 16)
  const storeC = options.storeC ?? createMemoryStore()
  const storeS = options.storeS ?? createMemoryStore()
  const alerts: string[] = []
  const wire: Wire = { toS: (frame) => frame, toC: (frame) => frame, peer: undefined, question: (frame) => frame }
  const now = BigInt(Math.trunc(clock.nowMs()))
  const recordC = (await storeC.loadLink(parties.linkId)) ?? newLinkRecord(parties, ROLE_C, now)
  const recordS = (await storeS.loadLink(parties.linkId)) ?? newLinkRecord(parties, ROLE_S, now)
  const alert = (side: string) => (what: string, detail: string) => alerts.push(`${side}:${what}:${detail}`)
  const wipersOf = (sessions: SessionsOfC | SessionsOfS | undefined) =>
    sessions === undefined ? {} : { wipeMaterial: sessions.wipeMaterial }
  const { sessions } = options
  const eventsC = { alert: alert('C'), wipeSessions: () => c.wipeSessions(), ...wipersOf(sessions?.c) }
  const eventsS = { alert: alert('S'), wipeSessions: () => s.wipeSessions(), ...wipersOf(sessions?.s) }
  const linkC = new Link(parties, recordC, storeC, clock, eventsC, options.pairs?.c) as InThreadLink
  const linkS = new Link(parties, recordS, storeS, clock, eventsS, options.pairs?.s) as InThreadLink
  const peer = {
    exchange: async (frame: Uint8Array) => {
      const sent = await wire.toS(frame)
      return wire.toC(await (wire.peer === undefined ? s.answer(sent) : wire.peer(sent)))
    },
    close: () => {},
  }
  const c: Initiator = new Initiator({
    link: linkC,
    store: storeC,
    peer,
    entropy: options.entropyC ?? entropy,
    clock,
    incarnationId: new Uint8Array(randomBytes(16)),
    alert: alert('C'),
    ...(options.sessions === undefined ? {} : { sessions: options.sessions.c }),
  })
  const s: Responder = new Responder({
    link: linkS,
    store: storeS,
    entropy: options.entropyS ?? entropy,
    clock,
    incarnationId: new Uint8Array(randomBytes(16)),
    readPayload: options.readPayload ?? ((payload) => ({ digest: sha256(payload), summary: '' })),
    readEdPayload: (payload) => ({ message: payload.slice(), summary: '' }),
    ask: (frame) => c.answerQuestion(wire.question(frame)),
    alert: alert('S'),
    ...(options.sessions === undefined ? {} : { sessions: options.sessions.s }),
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
  reqId: Uint8Array = new Uint8Array(randomBytes(16)),
) => ({ ...ready, reqId, digest: sha256(payload), path: [] as number[], payload })

/** A copy that can be used and wiped without the other. */
const cloneMaterial = (material: LinkMaterial): LinkMaterial => structuredClone(material)

let template: Promise<readonly [LinkMaterial, LinkMaterial]> | undefined
const makeTemplate = async (): Promise<readonly [LinkMaterial, LinkMaterial]> => {
  const { c, linkC, linkS } = await twoParties()
  await c.warm()
  if (linkC.material === undefined || linkS.material === undefined) throw new Error('no material')
  return [linkC.material, linkS.material]
}

/** Two parties whose link is set up, with wallets. The set-up is made once a file and copied: it takes a tenth of a second. */
export const warmParties = async (wallets = 2) => {
  template ??= makeTemplate()
  const [materialC, materialS] = await template
  const two = await twoParties()
  for (const [link, material] of [[two.linkC, materialC], [two.linkS, materialS]] as const) {
    await link.save(() => ({ lEpoch: material.lEpoch }))
    link.setMaterial(cloneMaterial(material))
  }
  const ids = (wallets === 0 ? [] : await two.newWallets(wallets)) as [Uint8Array, Uint8Array]
  return { two, ids }
}

/** Puts both links back to what they were: ACTIVE, no strikes, the same material. For the many cases of one table. */
export const keepHealing = (two: TwoParties): (() => Promise<void>) => {
  const sides = [two.linkC, two.linkS].map((link) => {
    if (link.material === undefined) throw new Error('no material to keep')
    return { link, material: cloneMaterial(link.material) }
  })
  return async () => {
    for (const { link, material } of sides) {
      await link.save(() => ({ state: 'BURNED', strikeAtMs: [0n, 0n, 0n], burns: 0, relinkGrant: 1 }))
      await link.commitEpoch(material.lEpoch, { relink: true, erase: false })
      await link.reopen()
      link.setMaterial(cloneMaterial(material))
    }
    two.wire.toS = (frame) => frame
    two.wire.toC = (frame) => frame
    two.wire.peer = undefined
    // Far enough for the next set-up: at most 120 an hour.
    two.clock.advance(31_000)
  }
}

/** Both links as they stand on disk. */
export const durable = async (two: TwoParties) => {
  const { linkId } = two.linkC.parties
  const [c, s] = [await two.storeC.loadLink(linkId), await two.storeS.loadLink(linkId)]
  if (c === undefined || s === undefined) throw new Error('no link record')
  const strikes = (record: typeof c): number => record.strikeAtMs.filter((at) => at !== 0n).length
  return { c: c.state, s: s.state, strikesC: strikes(c), strikesS: strikes(s), burnsC: c.burns, burnsS: s.burns }
}
