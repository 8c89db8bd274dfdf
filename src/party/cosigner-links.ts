/** The cosigner's side of every link to its daemon: frames find their link by its id, and what is asked of all goes to all. */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../domain/clock.ts'
import { makeLinkParties } from '../engine/dkls23/contexts.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { ROLE_S } from '../engine/dkls23/suite.ts'
import { CryptoThread, startInTurn } from './crypto-thread.ts'
import type { ForkKeeper } from './fork-responder.ts'
import type { ImportKeys } from './import-keys.ts'
import { Link, LinkPair, openLinkRecord } from './link.ts'
import { linkIdIn } from './frame-exchange.ts'
import type { CosignerStatus } from './cosigner.ts'
import type { CosignerStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'
import { readEd25519Payload, readSigningPayload } from './read-payload.ts'
import { Responder } from './responder.ts'
import { MAX_SHARDS } from './shards.ts'
import { workerSessionsOfS } from './worker-sessions.ts'

type Deps = {
  readonly store: CosignerStore
  readonly entropy: Entropy
  readonly clock: Clock
  readonly ask: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  readonly importKeys: ImportKeys
  readonly forks: ForkKeeper
  readonly alert: (what: string, detail: string) => void
  /** A crypto worker ended: what it held of the shard, up to this link epoch, is gone. */
  readonly lost: (args: LostMaterial) => void
}
export type CosignerLink = { readonly shard: number; readonly link: Link; readonly responder: Responder }
type Opened = CosignerLink & { readonly crypto: CryptoThread }

const WORKERS_AFTER_MS = 5_000

/** Of one shard, everything that was made over material of this link epoch and before is gone on one side. */
export type LostMaterial = { readonly shard: number; readonly lEpoch: number }

export class CosignerLinks {
  readonly all: readonly CosignerLink[]
  readonly #opened: readonly Opened[]
  readonly #byId: ReadonlyMap<string, Opened>

  private constructor(opened: readonly Opened[]) {
    this.all = opened
    this.#opened = opened
    this.#byId = new Map(opened.map((one) => [hexOf(one.link.parties.linkId), one]))
  }

  /** Reads or makes the links' records. */
  static async open(deps: Deps, idC: Uint8Array, idS: Uint8Array, shards: readonly number[]): Promise<CosignerLinks> {
    const pair = new LinkPair()
    const incarnationId = new Uint8Array(randomBytes(16))
    const opened: Opened[] = []
    for (const shard of shards) opened.push(await openLink(deps, { idC, idS, shard, pair, incarnationId }))
    startInTurn(opened, WORKERS_AFTER_MS)
    return new CosignerLinks(opened)
  }

  status(): CosignerStatus['links'] {
    return this.all.map(({ shard, link, responder }) => {
      const { lEpoch, relinkGrant } = link.record
      const presignatures = responder.presignatureCount + responder.ed.presignatureCount
      return { shard, state: link.burned ? 'BURNED' : link.record.state, lEpoch, relinkGrant, presignatures }
    })
  }

  /** The answer to a frame. One of a link that is not served is refused by the first, which does not know it either. */
  async answer(frame: Uint8Array): Promise<Uint8Array | undefined> {
    const found = this.#byId.get(linkIdIn(frame)) ?? this.#opened[0]
    return found?.responder.answer(frame)
  }

  /** Resolves when the daemon was asked, as far as it answers, about everything that is not decided. */
  async settled(): Promise<void> {
    await Promise.all(this.all.map(({ responder }) => responder.settled()))
  }

  discard(presigId: Uint8Array): void {
    for (const { responder } of this.all) responder.discard(presigId)
  }

  wipeWallet(walletId: Uint8Array): void {
    for (const { responder } of this.all) responder.wipeWallet(walletId)
  }

  wipeSessions(): void {
    for (const { responder } of this.all) responder.wipeSessions()
  }

  /** The daemon's side of a shard has lost its material. */
  lose({ shard, lEpoch }: LostMaterial): void {
    this.all.find((one) => one.shard === shard)?.responder.loseUpTo(lEpoch)
  }

  /** What a check has found is acted on first; then every secret is overwritten. */
  async close(): Promise<void> {
    await Promise.all(this.all.map(({ link }) => link.settled()))
    this.wipeSessions()
    for (const { link } of this.all) link.wipeMaterial()
    await Promise.all(this.#opened.map(({ crypto }) => crypto.close()))
  }
}

type Where = {
  readonly idC: Uint8Array
  readonly idS: Uint8Array
  readonly shard: number
  readonly pair: LinkPair
  readonly incarnationId: Uint8Array
}

const openLink = async (deps: Deps, { idC, idS, shard, pair, incarnationId }: Where): Promise<Opened> => {
  const { store, clock, alert } = deps
  const parties = makeLinkParties(idC, idS, shard, MAX_SHARDS)
  const record = await openLinkRecord(store, parties, ROLE_S, BigInt(clock.nowMs()))
  const crypto = new CryptoThread(`cosigner crypto ${shard}`, parties, (why) => {
    const { lEpoch } = link.record
    alert('crypto_worker', `that of link ${shard} is started again: ${why}`)
    responder.loseUpTo(lEpoch)
    deps.lost({ shard, lEpoch })
  })
  const sessions = workerSessionsOfS(crypto, parties, deps.entropy)
  const wipeSessions = (): void => responder.wipeSessions()
  const events = { alert, wipeSessions, wipeMaterial: sessions.wipeMaterial }
  const link: Link = new Link(parties, record, store, clock, events, pair)
  const responder: Responder = new Responder({
    ...deps,
    link,
    sessions,
    incarnationId,
    readPayload: readSigningPayload,
    readEdPayload: readEd25519Payload,
  })
  return { shard, link, responder, crypto }
}
