/** T14 as an honest C meets it: its first answer was lost, and it asks again with another presignature. */
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { endOf } from './judging.ts'
import { jobOf, type TwoParties, twoParties, warmParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('once'))
const reqId = new Uint8Array(randomBytes(16))

/** Signs `payload` under the one reqId, each time with another presignature. */
const KINDS: readonly (readonly [string, () => Promise<{ two: TwoParties; sign: () => Promise<unknown> }>])[] = [
  ['ECDSA', async () => {
    const { two, ids } = await warmParties(1)
    const ready = [...(await two.c.presign([ids[0], ids[0]]))]
    return { two, sign: () => two.c.sign(jobOf(ready.shift()!, payload, reqId)) }
  }],
  ['Ed25519', async () => {
    const two = await twoParties()
    const { sid, wallets } = await two.c.generate(1, ALG_ED25519)
    const { walletId, wEpoch } = wallets[0]!
    await two.storeC.activate(walletId, wEpoch)
    await two.c.acknowledge(sid)
    const ready = [...(await two.c.ed.presign([walletId, walletId]))]
    return { two, sign: () => two.c.ed.sign({ walletId, reqId, payload, message: payload, presigId: ready.shift()!.presigId }) }
  }],
]

it.each(KINDS)('%s: the signature that S made before is good to C, and nothing is suspended', async (_, open) => {
  const { two, sign } = await open()
  const first = await sign()
  expect(await sign()).toEqual(first)
  expect(two.storeC.wallets.values().next().value?.record.state).toBe('ACTIVE')
})

it.each(KINDS)('%s: while S answers it, it is answered once, also before its intent is on disk', async (_, open) => {
  const { two, sign } = await open()
  const { commitIntent } = two.storeS
  const disk = Promise.withResolvers<void>()
  Object.assign(two.storeS, {
    commitIntent: async (intent: Parameters<typeof commitIntent>[0]) => {
      await disk.promise
      return commitIntent(intent)
    },
  })
  const first = sign()
  expect(await endOf(sign())).toBe('S:A:busy')
  disk.resolve()
  await expect(first).resolves.toBeDefined()
})
