/** A signature that hangs in one party while the wallet's shares change: it ends as nobody's fault. */
import { describe, expect, it } from 'vitest'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { endOf } from './judging.ts'
import { ALGS, epochs, expectWhole, oneWallet, PAYLOAD, slotsOf } from './refresh-scenes.ts'
import { durable, jobOf } from './two-parties.ts'

const HOOKS = ['commitIntent', 'loadWallet'] as const

describe.each(ALGS)('%s', (_, alg) => {
  it.each(HOOKS)('a signature that S has in hand (%s) while a refresh goes by', async (hook) => {
    const { two, id } = await oneWallet(alg)
    const isEd = alg === ALG_ED25519
    const [ready] = isEd ? await two.c.ed.presign([id]) : await two.c.presign([id])
    if (ready === undefined) throw new Error('no presignature')
    const gate = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const original = two.storeS[hook] as (...args: unknown[]) => Promise<unknown>
    let held = false
    Object.assign(two.storeS, {
      [hook]: async (...args: unknown[]) => {
        if (held) return original(...args)
        held = true
        const result = await original(...args)
        reached.resolve()
        await gate.promise
        return result
      },
    })
    const job = jobOf(ready, PAYLOAD)
    const signing = endOf(isEd ? two.c.ed.sign({ ...job, message: PAYLOAD }) : two.c.sign(job))
    await Promise.race([reached.promise, signing])
    two.clock.advance(6_000)
    const refreshed = await endOf(two.c.refreshes.refresh(id))
    gate.resolve()
    const end = await signing
    expect(end, `refresh ${refreshed}`).not.toMatch(/:[CD]:/)
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
    const { c, s } = slotsOf(two, id)
    expect([c.record.state, s.record.state]).toEqual(['ACTIVE', 'ACTIVE'])
    expect(refreshed).toBe('done')
    expect(epochs(two, id)).toBe('1/1')
    await expectWhole(two, id, 1)
  })
})
