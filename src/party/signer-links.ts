/** Party C's side of every link to its cosigner: a wallet is worked with over the link that its share belongs to. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../domain/clock.ts'
import { makeLinkParties } from '../engine/dkls23/contexts.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { FRAME_TYPES, type FrameType } from '../engine/dkls23/frame.ts'
import { ROLE_C } from '../engine/dkls23/suite.ts'
import type { LostMaterial } from './cosigner-links.ts'
import type { Counterparty } from './counterparty.ts'
import { CryptoThread, startInTurn } from './crypto-thread.ts'
import { linkIdIn } from './frame-exchange.ts'
import { Initiator, type InitiatorStore } from './initiator.ts'
import { Link, LinkPair, openLinkRecord } from './link.ts'
import { hexOf } from './presignature-map.ts'
import { MAX_SHARDS } from './shards.ts'
import type { SignerStatus } from './signer.ts'
import { workerSessionsOfC } from './worker-sessions.ts'

export type SignerShards = {
  readonly idC: Uint8Array
  readonly idS: Uint8Array
  readonly shards: readonly number[]
  /** Of those, the ones that take new wallets: below this number. */
  readonly configured: number
}
type Deps = {
  readonly store: InitiatorStore
  readonly peer: Counterparty
  readonly entropy: Entropy
  readonly clock: Clock
  readonly alert: (what: string, detail: string) => void
  /** Every presignature of a shard is gone on this side. */
  readonly wiped: (shard: number) => void
  /** A crypto worker ended. Resolves when the cosigner has given up its side of what was lost. */
  readonly lost: (args: LostMaterial) => Promise<void>
}
export type SignerLink = { readonly shard: number; readonly link: Link; readonly initiator: Initiator }
type Opened = SignerLink & { readonly crypto: CryptoThread }

const MAX_GENERATED = 1_024
/** After the cosigner's, so that one worker at a time is loaded. */
const WORKERS_AFTER_MS = 6_000
const RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000

export class SignerLinks {
  readonly all: readonly SignerLink[]
  readonly #opened: readonly Opened[]
  readonly #byId: ReadonlyMap<string, Opened>
  readonly #deps: Deps
  readonly #configured: number
  /** Key generations and imports that are not acknowledged yet. */
  readonly #generated = new Map<string, { readonly initiator: Initiator; readonly ack: FrameType }>()
  /** Anywhere at first, so that a process which makes one wallet does not always make it on the first. */
  #turn = Math.floor(Math.random() * MAX_SHARDS)

  private constructor(deps: Deps, opened: readonly Opened[], configured: number) {
    this.#deps = deps
    this.all = opened
    this.#opened = opened
    this.#byId = new Map(opened.map((one) => [hexOf(one.link.parties.linkId), one]))
    this.#configured = configured
  }

  /** Reads or makes the links' records. */
  static async open(deps: Deps, where: SignerShards): Promise<SignerLinks> {
    const pair = new LinkPair()
    const incarnationId = new Uint8Array(randomBytes(16))
    const opened: Opened[] = []
    for (const shard of where.shards) opened.push(await openLink(deps, where, { shard, pair, incarnationId }))
    // Material for the links that nobody has asked for yet is made there, where it holds up nothing.
    startInTurn(opened, WORKERS_AFTER_MS, (one) => setUpInTime(deps, one))
    return new SignerLinks(deps, opened, where.configured)
  }

  status(): readonly SignerStatus[] {
    return this.all.map(({ shard, link, initiator }) => ({
      shard,
      state: link.burned ? 'BURNED' : link.record.state,
      lEpoch: link.record.lEpoch,
      ready: link.material !== undefined,
      renewedAtMs: Number(link.record.renewedAtMs),
      presignatures: initiator.presignatureCount + initiator.ed.presignatureCount,
    }))
  }

  of(shard: number): Initiator {
    const found = this.all.find((one) => one.shard === shard)
    if (found === undefined) throw benign('session', 'no such shard')
    return found.initiator
  }

  /** The one that holds the presignature. Where none does, any of them refuses it. */
  holderOf(presigId: Uint8Array): Initiator {
    const found = this.all.find(({ initiator }) => initiator.has(presigId))
    return (found ?? this.#first()).initiator
  }

  /** What S asks of its own accord goes to the link that it asks over. */
  answerQuestion(frame: Uint8Array): Promise<Uint8Array | undefined> {
    return (this.#byId.get(linkIdIn(frame)) ?? this.#first()).initiator.answerQuestion(frame)
  }

  /** The link of the next new wallet: those that are set up take turns. Before that it is the first that may be. */
  next(): SignerLink {
    const taking = this.all.filter(({ shard }) => shard < this.#configured)
    const open = taking.filter(({ link }) => !link.burned && link.record.state === 'ACTIVE')
    const ready = open.filter(({ link }) => link.material !== undefined)
    this.#turn += 1
    return ready[this.#turn % ready.length] ?? open[0] ?? this.#first()
  }

  /** The key generation or import `sid` was made over this link; its acknowledgement goes there too. */
  noteGenerated(sid: Uint8Array, initiator: Initiator, ack: FrameType = FRAME_TYPES.W5): void {
    const [oldest] = this.#generated.size >= MAX_GENERATED ? this.#generated.keys() : []
    if (oldest !== undefined) this.#generated.delete(oldest)
    this.#generated.set(hexOf(sid), { initiator, ack })
  }

  async acknowledge(sid: Uint8Array): Promise<void> {
    const generated = this.#generated.get(hexOf(sid))
    this.#generated.delete(hexOf(sid))
    await generated?.initiator.acknowledge(sid, generated.ack)
  }

  /** Answers whether the other side is another process start than before. */
  async connect(): Promise<boolean> {
    let isOther = false
    for (const { initiator } of this.all) isOther = (await initiator.connect()) || isOther
    return isOther
  }

  /**
   * At the start: material for the first link, and for every one that an operator has let go on after a burn. The others
   * are set up with the first of their sessions, or once their workers are up.
   */
  async warm(): Promise<void> {
    const due = this.all.filter(({ link }, at) => at === 0 || (link.burned && link.record.relinkGrant > 0))
    const failed: unknown[] = []
    for (const { initiator } of due) await initiator.warm().catch((error: unknown) => failed.push(error))
    if (failed.length > 0) throw failed[0]
  }

  /** After a burn, over every link that it stopped. */
  async relink(): Promise<void> {
    for (const { initiator, link } of this.all) if (link.burned) await initiator.relink()
  }

  /** Over those of them that an operator lets go on. */
  async relinkGranted(): Promise<void> {
    for (const { initiator } of this.all) await initiator.relinkGranted()
  }

  discard(presigId: Uint8Array): void {
    for (const { initiator } of this.all) initiator.discard(presigId)
  }

  wipeWallet(walletId: Uint8Array): void {
    for (const { initiator } of this.all) initiator.wipeWallet(walletId)
  }

  /** The cosigner's side of a shard has lost its material: this side's is of no use, and new one is made. */
  lose({ shard, lEpoch }: LostMaterial): void {
    const found = this.all.find((one) => one.shard === shard)
    if (found === undefined) return
    found.initiator.loseUpTo(lEpoch)
    void setUpInTime(this.#deps, found)
  }

  /** What a check has found is acted on first; then every secret is overwritten. */
  async close(): Promise<void> {
    await Promise.all(this.all.map(({ link }) => link.settled()))
    for (const { initiator, link } of this.all) {
      initiator.wipeSessions()
      link.wipeMaterial()
    }
    await Promise.all(this.#opened.map(({ crypto }) => crypto.close()))
  }

  #first(): Opened {
    const [first] = this.#opened
    if (first === undefined) throw new Error('at least one link is served')
    return first
  }
}

/** Links that are being set up in time: what is lost meanwhile is made by the same tries. */
const beingSetUp = new WeakSet<Link>()

/** Tries until the link has material, or must not have any; what keeps it from that is told once. */
const setUpInTime = async (deps: Deps, one: SignerLink): Promise<void> => {
  if (beingSetUp.has(one.link)) return
  beingSetUp.add(one.link)
  try {
    await keepTrying(deps, one)
  } finally {
    beingSetUp.delete(one.link)
  }
}

const keepTrying = async ({ alert }: Deps, { shard, link, initiator }: SignerLink): Promise<void> => {
  for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_RETRY_MS)) {
    try {
      await initiator.warm()
      if (link.material !== undefined) return
    } catch (error) {
      if (link.burned || link.record.state !== 'ACTIVE') return
      if (pauseMs === RETRY_MS) alert('link', `link ${shard} has no material yet: ${String(error)}`)
    }
    await sleep(pauseMs, undefined, { ref: false })
  }
}

type Where = { readonly shard: number; readonly pair: LinkPair; readonly incarnationId: Uint8Array }

const openLink = async (
  deps: Deps,
  { idC, idS }: SignerShards,
  { shard, pair, incarnationId }: Where,
): Promise<Opened> => {
  const { store, clock, alert } = deps
  const parties = makeLinkParties(idC, idS, shard, MAX_SHARDS)
  const record = await openLinkRecord(store, parties, ROLE_C, BigInt(clock.nowMs()))
  const crypto = new CryptoThread(`signer crypto ${shard}`, parties, (why) => {
    const { lEpoch } = link.record
    alert('crypto_worker', `that of link ${shard} is started again: ${why}`)
    initiator.loseUpTo(lEpoch)
    const setUp = (): Promise<void> => setUpInTime(deps, { shard, link, initiator })
    void deps.lost({ shard, lEpoch }).then(setUp, setUp)
  })
  const sessions = workerSessionsOfC(crypto, parties, deps.entropy)
  const wipeSessions = (): void => {
    initiator.wipeSessions()
    deps.wiped(shard)
  }
  const events = { alert, wipeSessions, wipeMaterial: sessions.wipeMaterial }
  const link: Link = new Link(parties, record, store, clock, events, pair)
  const initiator: Initiator = new Initiator({ ...deps, link, sessions, incarnationId })
  return { shard, link, initiator, crypto }
}
