/** One frame of an honest run seen or damaged on its way between two parties. */
import { endOf, refusalIn } from './judging.ts'
import { type Case, typeOf } from './mutator.ts'
import { keepHealing, type TwoParties } from './two-parties.ts'

/** Puts both links back, as `keepHealing`, and the wallet to ACTIVE. */
export const keepHealingWallet = (two: TwoParties, wallet: Uint8Array): (() => Promise<void>) => {
  const healLinks = keepHealing(two)
  return async () => {
    await healLinks()
    for (const store of [two.storeC, two.storeS]) await store.setWalletState(wallet, 'ACTIVE', '')
  }
}

/** The first frame of this type that `run` puts on the wire, which is the caller's to put back. */
export const sampleFrame = async (two: TwoParties, type: number, run: () => Promise<unknown>): Promise<Uint8Array> => {
  let sample: Uint8Array | undefined
  const see = <T extends Uint8Array | undefined>(frame: T): T => {
    if (frame !== undefined && typeOf(frame) === type) sample ??= frame.slice()
    return frame
  }
  two.wire.toS = see
  two.wire.toC = see
  await run()
  if (sample === undefined) throw new Error('no such frame')
  return sample
}

/** `run` with the first frame of this type bent: what C ended with or made, and how S refused the bent frame. */
export const runBent = async (two: TwoParties, type: number, bend: Case['bend'], run: () => Promise<unknown>) => {
  let [bent, toS] = [false, false]
  let answer: Uint8Array | undefined
  const once = (frame: Uint8Array): Uint8Array => {
    if (bent || typeOf(frame) !== type) return frame
    bent = true
    return bend(frame)
  }
  two.wire.toS = (frame) => {
    const was = bent
    const sent = once(frame)
    toS = bent && !was
    return sent
  }
  two.wire.toC = (frame) => {
    if (toS) answer = frame
    toS = false
    return frame === undefined ? frame : once(frame)
  }
  let made: unknown
  const end = await endOf(run().then((result) => (made = result)))
  return { end, code: refusalIn(answer)?.code, made }
}
