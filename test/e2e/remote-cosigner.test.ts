/** A daemon and its cosigner as two processes with two vaults, over mutual TLS. */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ed25519 } from '@noble/curves/ed25519.js'
import { verifyMessage } from 'viem'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { FreezeScope, VaultParty } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newWallet, outcomeOf, refusalOf, sha256 } from './callers.ts'
import { healthOf } from './health.ts'
import { makePair, startCosigner, startPaired, type TestCosigner, type TestPair } from './start-cosigner.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let pair: TestPair
let cosigner: TestCosigner
let daemon: TestDaemon
let client: CountersignClient
let evm: Wallet
let sol: Wallet

beforeAll(async () => {
  pair = await makePair()
  cosigner = await startCosigner(pair.cosignerDir)
  daemon = await startPaired(pair, cosigner.address)
  client = connect(daemon, daemon.adminKey)
  evm = await newWallet(client, 'remote')
  sol = await newWallet(client, 'remote', '', KeyType.ED25519)
})
afterAll(async () => {
  client?.close()
  await daemon?.kill('SIGKILL')
  await cosigner?.kill('SIGKILL')
  pair?.remove()
})

const text = (value: string) => ({ case: 'text', value }) as const
const sign = (wallet: Wallet, value = 'x') => client.wallets.signMessage({ wallet: wallet.walletId, content: text(value) })

const expectBothSign = async (value: string): Promise<void> => {
  const { signature } = await sign(evm, value)
  const args = { address: evm.address, message: value, signature: signature?.hex } as Parameters<typeof verifyMessage>[0]
  expect(await verifyMessage(args)).toBe(true)
  const { signature: other } = await sign(sol, value)
  const key = new Uint8Array(Buffer.from(sol.publicKey, 'hex'))
  expect(ed25519.verify(other?.raw ?? new Uint8Array(), Buffer.from(value), key, { zip215: false })).toBe(true)
}

const until = async (what: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 40_000
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error(`it did not come to be:\n${daemon.output()}\n${cosigner.output()}`)
    await sleep(100)
  }
}
const untilServing = () => until(async () => (await healthOf(daemon)) === 'SERVING')

const restartDaemon = async (): Promise<void> => {
  client.close()
  daemon = await startPaired(pair, cosigner.address)
  client = connect(daemon, daemon.adminKey)
}

describe('a cosigner on a host of its own', () => {
  it('signs for both curves, and after new shares', async () => {
    expect((await client.admin.getStatus({})).status?.mode).toBe('split over two hosts')
    await expectBothSign('before')
    const { refreshCount } = await client.wallets.refreshShares({ wallet: sol.walletId })
    expect(refreshCount).toBe(1)
    await expectBothSign('after')
  })

  it('is missed when it is killed, and found again by itself', async () => {
    const { address } = cosigner
    await cosigner.kill('SIGKILL')
    await until(async () => (await healthOf(daemon)) === 'NOT_SERVING')
    const refusal = await refusalOf(sign(evm))
    expect(refusal).toMatchObject({ code: 'UNAVAILABLE', reason: 'COSIGNER_UNAVAILABLE' })
    cosigner = await startCosigner(pair.cosignerDir, { address, args: ['--cosigner-allow-methods', 'SignMessage,SignTypedData'] })
    await untilServing()
    await expectBothSign('again')
  })

  it('has rules of its own, and says the same of each that refuses', async () => {
    const refusal = await refusalOf(client.wallets.signDigest({ wallet: evm.walletId, digest: sha256('x') }))
    expect(refusal).toMatchObject({ reason: 'COSIGNER_REFUSED', metadata: { why: 'policy_denied' } })
    await expectBothSign('allowed')
  })

  it('has a freeze of its own, which its daemon does not lift', async () => {
    const at = ['--data-dir', pair.cosignerDir, '--everything']
    expect((await runCli(['cosigner', 'freeze', ...at])).stdout).toBe('frozen\n')
    const scope = FreezeScope.EVERYTHING
    await client.admin.freeze({ scope })
    await client.admin.unfreeze({ scope })
    expect(await refusalOf(sign(evm))).toMatchObject({ reason: 'COSIGNER_REFUSED', metadata: { why: 'policy_denied' } })
    expect((await runCli(['cosigner', 'info', '--data-dir', pair.cosignerDir])).stdout).toMatch(/joined[^]*everything +operator/)
    await runCli(['cosigner', 'unfreeze', ...at])
    await expectBothSign('thawed')
  })

  it('makes its own backups and root keys: its daemon cannot ask for them', async () => {
    const refusal = await refusalOf(client.admin.rotateVaultKey({ vault: VaultParty.COSIGNER }))
    expect(refusal.reason).toBe('COSIGNER_REFUSED')
  })

  it('takes a daemon that was killed in the middle of its work back', async () => {
    const asked = Array.from({ length: 8 }, (_, i) => outcomeOf(sign(i % 2 === 0 ? evm : sol, `m${i}`)))
    await daemon.kill('SIGKILL')
    await Promise.all(asked)
    await restartDaemon()
    await untilServing()
    await expectBothSign('still')
  })
})

describe('what is on the disks', () => {
  it('is two chains that verify, each on its own host', async () => {
    client.close()
    await daemon.kill('SIGTERM')
    await cosigner.kill('SIGTERM')
    for (const directory of [pair.daemonDir, pair.cosignerDir]) {
      const { code, stdout, stderr } = await runCli(['audit', 'verify', '--data-dir', directory])
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toContain('intact')
    }
  })
})

describe('an embedded cosigner', () => {
  it('moves to a host of its own, and what it leaves behind signs nothing', { timeout: 120_000 }, async () => {
    const base = makeDataDir()
    const [dataDir, to] = [join(base, 'data'), join(base, 'cosigner')]
    const embedded = await startDaemon({ dataDir: base, keepData: true })
    const before = connect(embedded, embedded.adminKey)
    const wallet = await newWallet(before, 'mover')
    await before.wallets.signMessage({ wallet: 'mover', content: text('x') })
    before.close()
    await embedded.kill('SIGTERM')
    const { code, stderr } = await runCli(['cosigner', 'move', '--data-dir', dataDir, '--to', to])
    expect([code, stderr]).toEqual([0, expect.stringContaining('wallet refresh --all')])
    const own = await startCosigner(to)
    const joined = await startDaemon({ dataDir: base, keepData: true, args: ['--cosigner', own.address] })
    const after = connect(joined, joined.adminKey)
    try {
      const { signature } = await after.wallets.signMessage({ wallet: 'mover', content: text('moved') })
      const args = { address: wallet.address, message: 'moved', signature: signature?.hex } as Parameters<typeof verifyMessage>[0]
      expect(await verifyMessage(args)).toBe(true)
      const refreshed = await runCli(['wallet', 'refresh', '--all', '--data-dir', dataDir])
      expect(refreshed.stdout).toBe('1 of 1 wallets have new shares\n')
    } finally {
      after.close()
      await joined.kill('SIGTERM')
      await own.kill('SIGTERM')
    }
    renameSync(join(dataDir, 'cosigner.db.moved'), join(dataDir, 'cosigner.db'))
    await using old = await startDaemon({ dataDir: base })
    expect(await healthOf(old)).toBe('NOT_SERVING')
    expect(old.output()).toContain('its vault is older than the one last seen')
  })
})
