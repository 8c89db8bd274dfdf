/** T14 as an honest C meets it: its first answer was lost, and it asks again with another presignature. */
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { jobOf, twoParties, warmParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('once'))
const reqId = new Uint8Array(randomBytes(16))

it('ECDSA: the signature that S made before is good to C, and nothing is suspended', async () => {
  const { two, ids } = await warmParties(1)
  const [a, b] = await two.c.presign([ids[0], ids[0]])
  const first = await two.c.sign(jobOf(a!, payload, reqId))
  expect(await two.c.sign(jobOf(b!, payload, reqId))).toEqual(first)
  expect(two.storeC.wallets.values().next().value?.record.state).toBe('ACTIVE')
})

it('Ed25519: the same', async () => {
  const two = await twoParties()
  const { sid, wallets } = await two.c.generate(1, ALG_ED25519)
  const { walletId, wEpoch } = wallets[0]!
  await two.storeC.activate(walletId, wEpoch)
  await two.c.acknowledge(sid)
  const [a, b] = await two.c.ed.presign([walletId, walletId])
  const job = { walletId, reqId, payload, message: payload }
  const first = await two.c.ed.sign({ ...job, presigId: a!.presigId })
  expect(await two.c.ed.sign({ ...job, presigId: b!.presigId })).toEqual(first)
})
