import { describe, expect, it } from 'vitest'
import { recoverPoint } from '../../src/engine/curve/secp256k1.ts'
import { jobOf, sha256, twoParties } from './two-parties.ts'

const message = Buffer.from('two parties, one signature')

describe('two parties', () => {
  it('set up a link, make wallets, presign for several at once and sign', async () => {
    const two = await twoParties()
    const [first, second] = (await two.newWallets(2)) as [Uint8Array, Uint8Array]
    const ready = await two.c.presign([first, second, first])
    expect(ready).toHaveLength(3)
    for (const one of ready) {
      const signature = await two.c.sign(jobOf(one, message))
      const record = await two.storeC.loadWallet(one.walletId)
      const recovered = recoverPoint(signature.r, signature.s, signature.recid, sha256(message))
      expect(Buffer.from(recovered ?? [])).toEqual(Buffer.from(record?.publicKey ?? []))
    }
    expect(two.c.presignatureCount).toBe(0)
    expect(two.s.presignatureCount).toBe(0)
  })
})
