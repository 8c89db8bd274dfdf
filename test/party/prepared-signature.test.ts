/** What party C works out before the intent is durable lets nothing out, outlives nothing and changes no signature. */
import { describe, expect, it } from 'vitest'
import { recoverPoint } from '../../src/engine/curve/secp256k1.ts'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { endOf } from './judging.ts'
import { typeOf } from './mutator.ts'
import { jobOf, warmParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('what is signed'))

const prepared = async () => {
  const { two, ids } = await warmParties()
  const sent: number[] = []
  const [ready, other] = await two.c.presign([ids[0], ids[0]])
  if (ready === undefined || other === undefined) throw new Error('no presignatures')
  two.wire.toS = (frame) => {
    sent.push(typeOf(frame))
    return frame
  }
  const job = jobOf(ready, payload)
  two.c.prepareSign(job)
  return { two, job, other, sent, walletId: ids[0] }
}

describe('a prepared signature', () => {
  it('sends nothing before it is asked for, and is the signature of its job', async () => {
    const { two, job, sent, walletId } = await prepared()
    await new Promise((resolve) => setImmediate(resolve))
    expect(sent).toEqual([])
    const { r, s, recid } = await two.c.signPrepared(job.presigId)
    expect(sent).toEqual([FRAME_TYPES.SIGN_REQUEST])
    const record = await two.storeC.loadWallet(walletId)
    expect(recoverPoint(r, s, recid, job.digest)).toEqual(record?.publicKey)
  })

  it('is made once, and not of a presignature that was never prepared', async () => {
    const { two, job, other } = await prepared()
    await two.c.signPrepared(job.presigId)
    expect(await endOf(two.c.signPrepared(job.presigId))).toBe('C:A:unknown_presig')
    expect(await endOf(two.c.signPrepared(other.presigId))).toBe('C:A:unknown_presig')
  })

  it.each(['discarded', 'wiped with its wallet', 'wiped with all'])('is gone with a presignature that was %s', async (how) => {
    const { two, job, sent, walletId } = await prepared()
    if (how === 'discarded') two.c.discard(job.presigId)
    else if (how === 'wiped with all') two.c.wipeSessions()
    else two.c.wipeWallet(walletId)
    expect(await endOf(two.c.signPrepared(job.presigId))).toBe('C:A:unknown_presig')
    expect(sent).toEqual([])
  })

  it('is refused when it is asked for, not before, where its digest cannot be signed', async () => {
    const { two, other } = await prepared()
    const job = { ...jobOf(other, payload), digest: new Uint8Array(32) }
    two.c.prepareSign(job)
    expect(await endOf(two.c.signPrepared(job.presigId))).toBe('C:A:policy_denied')
  })
})
