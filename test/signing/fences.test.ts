import { describe, expect, it } from 'vitest'
import { type FenceKey, Fences } from '../../src/signing/fences.ts'

const wallet: FenceKey = { scope: 'wallet', id: 'wal_1' }
const all: FenceKey = { scope: 'all', id: '*' }

describe('fences', () => {
  it('refuses entry behind a raised fence and lets others pass', async () => {
    const fences = new Fences()
    await fences.raise(wallet)
    expect(() => fences.enter([all, wallet])).toThrow(expect.objectContaining({ reason: 'FROZEN', facts: wallet }))
    fences.enter([all, { scope: 'wallet', id: 'wal_2' }]).check()
    fences.lower(wallet)
    fences.enter([all, wallet]).check()
  })

  it('stops at its release what was in flight when the fence rose', async () => {
    const fences = new Fences()
    const passage = fences.enter([all, wallet])
    const raised = fences.raise(all)
    expect(() => passage.check()).toThrow(expect.objectContaining({ reason: 'FROZEN', facts: all }))
    passage.leave()
    await raised
  })

  it('waits for work in flight behind it, and only for that', async () => {
    const fences = new Fences()
    const passage = fences.enter([wallet])
    fences.enter([{ scope: 'wallet', id: 'wal_2' }])
    let done = false
    const raised = fences.raise(wallet).then(() => (done = true))
    await new Promise((next) => setTimeout(next, 20))
    expect(done).toBe(false)
    passage.leave()
    await raised
    expect(done).toBe(true)
  })

  it('is raised from the start by what was durable', () => {
    const fences = new Fences([all])
    expect(() => fences.enter([all])).toThrow(expect.objectContaining({ reason: 'FROZEN' }))
  })

  it('stays up for a freeze that is placed while a change holds it, and for a change while a freeze is lifted', async () => {
    const fences = new Fences()
    const entering = () => fences.enter([wallet]).leave()
    await expect(
      fences.during(wallet, async () => {
        await fences.raise(wallet)
        throw new Error('the change fails')
      }),
    ).rejects.toThrow('the change fails')
    expect(entering).toThrow(expect.objectContaining({ reason: 'FROZEN' }))
    await fences.during(wallet, async () => {
      fences.lower(wallet)
      expect(entering).toThrow(expect.objectContaining({ reason: 'FROZEN' }))
    })
    expect(entering).not.toThrow()
  })

  it('keeps stopped what was in flight when it rose', async () => {
    const fences = new Fences()
    const passage = fences.enter([all, wallet])
    const raised = fences.raise(wallet)
    fences.lower(wallet)
    fences.enter([all, wallet]).check()
    expect(() => passage.check()).toThrow(expect.objectContaining({ reason: 'FROZEN', facts: wallet }))
    passage.leave()
    await raised
  })

  it('changes one subject in turn, and another beside it', async () => {
    const fences = new Fences()
    const order: string[] = []
    const slow = fences.inTurn(wallet, async () => {
      await new Promise((next) => setTimeout(next, 10))
      order.push('first')
    })
    const next = fences.inTurn(wallet, async () => order.push('second'))
    await fences.inTurn(all, async () => order.push('beside'))
    await Promise.all([slow, next])
    expect(order).toEqual(['beside', 'first', 'second'])
  })
})
