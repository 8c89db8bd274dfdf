/**
 * The daemon's side of its links to delegates: one party S for each, with OT material, presignatures and a crypto worker
 * of its own. A link that burns, hangs or is flooded is one delegate's; nothing here knows the link to the cosigner.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../domain/clock.ts'
import { makeLinkParties } from '../engine/dkls23/contexts.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { ROLE_S } from '../engine/dkls23/suite.ts'
import { CryptoThread } from './crypto-thread.ts'
import { isMaking, isSignFrame, judgeDelegateFrame, presigIdIn, refuseAsBusy } from './delegate-gate.ts'
import { Link, openLinkRecord } from './link.ts'
import type { CosignerStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'
import { readEd25519Payload, readSigningPayload } from './read-payload.ts'
import { Responder } from './responder.ts'
import { workerSessionsOfS } from './worker-sessions.ts'

type Deps = {
  readonly idS: Uint8Array
  readonly openStore: (linkId: Uint8Array) => Promise<CosignerStore>
  readonly ask: (linkId: Uint8Array, frame: Uint8Array) => Promise<Uint8Array | undefined>
  readonly entropy: Entropy
  readonly clock: Clock
  readonly alert: (what: string, detail: string) => void
  /** How many presignatures there may be; absent, the usual. */
  readonly limits?: { readonly ofLink: number; readonly ofAll: number }
}

type Opened = {
  readonly link: Link
  readonly responder: Responder
  readonly crypto: CryptoThread
  /** The worker goes with the material that an erased share met, when that is due. */
  readonly dueForRenewal: { value: boolean }
}

export type DelegateLinkStatus = {
  readonly linkId: Uint8Array
  readonly state: 'ACTIVE' | 'SUSPENDED' | 'BURNED'
  readonly lEpoch: number
  readonly hasMaterial: boolean
  readonly presignatures: number
}

/** What was erased in the vault: whether its delegate has other access, and the last link epoch that its share was used in. */
export type ErasedShare = { readonly isLast: boolean; readonly lastUsedEpoch: number }

/** Presignatures of one link and kind of key: what a delegate's pools hold by default. */
const MAX_OF_LINK = 8_192
/** Of all links together, each some 2.5 kB in this thread. Beyond it the link with most of them gives its up. */
const MAX_OF_ALL = 49_152

/** A delegate has one link to this daemon (docs/protocol.md §3). */
const SHARD = 0
const SHARDS = 1

export const delegateLinkOf = (idC: Uint8Array, idS: Uint8Array) => makeLinkParties(idC, idS, SHARD, SHARDS)

export class DelegateLinks {
  readonly #deps: Deps
  readonly #opened = new Map<string, Promise<Opened>>()
  /** Of those that are open by now: one that is only being opened is waited for by nobody else. */
  readonly #responders = new Map<string, Responder>()
  readonly #closing = new Map<string, Promise<unknown>>()

  constructor(deps: Deps) {
    this.#deps = deps
  }

  /** The answer to a frame that came over the stream of one access. Rejects when the own disk or code fails. */
  async answer(idC: Uint8Array, walletId: Uint8Array, frame: Uint8Array): Promise<Uint8Array | undefined> {
    const { link, responder, crypto } = await this.#open(idC)
    const { refusal, needsWorker } = judgeDelegateFrame(frame, walletId, link.record.lEpoch)
    if (refusal !== undefined) {
      // Touched is gone, also where it was named for another wallet.
      if (isSignFrame(frame)) responder.discard(presigIdIn(frame))
      return refusal
    }
    if (isMaking(frame)) this.#makeRoom()
    // What is secret is worked with in a thread that can be ended with all it ever held.
    if (needsWorker === true) await crypto.start()
    if (needsWorker === true && !crypto.isReady) return refuseAsBusy(frame, link.record.lEpoch)
    return responder.answer(frame)
  }

  /**
   * The wallet's share is erased: its presignatures and sessions go at once, and the material that it met with it or at
   * the end of the minute (docs/protocol.md §4.3, §13), and the worker with that. Of the last wallet all of the link goes.
   */
  async erase(idC: Uint8Array, walletId: Uint8Array, { isLast, lastUsedEpoch }: ErasedShare): Promise<void> {
    const opened = await this.#find(idC)
    if (opened === undefined) return
    const { link, responder, crypto, dueForRenewal } = opened
    responder.endWallet(walletId)
    await link.settled()
    responder.endWallet(walletId)
    if (isLast) return this.close(idC)
    const { lEpoch } = link.record
    // A share that never met this material makes nothing due.
    if (lEpoch === 0 || lastUsedEpoch < lEpoch) return
    await link.markEraseDue()
    if (link.material === undefined) await crypto.renew()
    else dueForRenewal.value = true
  }

  /** Overwrites everything of the link; it is opened again by the next frame. */
  async close(idC: Uint8Array): Promise<void> {
    const opened = await this.#find(idC)
    if (opened === undefined) return
    const key = this.#keyOf(idC)
    this.#opened.delete(key)
    this.#responders.delete(key)
    const closed = closeOpened(opened).finally(() => this.#closing.get(key) === closed && this.#closing.delete(key))
    this.#closing.set(key, closed)
    await closed
  }

  async closeAll(): Promise<void> {
    const all = await Promise.allSettled(this.#opened.values())
    this.#opened.clear()
    this.#responders.clear()
    await Promise.all(all.flatMap((one) => (one.status === 'fulfilled' ? [closeOpened(one.value)] : [])))
  }

  async status(): Promise<DelegateLinkStatus[]> {
    const all = await Promise.allSettled(this.#opened.values())
    return all.flatMap((one) => (one.status === 'fulfilled' ? [statusOf(one.value)] : []))
  }

  /** Nobody fills the memory that the others' presignatures are in. */
  #makeRoom(): void {
    const responders = [...this.#responders.values()]
    const total = responders.reduce((sum, responder) => sum + heldBy(responder), 0)
    if (total < (this.#deps.limits?.ofAll ?? MAX_OF_ALL)) return
    responders.reduce((a, b) => (heldBy(b) > heldBy(a) ? b : a)).wipePresignatures()
  }

  #keyOf(idC: Uint8Array): string {
    return hexOf(idC)
  }

  async #find(idC: Uint8Array): Promise<Opened | undefined> {
    return this.#opened.get(this.#keyOf(idC))?.catch(() => undefined)
  }

  #open(idC: Uint8Array): Promise<Opened> {
    const key = this.#keyOf(idC)
    const known = this.#opened.get(key)
    if (known !== undefined) return known
    // What the one before still makes durable, a burn above all, is what this one starts from.
    const closing = this.#closing.get(key) ?? Promise.resolve()
    const opening = closing.catch(() => undefined).then(() => openDelegateLink(this.#deps, idC))
    this.#opened.set(key, opening)
    const there = ({ responder }: Opened): unknown => this.#opened.get(key) === opening && this.#responders.set(key, responder)
    opening.then(there, () => this.#opened.delete(key))
    return opening
  }
}

const heldBy = ({ presignatureCount, ed }: Responder): number => presignatureCount + ed.presignatureCount

const statusOf = ({ link, responder }: Opened): DelegateLinkStatus => ({
  linkId: link.parties.linkId,
  state: link.burned ? 'BURNED' : link.record.state,
  lEpoch: link.record.lEpoch,
  hasMaterial: link.material !== undefined,
  presignatures: heldBy(responder),
})

/** What a check has found is acted on first; then every secret is overwritten, and the worker ends. */
const closeOpened = async ({ link, responder, crypto }: Opened): Promise<void> => {
  await link.settled()
  responder.wipeSessions()
  link.wipeMaterial()
  await crypto.close()
  // What waited for the worker has been refused by now, and left nothing.
  await link.settled()
  responder.wipeSessions()
  link.wipeMaterial()
}

const openDelegateLink = async (deps: Deps, idC: Uint8Array): Promise<Opened> => {
  const { idS, clock, entropy, alert } = deps
  const parties = delegateLinkOf(idC, idS)
  const name = hexOf(parties.linkId).slice(0, 8)
  const store = await deps.openStore(parties.linkId)
  const record = await openLinkRecord(store, parties, ROLE_S, BigInt(Math.trunc(clock.nowMs())))
  const crypto = new CryptoThread(`delegate crypto ${name}`, parties, (why) => {
    alert('crypto_worker', `that of the link ${name} to a delegate is started again: ${why}`)
    responder.loseUpTo(link.record.lEpoch)
  })
  const sessions = workerSessionsOfS(crypto, parties, entropy)
  const dueForRenewal = { value: false }
  const wipeMaterial: typeof sessions.wipeMaterial = (material) => {
    sessions.wipeMaterial(material)
    if (!dueForRenewal.value) return
    dueForRenewal.value = false
    void crypto.renew()
  }
  const told = (what: string, detail: string): void => alert(what, `link ${name} to a delegate: ${detail}`)
  const events = { alert: told, wipeSessions: () => responder.wipeSessions(), wipeMaterial }
  const link: Link = new Link(parties, record, store, clock, events)
  const responder: Responder = new Responder({
    link,
    store,
    entropy,
    clock,
    sessions,
    incarnationId: new Uint8Array(randomBytes(16)),
    maxPresignatures: deps.limits?.ofLink ?? MAX_OF_LINK,
    readPayload: readSigningPayload,
    readEdPayload: readEd25519Payload,
    ask: (frame) => deps.ask(parties.linkId, frame),
    alert: told,
  })
  return { link, responder, crypto, dueForRenewal }
}
