/** Party C of the peer tool: carries out operations against whoever answers its frames. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeLinkParties, type WalletBinding } from '../engine/dkls23/contexts.ts'
import { deriveChild } from '../engine/dkls23/derive.ts'
import { ProtocolFault } from '../engine/dkls23/fault.ts'
import { ROLE_C } from '../engine/dkls23/suite.ts'
import type { Counterparty } from '../party/counterparty.ts'
import { systemClock } from '../party/entropy.ts'
import { Initiator, type ReadyPresignature } from '../party/initiator.ts'
import { Link, newLinkRecord } from '../party/link.ts'
import { createMemoryStore } from '../party/memory-store.ts'
import { PeerRefusal } from '../party/peer-refusal.ts'
import { hexOf } from '../party/presignature-map.ts'
import { type SeededEntropy, seededEntropy } from './peer-entropy.ts'
import type { PeerOperation } from './peer-operations.ts'
import { refreshTogether } from './peer-refresh.ts'
import type { PeerRun } from './peer-run.ts'
import { CommandRefusal } from './terminal.ts'

/** A peer refuses a set-up within five seconds of the one before. */
const SETUP_SPACING_MS = 5_100

type Wallet = WalletBinding & { readonly ready: ReadyPresignature[] }

/** Runs the operations in order and reports each; the first that fails ends the run. */
export const driveOperations = async (
  run: PeerRun,
  operations: readonly PeerOperation[],
  exchange: Counterparty['exchange'],
): Promise<void> => {
  const entropy = seededEntropy('C', run.seed)
  const parties = makeLinkParties(run.idC, run.idS, 0)
  const store = createMemoryStore()
  const record = newLinkRecord(parties, ROLE_C, 0n)
  await store.saveLinks([record])
  const alert = (what: string, detail: string): void => run.report({ alert: what, detail })
  const link: Link = new Link(parties, record, store, systemClock, { alert, wipeSessions: () => c.wipeSessions() })
  const peer: Counterparty = { exchange, close: () => {} }
  const incarnationId = entropy.bytes(16)
  const c: Initiator = new Initiator({ link, store, peer, entropy, clock: systemClock, incarnationId, alert })
  const driver = new Driver({ link, c, store, entropy, peer }, run)
  await driver.sayHello()
  for (const operation of operations) run.report({ op: operation.op, ...(await driver.carryOut(operation)) })
  link.wipeMaterial()
  c.wipeSessions()
}

type Parts = {
  readonly link: Link
  readonly c: Initiator
  readonly store: ReturnType<typeof createMemoryStore>
  readonly entropy: SeededEntropy
  readonly peer: Counterparty
}

class Driver {
  readonly #parts: Parts
  readonly #run: PeerRun
  readonly #wallets: Wallet[] = []
  #linkedAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: Parts, run: PeerRun) {
    this.#parts = parts
    this.#run = run
  }

  /** A peer that does not know the hello, or has no answer to it, is gone on with. */
  async sayHello(): Promise<void> {
    try {
      await this.#parts.c.connect()
    } catch (error) {
      if (!(error instanceof PeerRefusal) && !(error instanceof ProtocolFault)) throw error
      this.#run.report({ alert: 'hello', detail: 'the peer has no answer to it' })
    }
  }

  async carryOut(operation: PeerOperation): Promise<object> {
    switch (operation.op) {
      case 'link':
        return this.#link()
      case 'dkg':
        return this.#generate(operation.count)
      case 'presign':
        return this.#presign(operation.slots)
      case 'refresh':
        return this.#refresh(operation.slots)
      case 'sign':
        return this.#sign(operation)
    }
  }

  /** The first set-up, or a renewal as after an erased share. */
  async #link(): Promise<object> {
    const { c, link } = this.#parts
    const waitMs = this.#linkedAtMs + SETUP_SPACING_MS - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    if (link.material === undefined) await c.warm()
    else await c.renewForErasure()
    this.#linkedAtMs = performance.now()
    return { linkId: hexOf(link.parties.linkId), lEpoch: link.record.lEpoch }
  }

  async #generate(count: number): Promise<object> {
    const { c, store } = this.#parts
    const { sid, wallets } = await c.generate(count)
    for (const { walletId, wEpoch } of wallets) await store.activate(walletId, wEpoch)
    await c.acknowledge(sid)
    const made = wallets.map((wallet) => {
      const slot = this.#wallets.push({ ...wallet, ready: [] }) - 1
      const { walletId, publicKey, chainCode } = wallet
      return { slot, walletId: hexOf(walletId), publicKey: hexOf(publicKey), chainCode: hexOf(chainCode) }
    })
    return { wallets: made }
  }

  async #presign(slots: readonly number[]): Promise<object> {
    const ready = await this.#parts.c.presign(slots.map((slot) => this.#wallet(slot).walletId))
    const presignatures = ready.map((one) => {
      const slot = this.#wallets.findIndex(({ walletId }) => hexOf(walletId) === hexOf(one.walletId))
      this.#wallet(slot).ready.push(one)
      return { slot, presigId: hexOf(one.presigId) }
    })
    if (presignatures.length < slots.length) throw new CommandRefusal('the peer refused slots of the plan')
    return { presignatures }
  }

  async #refresh(slots: readonly number[]): Promise<object> {
    const { c } = this.#parts
    const wallets = slots.map((slot) => this.#wallet(slot))
    for (const { walletId, ready } of wallets) {
      c.wipeWallet(walletId)
      ready.length = 0
    }
    const records = await refreshTogether(this.#parts, wallets.map(({ walletId }) => walletId))
    const refreshed = records.map(({ walletId, wEpoch, publicKey }, i) => {
      c.wipeWallet(walletId)
      return { slot: slots[i], walletId: hexOf(walletId), wEpoch, publicKey: hexOf(publicKey) }
    })
    return { wallets: refreshed }
  }

  async #sign({ slot, path, payload }: PeerOperation & { readonly op: 'sign' }): Promise<object> {
    const wallet = this.#wallet(slot)
    const ready = wallet.ready.shift()
    if (ready === undefined) throw new CommandRefusal(`slot ${slot} has no presignature left`)
    const digest = new Uint8Array(createHash('sha256').update(payload).digest())
    const job = { ...ready, reqId: this.#parts.entropy.bytes(16), digest, path, payload }
    const { r, s, recid } = await this.#parts.c.sign(job)
    const { publicKey } = deriveChild(wallet.publicKey, wallet.chainCode, path)
    const presigId = hexOf(ready.presigId)
    const key = { slot, walletId: hexOf(wallet.walletId), path: ['m', ...path].join('/'), publicKey: hexOf(publicKey) }
    return { ...key, presigId, digest: hexOf(digest), r: hexOf(r), s: hexOf(s), recid }
  }

  #wallet(slot: number): Wallet {
    const wallet = this.#wallets[slot]
    if (wallet === undefined) throw new CommandRefusal(`no wallet was made for slot ${slot}`)
    return wallet
  }
}
