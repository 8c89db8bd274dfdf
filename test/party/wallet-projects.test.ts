/** Which project a wallet is of, whatever its daemon says of it later. */
import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import { encodeSigningPayload } from '../../src/payload/signing-payload.ts'
import { projectOfWallet } from '../../src/party/wallet-projects.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { claimOf, newDevice, ownedWallets, whyNoSecret } from './owned-wallets.ts'

type Scene = Awaited<ReturnType<typeof ownedWallets>>
let scene: Scene
beforeEach(async () => {
  scene = await ownedWallets()
})

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

/** A request as the cosigner records it, by a daemon that says which project it is for. */
const intentFor = (walletId: Uint8Array, project: string) => ({
  walletId,
  wEpoch: 0,
  presigId: random(16),
  noncePoint: random(33),
  reqId: random(16),
  digest: random(32),
  requestKey: random(32),
  summary: 'a message',
  payload: encodeSigningPayload({
    projectId: project as ProjectId,
    walletId: walletIdFromBytes(walletId),
    method: 'SignMessage',
    content: { kind: 'message', message: Buffer.from('x') },
  }),
})
const sign = (walletId: Uint8Array, project: string) => scene.store.commitIntent(intentFor(walletId, project))
const freezeProject = (id: string) =>
  scene.vault.commit((tx) => addFreeze(tx, { scope: 'project', id, reason: '', actor: { kind: 'daemon', id: '' }, createMs: 1 }))
const denials = (): unknown[] =>
  scene.vault.read.all<{ reason: string }>("SELECT reason FROM audit WHERE kind = 'sign.denied' ORDER BY sequence").map(({ reason }) => reason)

const newWallet = async (project: string): Promise<Uint8Array> => {
  const { wallet, decide } = await scene.begin()
  await scene.desk.claimForProject({ walletId: wallet.walletId, project })
  await decide()
  return wallet.walletId
}

describe('a wallet of a project', () => {
  it('signs for that project alone, so a freeze of it holds under every other name', async () => {
    const walletId = await newWallet('alpha')
    expect(await sign(walletId, 'alpha')).toBe('committed')
    expect(await sign(walletId, 'beta')).toBe('denied')
    await freezeProject('alpha')
    expect(await sign(walletId, 'alpha')).toBe('denied')
    expect(await sign(walletId, 'beta')).toBe('denied')
    expect(denials()).toEqual(['project', 'frozen', 'project'])
    expect(scene.store.admits(intentFor(walletId, 'beta'))).toBe(false)
  })

  it('has its shares changed by no refresh while the project is frozen', async () => {
    const walletId = await newWallet('alpha')
    const other = await newWallet('beta')
    await freezeProject('alpha')
    expect([scene.store.mayRefresh(walletId), scene.store.mayRefresh(other)]).toEqual([false, true])
  })

  it('is claimed once, while it is being made', async () => {
    const { wallet, decide } = await scene.begin()
    const claim = (project: string) => scene.desk.claimForProject({ walletId: wallet.walletId, project })
    await claim('alpha')
    await claim('alpha')
    expect(await whyNoSecret(claim('beta'))).toContain('another owner')
    expect(await whyNoSecret(scene.desk.claimWallet(claimOf(wallet.walletId, 'anna', newDevice())))).toContain('another owner')
    await decide()
    expect(await whyNoSecret(claim('alpha'))).toContain('not being made')
    expect(projectOfWallet(scene.vault.read, wallet.walletId)).toBe('alpha')
  })

  it("of an end user's is theirs with the project that they are of", async () => {
    const { walletId } = await scene.create('anna', newDevice())
    expect(await sign(walletId, 'other')).toBe('denied')
    expect(await sign(walletId, 'default')).toBe('committed')
  })

  it('made before the cosigner noted it is bound by its first signature, and stays so across a restart', async () => {
    const { walletId } = await scene.create()
    expect(projectOfWallet(scene.vault.read, walletId)).toBeUndefined()
    expect(await sign(walletId, 'alpha')).toBe('committed')
    await scene.restart()
    expect(await sign(walletId, 'beta')).toBe('denied')
    expect(await sign(walletId, 'alpha')).toBe('committed')
  })
})
