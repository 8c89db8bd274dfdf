import { expect } from 'vitest'
import { groupOf } from '../../src/engine/curve/group.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1 } from '../../src/engine/dkls23/suite.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { typeOf } from './mutator.ts'
import { jobOf, type TwoParties, warmParties } from './two-parties.ts'

export const PAYLOAD = new Uint8Array(Buffer.from('what is signed'))
export const settled = (): Promise<void> => new Promise((wake) => setTimeout(wake, 5))

export const ALGS = [
  ['secp256k1', ALG_SECP256K1],
  ['Ed25519', ALG_ED25519],
] as const

/** Two joined parties with one wallet. */
export const oneWallet = async (alg: Alg = ALG_SECP256K1): Promise<{ two: TwoParties; id: Uint8Array }> => {
  const { two } = await warmParties(0)
  const { sid, wallets } = await two.c.generate(1, alg)
  for (const { walletId, wEpoch } of wallets) await two.storeC.activate(walletId, wEpoch)
  await two.c.acknowledge(sid)
  const id = wallets[0]?.walletId
  if (id === undefined) throw new Error('no wallet')
  return { two, id }
}

type Slot = ReturnType<TwoParties['storeC']['wallets']['get']>
export const slotsOf = (two: TwoParties, id: Uint8Array) => {
  const [c, s]: Slot[] = [two.storeC.wallets.get(hexOf(id)), two.storeS.wallets.get(hexOf(id))]
  if (c === undefined || s === undefined) throw new Error('no such wallet')
  return { c, s }
}

/** `C's epoch / S's epoch`, with `+` behind a side that holds an undecided record. */
export const epochs = (two: TwoParties, id: Uint8Array): string => {
  const { c, s } = slotsOf(two, id)
  const told = ({ record, next }: typeof c): string => `${record.wEpoch}${next === undefined ? '' : '+'}`
  return `${told(c)}/${told(s)}`
}

/** One presignature of the wallet, used. */
export const sign = async (two: TwoParties, id: Uint8Array): Promise<void> => {
  const alg = slotsOf(two, id).c.record.alg
  const isEd = alg === ALG_ED25519
  const [ready] = isEd ? await two.c.ed.presign([id]) : await two.c.presign([id])
  if (ready === undefined) throw new Error('no presignature')
  const job = jobOf(ready, PAYLOAD)
  if (isEd) await two.c.ed.sign({ ...job, message: PAYLOAD })
  else await two.c.sign(job)
}

/** Both sides hold shares of one epoch and of the key, each side's own point opens, and they sign. */
export const expectWhole = async (two: TwoParties, id: Uint8Array, epoch: number): Promise<void> => {
  await sign(two, id)
  expect(epochs(two, id)).toBe(`${epoch}/${epoch}`)
  const { c, s } = slotsOf(two, id)
  const group = groupOf(c.record.alg)
  const sum = group.addPoints([group.mulBase(c.record.share), group.mulBase(s.record.share)])
  expect(sum === undefined ? '' : hexOf(sum)).toBe(hexOf(c.record.publicKey))
  expect(hexOf(s.record.publicKey)).toBe(hexOf(c.record.publicKey))
  expect([c.record.state, s.record.state]).toEqual(['ACTIVE', 'ACTIVE'])
  expect([c.record.refreshCount, s.record.refreshCount]).toEqual([epoch, epoch])
}

/** Loses every frame of this type, in either direction. */
export const losing = (two: TwoParties, type: number): void => {
  const cutOff = <T extends Uint8Array | undefined>(frame: T): T => {
    if (frame !== undefined && typeOf(frame) === type) throw new Error('cut off')
    return frame
  }
  two.wire.toS = cutOff
  two.wire.toC = cutOff
}

export const whole = (two: TwoParties): void => {
  two.wire.toS = (frame) => frame
  two.wire.toC = (frame) => frame
  two.wire.peer = undefined
}
