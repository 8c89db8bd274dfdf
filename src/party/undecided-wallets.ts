/**
 * What party S holds of operations that C has not decided yet, or whose decision has not come through (docs/protocol.md
 * §12). C alone decides: a PENDING record is switched to on C's ACK, on its COMMITTED, or on the first later message
 * that names the wallet at the new epoch; it is dropped on an explicit ABORTED and on nothing else.
 */
import { decodeOutcomeAnswers, encodeOutcomeQuestions, type OutcomeQuestion } from '../engine/dkls23/outcome.ts'
import type { SlotName } from '../engine/dkls23/presign-plan.ts'
import { MAX_REFRESH_WALLETS } from '../engine/dkls23/suite.ts'
import { fateByAcknowledgement, fateByAnswer, fateByName } from '../engine/dkls23/two-phase-switch.ts'
import type { ForkKeeper } from './fork-responder.ts'
import type { Link } from './link.ts'
import { Lock } from './lock.ts'
import type { CosignerStore, PendingWallet } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

type Deps = {
  readonly link: Link
  readonly store: CosignerStore
  /** Shares for delegates that C has not decided; absent: none are made here. */
  readonly forks?: ForkKeeper | undefined
  readonly alert: (what: string, detail: string) => void
  /** Nothing of the wallet's present epoch may be used any more. */
  readonly wipeWallet: (walletId: Uint8Array) => void
  /** C is to be asked for what it decided about these wallets, named in hexadecimal. */
  readonly ask: (only: ReadonlySet<string>) => void
}

/** The wallet epoch of a key that was just generated. */
const FIRST_EPOCH = 0

export class UndecidedWallets {
  readonly #deps: Deps
  readonly #lock = new Lock()

  constructor(deps: Deps) {
    this.#deps = deps
  }

  /** W5 and F5: the records of this operation are the present ones here too. */
  acknowledge(sid: Uint8Array): Promise<void> {
    return this.#lock.run(async () => {
      for (const one of await this.#own()) {
        if (fateByAcknowledgement(one, sid) === 'switch') await this.#switch(one)
      }
    })
  }

  /**
   * The questions about every PENDING record, or about those of the wallets named in hexadecimal, as many to a message as
   * it may hold.
   */
  async questions(only?: ReadonlySet<string>): Promise<readonly Uint8Array[]> {
    const all = await this.#own()
    const open = only === undefined ? all : all.filter(({ walletId }) => only.has(hexOf(walletId)))
    const bodies: Uint8Array[] = []
    for (let at = 0; at < open.length; at += MAX_REFRESH_WALLETS) {
      bodies.push(encodeOutcomeQuestions(open.slice(at, at + MAX_REFRESH_WALLETS)))
    }
    return bodies
  }

  /**
   * What C decided. An answer that fits no PENDING record changes nothing. What it fits is read under the lock: by the
   * time that another answer was carried out, the wallet may hold the record of the next refresh.
   */
  settle(body: Uint8Array): Promise<void> {
    const { store } = this.#deps
    const answers = decodeOutcomeAnswers(body)
    return this.#lock.run(async () => {
      const open = new Map((await this.#own()).map((one) => [hexOf(one.walletId), one]))
      for (const answer of answers) {
        const fate = fateByAnswer(open.get(hexOf(answer.walletId)), answer)
        if (fate === 'keep') continue
        open.delete(hexOf(answer.walletId))
        if (fate === 'switch') await this.#switch(answer)
        else if (this.#isFork(answer.walletId)) await this.#deps.forks?.drop(answer.walletId)
        else await store.dropPending(answer.walletId, answer.wEpoch)
      }
    })
  }

  /**
   * Reads what a message of C says by naming these wallets: the new epoch stands for the ACK that was lost. Answers the
   * wallets that are named at their old epoch while a new one is undecided: nothing may be done with those until C has
   * answered, which is asked for here.
   */
  async heed(names: readonly SlotName[]): Promise<ReadonlySet<string>> {
    const undecided = new Set<string>()
    if ((await this.#own()).length === 0) return undecided
    await this.#lock.run(async () => {
      const byKey = new Map((await this.#own()).map((one) => [hexOf(one.walletId), one]))
      for (const name of names) {
        const one = byKey.get(hexOf(name.walletId))
        if (one === undefined) continue
        if (fateByName(one, name.wEpoch) === 'switch') {
          byKey.delete(hexOf(name.walletId))
          await this.#switch(one)
        } else undecided.add(hexOf(name.walletId))
      }
    })
    // About these alone: what another refresh has under way would be given up by being asked about.
    if (undecided.size > 0) this.#deps.ask(undecided)
    return undecided
  }

  /**
   * C names an epoch that this side neither has nor prepared, which is refused. A name alone stops no wallet: where two
   * vaults are of different age, the comparison at the joining of the parties does (epoch-check.ts).
   */
  noteBehind(walletId: Uint8Array): void {
    this.#deps.alert('wallet_behind', `wallet ${hexOf(walletId)}: the other party names a later epoch`)
  }

  /** Of this link: the other links' are theirs to settle, under their own locks and with their own presignatures. */
  async #own(): Promise<readonly PendingWallet[]> {
    const { store, forks, link } = this.#deps
    const own = hexOf(link.parties.linkId)
    const all = [...(await store.pendingWallets()), ...(forks?.pending() ?? [])]
    return all.filter(({ linkId }) => hexOf(linkId) === own)
  }

  #isFork(walletId: Uint8Array): boolean {
    return this.#deps.forks?.has(walletId) === true
  }

  /**
   * Under the lock. The share of the epoch before is erased with this; material that it met under the present link epoch
   * is due.
   */
  async #switch({ walletId, wEpoch }: Omit<OutcomeQuestion, 'sid'>): Promise<void> {
    const { store, link, wipeWallet } = this.#deps
    if (this.#isFork(walletId)) return this.#deps.forks?.decide(walletId)
    const id = walletId.slice()
    const { lEpoch } = link.record
    const metLive = wEpoch > FIRST_EPOCH && lEpoch > 0 && (await store.lastUse(id)) >= lEpoch
    await store.activate(id, wEpoch)
    if (wEpoch === FIRST_EPOCH) return
    wipeWallet(id)
    if (metLive) await link.markEraseDue()
  }
}
