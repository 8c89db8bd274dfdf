/**
 * The inside of a crypto worker: one link's OT material and open sessions, and nothing else. It knows no store, no lock
 * and no policy; what a fault costs is decided by the thread that asks.
 */
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import type { PresignSlot, SlotName } from '../engine/dkls23/presign-plan.ts'
import { inThreadSessionsOfC, inThreadSessionsOfS } from './in-thread-sessions.ts'
import { hexOf } from './presignature-map.ts'
import {
  bufferOf,
  type FromWorker,
  handOver,
  packPresignatures,
  type SessionCall,
  type SessionNote,
  tellFault,
  type Told,
  type ToldMaterial,
  type ToldStep,
  type ToWorker,
  unpackMaterial,
  unpackSlots,
} from './session-calls.ts'
import type {
  HeldMaterial,
  OpenStep,
  PresignC1,
  PresignS2,
  SessionsOfC,
  SessionsOfS,
  SetupC1,
  SetupS2,
} from './session-engine.ts'

type Message = { readonly sid: Uint8Array; readonly body: Uint8Array }
type Kept = OpenStep & { readonly step: (message: Message) => Promise<Told> }
type Post = (message: FromWorker, transfer: ArrayBuffer[]) => void

const NONE = new Uint8Array(0)

export class SessionServer {
  readonly #c: SessionsOfC
  readonly #s: SessionsOfS
  readonly #post: Post
  readonly #sessions = new Map<number, Kept>()
  readonly #materials = new Map<number, HeldMaterial>()
  #nextId: number

  /** `firstId`: above every number that an earlier worker of the link gave. */
  constructor(link: LinkParties, entropy: Entropy, firstId: number, post: Post) {
    this.#nextId = firstId
    this.#c = inThreadSessionsOfC(link, entropy)
    this.#s = inThreadSessionsOfS(link, entropy)
    this.#post = post
  }

  async receive(message: ToWorker): Promise<void> {
    if ('note' in message) return this.#heed(message.note)
    const { id, call } = message
    try {
      const told = await this.#answer(call)
      this.#post({ id, told }, handedOver(told))
    } catch (error) {
      if (error instanceof ProtocolFault) this.#post({ id, fault: tellFault(error) }, [])
      else this.#post({ id, bug: String(error) }, [])
    }
  }

  /** Overwrites every secret that is here. */
  wipe(): void {
    for (const kept of this.#sessions.values()) kept.abandon()
    for (const material of this.#materials.values()) this.#c.wipeMaterial(material)
    this.#sessions.clear()
    this.#materials.clear()
  }

  #heed(note: SessionNote): void {
    if (note.op === 'abandon') this.#take(note.session)?.abandon()
    else if (note.op === 'end') this.wipe()
    else {
      const material = this.#materials.get(note.material)
      this.#materials.delete(note.material)
      if (material !== undefined) this.#c.wipeMaterial(material)
    }
  }

  async #answer(call: SessionCall): Promise<Told> {
    switch (call.op) {
      case 'startSetupC': {
        const { lEpoch, reason } = call
        return this.#keepSetupC(await this.#c.startSetup({ lEpoch, reason, replaces: this.#known(call.replaces) }))
      }
      case 'startSetupS': {
        const { ownLEpoch, message } = call
        return this.#keepSetupS(await this.#s.startSetup({ ownLEpoch, replaces: this.#known(call.replaces) }, message))
      }
      case 'startPresignC': {
        const slots = unpackSlots(call.slots)
        const start = () =>
          this.#c.startPresign(this.#material(call.material), slots.length === 0 ? 'self-test' : slots)
        return this.#keepPresignC(await startedWith(slots, start))
      }
      case 'startPresignS': {
        const slots = unpackSlots(call.slots)
        const start = () => this.#s.startPresign(this.#material(call.material), resolverOf(slots), call.message)
        return this.#keepPresignS(await startedWith(slots, start))
      }
      case 'startSelfTestS':
        return this.#keepPresignS(await this.#s.startSelfTest(this.#material(call.material), call.body))
      case 'adopt':
        return this.#keepMaterial(unpackMaterial(call.packed), NONE, NONE)
      case 'step': {
        const kept = this.#take(call.session)
        if (kept === undefined) throw benign('session', 'the session has moved on')
        return kept.step(call.message)
      }
    }
  }

  #known(material: number | undefined): HeldMaterial | undefined {
    return material === undefined ? undefined : this.#materials.get(material)
  }

  #material(id: number): HeldMaterial {
    const material = this.#materials.get(id)
    if (material === undefined) throw benign('session', 'the material is gone')
    return material
  }

  #take(session: number): Kept | undefined {
    const kept = this.#sessions.get(session)
    this.#sessions.delete(session)
    return kept
  }

  #keep(step: Kept, body: Uint8Array, more: Pick<ToldStep, 'sid' | 'reason'> = {}): ToldStep {
    const session = this.#nextId++
    this.#sessions.set(session, step)
    return { session, body: handOver(body), ...more }
  }

  #keepSetupC({ body, advance, abandon }: SetupC1): ToldStep {
    const step = async (l2: Message): Promise<Told> => {
      const third = await advance(l2)
      const last = async ({ body: l4 }: Message): Promise<Told> => {
        const { material, confC, sid } = await third.finish(l4)
        return this.#keepMaterial(material, sid, confC)
      }
      return this.#keep({ abandon: third.abandon, step: last }, third.body)
    }
    return this.#keep({ abandon, step }, body)
  }

  #keepSetupS({ body, sid, reason, advance, abandon }: SetupS2): ToldStep {
    const step = async ({ body: l3 }: Message): Promise<Told> => {
      const fourth = await advance(l3)
      const last = async ({ body: l5 }: Message): Promise<Told> => {
        const { material, p1 } = await fourth.finish(l5)
        return this.#keepMaterial(material, sid, p1)
      }
      return this.#keep({ abandon: fourth.abandon, step: last }, fourth.body)
    }
    return this.#keep({ abandon, step }, body, { sid: sid.slice(), reason })
  }

  #keepPresignC({ body, advance, abandon }: PresignC1): ToldStep {
    const step = async (p2: Message): Promise<Told> => {
      const third = await advance(p2)
      const last = async ({ body: p4 }: Message): Promise<Told> => ({
        presignatures: packPresignatures(await third.finish(p4)),
        body: new Uint8Array(0),
      })
      return this.#keep({ abandon: third.abandon, step: last }, third.body, { sid: third.sid.slice() })
    }
    return this.#keep({ abandon, step }, body)
  }

  #keepPresignS({ body, sid, finish, abandon }: PresignS2): ToldStep {
    const step = async ({ body: p3 }: Message): Promise<Told> => {
      const { presignatures, body: p4 } = await finish(p3)
      return { presignatures: packPresignatures(presignatures), body: handOver(p4) }
    }
    return this.#keep({ abandon, step }, body, { sid: sid.slice() })
  }

  #keepMaterial(material: HeldMaterial, sid: Uint8Array, rest: Uint8Array): ToldMaterial {
    const id = this.#nextId++
    this.#materials.set(id, material)
    const { role, lEpoch, lctx, hk } = material
    return { material: id, role, lEpoch, lctx, hk: handOver(hk), sid: sid.slice(), rest: rest.slice() }
  }
}

/** A session has its copies of the shares once it is begun; one that is not begun leaves none behind either. */
const startedWith = <T>(slots: readonly PresignSlot[], start: () => Promise<T>): Promise<T> => {
  try {
    return start()
  } finally {
    for (const { share } of slots) share.fill(0)
  }
}

const resolverOf = (slots: readonly PresignSlot[]) => {
  const known = new Map(slots.map((slot) => [hexOf(slot.walletId), slot]))
  return ({ walletId }: SlotName): PresignSlot | undefined => known.get(hexOf(walletId))
}

const handedOver = (told: Told): ArrayBuffer[] => {
  if ('session' in told) return [bufferOf(told.body)]
  if ('material' in told) return [bufferOf(told.hk)]
  return [bufferOf(told.presignatures), bufferOf(told.body)]
}

/** One link of one party. */
export type CryptoWorkerData = { readonly parties: LinkParties; readonly firstId: number }
