/** Streams between a daemon and its cosigner that break, and what both keep. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import { type RemoteScene, remoteScene } from './remote-scene.ts'

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

let scene: RemoteScene
let wallet: Uint8Array
beforeAll(async () => {
  scene = await remoteScene()
  wallet = await scene.newWallet()
  await filled()
})
afterAll(() => scene.close())

const KEY = 'secp256k1' as const
const filled = () => scene.engine.warmPool({ walletId: wallet, keyType: KEY }, 8, AbortSignal.timeout(20_000))
const reasonOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'done'
  } catch (error) {
    if (isFailure(error)) return error.reason
    throw error
  }
}
const until = (what: () => boolean) => vi.waitFor(() => expect(what()).toBe(true), { timeout: 20_000, interval: 10 })
const threads = () => scene.engine.status().then(({ signer, cosigner }) => [signer?.[0]?.lEpoch, cosigner?.links[0]?.lEpoch])

describe('a stream that breaks', () => {
  it('costs neither party its material or its presignatures', async () => {
    const before = [await threads(), scene.engine.presignatureCount]
    const renew = vi.spyOn(scene.served.host, 'renew')
    const ready = await scene.engine.takePresignature({ walletId: wallet, keyType: KEY }, AbortSignal.timeout(5_000))
    scene.proxy.cut()
    await until(() => scene.availability.at(-1) === 'here' && scene.availability.length >= 3)
    expect(await threads()).toEqual(before[0])
    expect(renew).not.toHaveBeenCalled()
    renew.mockRestore()
    // One that was taken before it broke still signs.
    expect(scene.engine.presignatureCount).toBeGreaterThanOrEqual(7)
    scene.engine.discardPresignature(ready.presigId)
    await scene.sign(wallet)
  })

  it('refuses while the cosigner cannot be reached, and is taken up again by itself', async () => {
    const count = scene.availability.length
    scene.proxy.part()
    await until(() => scene.availability.length > count)
    expect(scene.engine.available).toBe(false)
    expect(await reasonOf(scene.sign(wallet))).toBe('COSIGNER_UNAVAILABLE')
    expect(await reasonOf(scene.newWallet())).toBe('COSIGNER_UNAVAILABLE')
    expect((await scene.engine.status()).available).toBe(false)
    scene.proxy.mend()
    await until(() => scene.engine.available)
    await scene.sign(wallet)
  })

  it('with signatures under way releases each at most once, and none is lost for good', async () => {
    await filled()
    const signing = Array.from({ length: 6 }, (_, i) => reasonOf(scene.sign(wallet, `m${i}`)))
    setTimeout(() => scene.proxy.cut(), 2)
    for (const outcome of await Promise.all(signing)) expect(['done', 'COSIGNER_UNAVAILABLE']).toContain(outcome)
    await until(() => scene.engine.available)
    await scene.sign(wallet)
    expect(scene.alerts).toEqual([])
  })

  it('many times over is taken up each time', async () => {
    for (let i = 0; i < 10; i++) {
      const count = scene.availability.length
      scene.proxy.cut()
      await until(() => scene.availability.length >= count + 2 && scene.engine.available)
      await scene.sign(wallet, `turn ${i}`)
    }
    expect(scene.served.told.filter((line) => line.startsWith('misspoke'))).toEqual([])
  })

  it('brings what was frozen meanwhile to the cosigner before anything is signed', async () => {
    const { addFreeze, removeFreeze } = await import('../../src/vault/freezes.ts')
    const { vault } = scene.vaults
    const subject = { scope: 'all', id: '' } as const
    const freeze = { ...subject, reason: '', actor: { kind: 'operator', id: '' } as const, createMs: Date.now() }
    const count = scene.availability.length
    scene.proxy.part()
    await until(() => scene.availability.length > count)
    await vault.commit((tx) => addFreeze(tx, freeze))
    await scene.engine.freezeCosigner(freeze)
    scene.proxy.mend()
    await until(() => scene.engine.available)
    expect(await reasonOf(scene.sign(wallet))).toBe('COSIGNER_REFUSED')
    await vault.commit((tx) => removeFreeze(tx, subject))
    await scene.engine.unfreezeCosigner(subject)
    await scene.sign(wallet)
  })

  it('to a cosigner that has started anew opens both parties anew', async () => {
    await scene.restartHost()
    await until(() => !scene.engine.available)
    await vi.waitFor(async () => {
      await scene.engine.start()
      expect(scene.engine.available).toBe(true)
    }, { timeout: 20_000, interval: 100 })
    await scene.sign(wallet)
  })
})

describe('a stream that is old', () => {
  it('gives way to another without anybody noticing', async () => {
    await scene.restartHost({ maxStreamMs: 150 })
    await vi.waitFor(async () => {
      await scene.engine.start()
      expect(scene.engine.available).toBe(true)
    }, { timeout: 20_000, interval: 100 })
    const count = scene.availability.length
    const joined = (): number => scene.served.told.filter((line) => line.startsWith('joined')).length
    const from = joined()
    for (let turn = 0; joined() < from + 4; turn++) await scene.sign(wallet, `while it moves ${turn}`)
    expect(scene.availability.length).toBe(count)
  })
})
