/**
 * The steps of session-engine.ts computed in a crypto worker. Until the worker is up they are computed here, so that
 * nobody waits for it; material that was made here moves over with the next session that begins. Frames' bodies and
 * secrets are handed over both ways.
 */
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { adoptBody, type SessionMessage } from '../engine/dkls23/frame.ts'
import { type LinkMaterial, wipeLinkMaterial } from '../engine/dkls23/link-material.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { decodeP1 } from '../engine/dkls23/presign-plan.ts'
import { secretBytes } from '../engine/hash/encoding.ts'
import { CryptoWorkerGone, type CryptoThread } from './crypto-thread.ts'
import { inThreadSessionsOfC, inThreadSessionsOfS } from './in-thread-sessions.ts'
import { hexOf } from './presignature-map.ts'
import {
  bufferOf,
  handOver,
  packMaterial,
  packSlots,
  type ToldMaterial,
  type ToldPresignatures,
  type ToldStep,
  unpackPresignatures,
} from './session-calls.ts'
import type {
  FinishedSetupC,
  FinishedSetupS,
  HeldMaterial,
  PresignS2,
  SessionsOfC,
  SessionsOfS,
  SetupC1,
  SetupS2,
} from './session-engine.ts'

/** Where a material's secrets are: in this thread, or in the worker under the number that it gave them. */
type Place = { readonly whole: LinkMaterial } | { readonly id: number } | Moving
/** On its way there. */
type Moving = { isWiped: boolean }

class Materials {
  readonly #places = new WeakMap<HeldMaterial, Place>()
  readonly #thread: CryptoThread

  constructor(thread: CryptoThread) {
    this.#thread = thread
  }

  /** Of a set-up in the worker. */
  keep({ material, role, lEpoch, lctx, hk }: ToldMaterial): HeldMaterial {
    const held = { role, lEpoch, lctx, hk }
    this.#places.set(held, { id: material })
    return held
  }

  /** Of a set-up in this thread. */
  keepWhole<T extends FinishedSetupC | FinishedSetupS>(finished: T): T {
    const whole = finished.material as LinkMaterial
    const { role, lEpoch, lctx } = whole
    const hk = secretBytes(whole.hk.length)
    hk.set(whole.hk)
    const held: HeldMaterial = { role, lEpoch, lctx, hk }
    this.#places.set(held, { whole })
    return { ...finished, material: held }
  }

  /** The material, where it is to be worked with in this thread. */
  here(held: HeldMaterial): LinkMaterial | undefined {
    const place = this.#places.get(held)
    return place !== undefined && 'whole' in place && !this.#thread.isReady ? place.whole : undefined
  }

  /** Its number in the worker, which it moves to if it is not there. @throws CryptoWorkerGone */
  async there(held: HeldMaterial): Promise<number> {
    const place = this.#places.get(held)
    if (place !== undefined && 'id' in place) return place.id
    if (place === undefined || 'isWiped' in place) throw new CryptoWorkerGone()
    const packed = packMaterial(place.whole)
    wipeLinkMaterial(place.whole)
    const moving: Moving = { isWiped: false }
    this.#places.set(held, moving)
    const adopting = this.#thread.call({ op: 'adopt', packed }, [bufferOf(packed)])
    const { material } = (await orWipe(adopting, packed)) as ToldMaterial
    if (moving.isWiped) this.#thread.note({ op: 'wipeMaterial', material })
    else this.#places.set(held, { id: material })
    return material
  }

  readonly wipe = (held: HeldMaterial): void => {
    held.hk.fill(0)
    const place = this.#places.get(held)
    this.#places.delete(held)
    if (place === undefined) return
    if ('whole' in place) wipeLinkMaterial(place.whole)
    else if ('isWiped' in place) place.isWiped = true
    else this.#thread.note({ op: 'wipeMaterial', material: place.id })
  }
}

/** Gives one message to a session; the memory of a large body goes along. */
const give = (thread: CryptoThread, session: number, sid: Uint8Array, given: Uint8Array) => {
  const body = handOver(given)
  return thread.call({ op: 'step', session, message: { sid: sid.slice(), body } }, [bufferOf(body)])
}

const NONE = new Uint8Array(0)
const copyOf = ({ sid, body }: SessionMessage) => ({ sid: sid.slice(), body: body.slice() })
const replacedBy = (materials: Materials, held: HeldMaterial | undefined): Promise<number> | undefined =>
  held === undefined ? undefined : materials.there(held)

export const workerSessionsOfC = (thread: CryptoThread, link: LinkParties, entropy: Entropy): SessionsOfC => {
  const here = inThreadSessionsOfC(link, entropy)
  const materials = new Materials(thread)
  const abandon = (session: number) => (): void => thread.note({ op: 'abandon', session })
  return {
    wipeMaterial: materials.wipe,
    startSetup: async (inputs) => {
      if (!thread.isReady) return setUpHere(await here.startSetup(inputs), materials)
      const { lEpoch, reason } = inputs
      const replaces = await replacedBy(materials, inputs.replaces)
      const first = (await thread.call({ op: 'startSetupC', lEpoch, reason, replaces })) as ToldStep
      return {
        body: first.body,
        abandon: abandon(first.session),
        advance: async (l2) => {
          const third = (await give(thread, first.session, l2.sid, l2.body)) as ToldStep
          return {
            body: adoptBody(third.body),
            abandon: abandon(third.session),
            finish: async (l4) => {
              const told = (await give(thread, third.session, NONE, l4)) as ToldMaterial
              return { material: materials.keep(told), confC: told.rest, sid: told.sid }
            },
          }
        },
      }
    },
    startPresign: async (held, wanted) => {
      const whole = materials.here(held)
      if (whole !== undefined) return here.startPresign(whole, wanted)
      const slots = packSlots(wanted === 'self-test' ? [] : wanted)
      const material = await orWipe(materials.there(held), slots)
      const call = { op: 'startPresignC', material, slots } as const
      const first = (await orWipe(thread.call(call, [bufferOf(slots)]), slots)) as ToldStep
      return {
        body: first.body,
        abandon: abandon(first.session),
        advance: async (p2) => {
          const third = (await give(thread, first.session, p2.sid, p2.body)) as ToldStep
          return {
            body: adoptBody(third.body),
            sid: third.sid ?? NONE,
            abandon: abandon(third.session),
            finish: async (p4) => {
              const told = (await give(thread, third.session, NONE, p4)) as ToldPresignatures
              return unpackPresignatures(told.presignatures)
            },
          }
        },
      }
    },
  }
}

export const workerSessionsOfS = (thread: CryptoThread, link: LinkParties, entropy: Entropy): SessionsOfS => {
  const here = inThreadSessionsOfS(link, entropy)
  const materials = new Materials(thread)
  const abandon = (session: number) => (): void => thread.note({ op: 'abandon', session })
  const openPresign = (told: ToldStep): PresignS2 => ({
    body: adoptBody(told.body),
    sid: told.sid ?? NONE,
    abandon: abandon(told.session),
    finish: async (p3) => {
      const last = (await give(thread, told.session, NONE, p3)) as ToldPresignatures
      return { presignatures: unpackPresignatures(last.presignatures), body: adoptBody(last.body) }
    },
  })
  return {
    wipeMaterial: materials.wipe,
    startSetup: async (inputs, l1) => {
      if (!thread.isReady) return answerSetUpHere(await here.startSetup(inputs, l1), materials)
      const message = { ...copyOf(l1), lEpoch: l1.lEpoch }
      const replaces = await replacedBy(materials, inputs.replaces)
      const call = { op: 'startSetupS', ownLEpoch: inputs.ownLEpoch, replaces, message } as const
      const second = (await thread.call(call)) as ToldStep
      return {
        body: second.body,
        sid: second.sid ?? NONE,
        reason: second.reason ?? 'first',
        abandon: abandon(second.session),
        advance: async (l3) => {
          const fourth = (await give(thread, second.session, NONE, l3)) as ToldStep
          return {
            body: adoptBody(fourth.body),
            abandon: abandon(fourth.session),
            finish: async (l5) => {
              const told = (await give(thread, fourth.session, NONE, l5)) as ToldMaterial
              return { material: materials.keep(told), p1: told.rest }
            },
          }
        },
      }
    },
    startPresign: async (held, resolve, p1) => {
      const whole = materials.here(held)
      if (whole !== undefined) return here.startPresign(whole, resolve, p1)
      const names = new Map(decodeP1(p1).names.map((name) => [hexOf(name.walletId), name]))
      const slots = packSlots([...names.values()].flatMap((name) => resolve(name) ?? []))
      const message = copyOf(p1)
      const material = await orWipe(materials.there(held), slots)
      const call = { op: 'startPresignS', material, slots, message } as const
      return openPresign((await orWipe(thread.call(call, [bufferOf(slots)]), slots)) as ToldStep)
    },
    startSelfTest: async (held, p1) => {
      const whole = materials.here(held)
      if (whole !== undefined) return here.startSelfTest(whole, p1)
      const body = p1.slice()
      const call = { op: 'startSelfTestS', material: await materials.there(held), body } as const
      return openPresign((await thread.call(call)) as ToldStep)
    },
  }
}

/** The packed secrets are overwritten where they are not handed over after all. */
const orWipe = async <T>(work: Promise<T>, packed: Uint8Array): Promise<T> => {
  try {
    return await work
  } catch (error) {
    // What was handed over is not in this thread any more.
    if (packed.length > 0) packed.fill(0)
    throw error
  }
}

const setUpHere = (first: SetupC1, materials: Materials): SetupC1 => ({
  ...first,
  advance: async (l2) => {
    const third = await first.advance(l2)
    return { ...third, finish: async (l4) => materials.keepWhole(await third.finish(l4)) }
  },
})

const answerSetUpHere = (second: SetupS2, materials: Materials): SetupS2 => ({
  ...second,
  advance: async (l3) => {
    const fourth = await second.advance(l3)
    return { ...fourth, finish: async (l5) => materials.keepWhole(await fourth.finish(l5)) }
  },
})
