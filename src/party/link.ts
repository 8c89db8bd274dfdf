/**
 * One link as its process holds it: the durable record, the OT material in memory, and the two ways it stops. The
 * memory flag goes first and is sticky: once a burn has begun nothing on this link answers, whatever the disk says.
 */
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { benign, type ProtocolFault } from '../engine/dkls23/fault.ts'
import type { LinkRecord } from '../engine/dkls23/records.ts'
import { LINK_AGE_HARD_MS, LINK_AGE_SOFT_MS, LINK_SLOTS_HARD, LINK_SLOTS_SOFT, type Role } from '../engine/dkls23/suite.ts'
import type { Clock } from '../domain/clock.ts'
import { wipeHeldMaterial } from './in-thread-sessions.ts'
import { Lock } from './lock.ts'
import type { PartyStore } from './party-store.ts'
import type { HeldMaterial } from './session-engine.ts'

const DAY_MS = 86_400_000n
const STRIKES_TO_SUSPEND = 3
const SETTLE_MS = 2_000
/** Erasures within this time share one set-up. */
export const ERASE_GATHER_MS = 60_000
export const MAX_BURNS = 3

export type LinkAlert = 'burned' | 'suspended' | 'strike'
export type LinkEvents = {
  readonly alert: (what: LinkAlert, detail: string) => void
  /** Overwrites every presignature of the link and ends its sessions. */
  readonly wipeSessions: () => void
  /** Overwrites material wherever it is; absent, it is in this thread. */
  readonly wipeMaterial?: (material: HeldMaterial) => void
}

/** The links of one pair of parties that this process holds: a burn covers all of them, in one transaction. */
export class LinkPair {
  readonly links: Link[] = []
  /** Changes of their records, one at a time: each starts from what the one before made durable. */
  readonly writes = new Lock()
  /** The burn that is being made durable: another verdict meanwhile is of the same incident. */
  burning: Promise<void> | undefined
}

export class Link {
  readonly parties: LinkParties
  readonly role: Role
  readonly lock = new Lock()
  readonly #pair: LinkPair
  #record: LinkRecord
  #material: { value: HeldMaterial; bornNs: bigint; slots: number; timer: NodeJS.Timeout } | undefined
  #eraseTimer: NodeJS.Timeout | undefined
  #burning = false
  /** How often a burn stopped this link, and how often it had when the relink that runs was committed. */
  #stops = 0
  #relinkSince: number | undefined
  readonly #store: PartyStore
  readonly #clock: Clock
  readonly #events: LinkEvents

  constructor(
    parties: LinkParties,
    record: LinkRecord,
    store: PartyStore,
    clock: Clock,
    events: LinkEvents,
    pair = new LinkPair(),
  ) {
    this.#pair = pair
    pair.links.push(this)
    this.parties = parties
    this.role = record.role
    this.#record = record
    this.#burning = record.state === 'BURNED'
    this.#store = store
    this.#clock = clock
    this.#events = events
  }

  get record(): LinkRecord {
    return this.#record
  }

  get burned(): boolean {
    return this.#burning
  }

  /**
   * The live material. At a hard limit, or once an erasure is due, it is overwritten here rather than handed out. A
   * session keeps what this gave and compares before each of its steps: overwritten material would fail a check.
   */
  get material(): HeldMaterial | undefined {
    if (this.#material === undefined) return undefined
    if (this.eraseDue() || this.#ageMs() >= LINK_AGE_HARD_MS) this.wipeMaterial()
    return this.#material?.value
  }

  /** What operations over the link hedge their randomness with, as they take it: nothing while there is no material. */
  get hedge(): { readonly hk?: Uint8Array } {
    const hk = this.material?.hk
    return hk === undefined ? {} : { hk }
  }

  /** An operator's grant that still counts. */
  get mayRelink(): boolean {
    return isGranted(this.#record)
  }

  get nowMs(): bigint {
    return BigInt(Math.trunc(this.#clock.nowMs()))
  }

  /** @throws ProtocolFault class A: burned, or (but for signing) suspended. */
  assertUsable(what: 'sign' | 'other'): void {
    if (this.#burning) throw benign('link_burned', 'the link is burned')
    if (what === 'other' && this.#record.state === 'SUSPENDED') throw benign('link_suspended', 'the link is suspended')
  }

  /** As a frame of this epoch wants it, of anything but signing. @throws ProtocolFault class A. */
  assertAt(lEpoch: number): void {
    this.assertUsable('other')
    if (lEpoch !== this.#record.lEpoch) throw benign('session', 'another link epoch')
  }

  /** Takes over fresh material; the old is overwritten, and this one will be at the hard age limit. */
  setMaterial(value: HeldMaterial): void {
    this.wipeMaterial()
    const timer = setTimeout(() => this.wipeMaterial(), LINK_AGE_HARD_MS)
    timer.unref()
    this.#material = { value, bornNs: this.#clock.monotonicNs(), slots: 0, timer }
  }

  wipeMaterial(): void {
    if (this.#material === undefined) return
    clearTimeout(this.#material.timer)
    const { value } = this.#material
    this.#material = undefined
    if (this.#events.wipeMaterial === undefined) wipeHeldMaterial(value)
    else this.#events.wipeMaterial(value)
  }

  /** Material of this epoch and before is of no use any more: one side's is gone. */
  wipeMaterialUpTo(lEpoch: number): void {
    if (this.#material !== undefined && this.#material.value.lEpoch <= lEpoch) this.wipeMaterial()
  }

  /** Counts the slots of a session for which P2 was sent, finished or not. */
  countSlots(slots: number): void {
    if (this.#material === undefined) return
    this.#material.slots += slots
    if (this.#material.slots >= LINK_SLOTS_HARD) this.wipeMaterial()
  }

  /** Why C should renew before its next presign session; undefined while the material is fresh. */
  renewalDue(): 'count' | 'age' | 'erase' | undefined {
    if (this.eraseDue()) return 'erase'
    if (this.#material === undefined) return undefined
    if (this.#material.slots >= LINK_SLOTS_SOFT) return 'count'
    return this.#ageMs() >= LINK_AGE_SOFT_MS ? 'age' : undefined
  }

  eraseDue(): boolean {
    const { eraseDueAtMs } = this.#record
    return eraseDueAtMs !== 0n && eraseDueAtMs <= this.nowMs
  }

  /**
   * An erased share makes the link erase-due, durably: at once when the last erase set-up is more than a minute ago,
   * otherwise at the end of that minute. Material that is due is overwritten here or by a timer, with no cooperation.
   */
  async markEraseDue(): Promise<void> {
    await this.save(({ eraseDueAtMs, lastEraseAtMs }) => {
      if (eraseDueAtMs !== 0n) return {}
      const earliest = lastEraseAtMs + BigInt(ERASE_GATHER_MS)
      return { eraseDueAtMs: earliest > this.nowMs ? earliest : this.nowMs }
    })
    const waitMs = Number(this.#record.eraseDueAtMs - this.nowMs)
    clearTimeout(this.#eraseTimer)
    if (waitMs <= 0) this.wipeMaterial()
    else this.#eraseTimer = setTimeout(() => this.eraseDue() && this.wipeMaterial(), waitMs + 1).unref()
  }

  /** Resolves when the session in flight has ended with all that follows from it, or after two seconds. */
  async settled(): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, SETTLE_MS)
    await Promise.race([this.lock.run(() => Promise.resolve()), late.promise])
    clearTimeout(timer)
  }

  /** Durable before it returns. No change, no write. */
  async save(change: (record: LinkRecord) => Partial<LinkRecord>): Promise<void> {
    await this.#pair.writes.run(async () => {
      const changes = change(this.#record)
      if (Object.keys(changes).length === 0) return
      const next = { ...this.#record, ...changes }
      await this.#store.saveLinks([next])
      this.#record = next
    })
  }

  /** What a fault costs this link. Never throws for a fault's own sake: the caller answers the peer afterwards. */
  async punish(fault: ProtocolFault): Promise<void> {
    if (fault.consequence === 'burn-link') await this.burn()
    else if (fault.consequence === 'strike') await this.#strike(fault.message)
  }

  /**
   * The burn of §15.1, in its order: flag, overwrite, commit, alert, over every link of the two parties; the caller
   * answers only after it. Not cancellable: nothing here looks at a signal. A commit that fails leaves the flags up, so
   * the links stay shut, and rejects, so no answer leaves.
   */
  async burn(): Promise<void> {
    const pair = this.#pair
    for (const link of pair.links) link.#stop()
    if (pair.burning !== undefined) return pair.burning
    pair.burning = pair.writes.run(() => this.#saveBurn()).finally(() => (pair.burning = undefined))
    await pair.burning
    this.#events.alert('burned', 'a cheating check failed; nothing signs over this link until an operator relinks')
  }

  #stop(): void {
    this.#burning = true
    this.#stops += 1
    this.wipeMaterial()
    this.#events.wipeSessions()
  }

  async #saveBurn(): Promise<void> {
    const { idC, idS } = this.parties
    const keyOf = ({ linkId }: Pick<LinkRecord, 'linkId'>): string => Buffer.from(linkId).toString('hex')
    const known = this.#pair.links.map(({ record }) => [keyOf(record), record] as const)
    const stored = (await this.#store.linksOfPair(idC, idS)).map((record) => [keyOf(record), record] as const)
    const burned = new Map(
      [...new Map([...known, ...stored])].map(([key, record]) => [key, burnedFrom(record, this.nowMs)]),
    )
    await this.#store.saveLinks([...burned.values()])
    for (const link of this.#pair.links) link.#record = burned.get(keyOf(link.record)) ?? link.#record
  }

  /**
   * The commit that makes new material the only one. Material of an earlier epoch goes with it, so every erasure that
   * waited is made by it, whatever the set-up was for. @throws ProtocolFault class A: of a relink whose grant a burn
   * over another link of the pair has taken back.
   */
  async commitEpoch(lEpoch: number, reason: { readonly relink: boolean; readonly erase: boolean }): Promise<void> {
    const stops = this.#stops
    await this.save((record) => {
      if (reason.relink && !isGranted(record)) throw burnedAgain()
      return {
        lEpoch,
        renewedAtMs: this.nowMs,
        ...(reason.relink ? { relinkGrant: record.relinkGrant - 1 } : {}),
        ...(reason.erase || record.eraseDueAtMs !== 0n ? { eraseDueAtMs: 0n, lastEraseAtMs: this.nowMs } : {}),
      }
    })
    this.#relinkSince = reason.relink ? stops : undefined
  }

  /**
   * The material of a relink is READY: the grant is used up and a burned link is ACTIVE again. The grant was for the
   * burns before it: one that came over another link of the pair meanwhile stands. @throws ProtocolFault class A then.
   */
  async reopen(): Promise<void> {
    const since = this.#relinkSince
    const assertNoBurnSince = (): void => {
      if (since !== this.#stops) throw burnedAgain()
    }
    await this.save(({ state }) => {
      assertNoBurnSince()
      return { relinkGrant: 0, ...(state === 'BURNED' ? { state: 'ACTIVE' } : {}) }
    })
    assertNoBurnSince()
    this.#burning = false
  }

  #ageMs(): number {
    return Number((this.#clock.monotonicNs() - (this.#material?.bornNs ?? 0n)) / 1_000_000n)
  }

  /** Strikes count while they can stop the link; a link that is stopped keeps no list of what came after. */
  async #strike(what: string): Promise<void> {
    let counted = false
    let suspended = false
    await this.#pair.writes.run(async () => {
      const record = this.#record
      if (this.#burning || record.state !== 'ACTIVE') return
      const now = this.nowMs
      const strikeAtMs = [...record.strikeAtMs.slice(1), now] as [bigint, bigint, bigint]
      const recent = strikeAtMs.filter((at) => at !== 0n && now - at < DAY_MS).length
      suspended = recent >= STRIKES_TO_SUSPEND
      const next = { ...record, strikeAtMs, ...(suspended ? { state: 'SUSPENDED' as const } : {}) }
      await this.#store.recordStrike(next, what)
      this.#record = next
      counted = true
    })
    if (counted) this.#events.alert('strike', what)
    if (suspended) this.#events.alert('suspended', 'three protocol violations within 24 hours')
  }
}

const isGranted = ({ relinkGrant, burns }: LinkRecord): boolean => relinkGrant > 0 && burns < MAX_BURNS

const burnedAgain = (): ProtocolFault => benign('link_burned', 'the link was burned again')

const burnedFrom = (record: LinkRecord, nowMs: bigint): LinkRecord => ({
  ...record,
  state: 'BURNED',
  burns: record.burns + 1,
  lastBurnAtMs: nowMs,
  relinkGrant: 0,
})

const SETUPS_OF_A_GRANT = 5

/**
 * The record of a stopped link with the operator's word in it that it may go on: a burned one is granted new material, a
 * suspended one is cleared of its strikes (docs/protocol.md §15.4).
 */
export const grantedFrom = (record: LinkRecord): LinkRecord | 'not stopped' | 'too many burns' => {
  if (record.state === 'SUSPENDED') return { ...record, state: 'ACTIVE', strikeAtMs: [0n, 0n, 0n] }
  if (record.state !== 'BURNED') return 'not stopped'
  return record.burns >= MAX_BURNS ? 'too many burns' : { ...record, relinkGrant: SETUPS_OF_A_GRANT }
}

/** A link that was never set up. */
export const newLinkRecord = (parties: LinkParties, role: Role, nowMs: bigint): LinkRecord => ({
  role,
  state: 'ACTIVE',
  linkId: parties.linkId,
  lEpoch: 0,
  idC: parties.idC,
  idS: parties.idS,
  burns: 0,
  strikeAtMs: [0n, 0n, 0n],
  relinkGrant: 0,
  eraseDueAtMs: 0n,
  lastEraseAtMs: 0n,
  createdAtMs: nowMs,
  renewedAtMs: 0n,
  lastBurnAtMs: 0n,
})

/**
 * The record of a link as it was kept, or a new one. A link that comes to a pair of parties whose links are all burned
 * is burned with them: what stopped them was evidence about the peer.
 */
export const openLinkRecord = async (
  store: PartyStore,
  parties: LinkParties,
  role: Role,
  nowMs: bigint,
): Promise<LinkRecord> => {
  const stored = await store.loadLink(parties.linkId)
  if (stored !== undefined) return stored
  const fresh = newLinkRecord(parties, role, nowMs)
  const others = await store.linksOfPair(parties.idC, parties.idS)
  const [one] = others
  const isStopped = one !== undefined && others.every(({ state }) => state === 'BURNED')
  const { burns, lastBurnAtMs, relinkGrant } = one ?? fresh
  const record: LinkRecord = isStopped ? { ...fresh, state: 'BURNED', burns, lastBurnAtMs, relinkGrant } : fresh
  await store.saveLinks([record])
  return record
}
