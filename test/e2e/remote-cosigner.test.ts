/** A daemon and its cosigner as two processes with two vaults, over mutual TLS. */
import { readFileSync, renameSync } from 'node:fs'
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
import { fresh } from './fresh.ts'
import { healthOf } from './health.ts'
import { type TestTransaction, transactions } from './transactions.ts'
import { makePair, startCosigner, startPaired, type TestCosigner, type TestPair } from './start-cosigner.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

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

/** None that counts: what is asked for needs none. */
const ZERO = new Uint8Array(32)
const NO_AUTHORIZATION = { chainId: 1n, address: `0x${'00'.repeat(20)}`, nonce: 0n, yParity: 0, r: ZERO, s: ZERO } as const

const typedDataIn = (domain: object): string =>
  JSON.stringify({
    types: {
      EIP712Domain: [{ name: 'name', type: 'string' }, ...('chainId' in domain ? [{ name: 'chainId', type: 'uint256' }] : [])],
      Note: [{ name: 'text', type: 'string' }],
    },
    primaryType: 'Note',
    domain,
    message: { text: 'x' },
  })

const until = async (what: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 40_000
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error(`it did not come to be:\n${daemon.output()}\n${cosigner.output()}`)
    await sleep(100)
  }
}

const measured = async (): Promise<string> => {
  const { metrics } = JSON.parse(readFileSync(join(pair.cosignerDir, 'endpoints.json'), 'utf8')) as { metrics: string }
  return (await fetch(`http://${metrics}/metrics`)).text()
}
const valueIn = (text: string, name: string): number =>
  Number(text.split('\n').find((line) => line.startsWith(`countersign_cosigner_${name} `))?.split(' ')[1])
const deniedBy = async (...rules: readonly string[]): Promise<readonly number[]> => {
  const text = await measured()
  return rules.map((rule) => valueIn(text, `denied{rule="${rule}"}`) || 0)
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
    const rules = ['--cosigner-allow-methods', 'SignMessage,SignTypedData,SignTransaction', '--cosigner-allow-chains', 'eip155:11155111']
    const rates = ['--cosigner-max-per-minute-wallet', '30', '--metrics-listen', '127.0.0.1:0']
    cosigner = await startCosigner(pair.cosignerDir, { address, args: [...rules, ...rates] })
    await untilServing()
    await expectBothSign('again')
  })

  it('has rules of its own, and says the same of each that refuses', async () => {
    const wallet = evm.walletId
    const { fields } = transactions(NO_AUTHORIZATION)['EIP-1559'] as TestTransaction
    const onChain = (chainId: bigint) => client.wallets.signTransaction({ wallet, transaction: { case: 'evm', value: { ...fields, chainId } } })
    const typed = (domain: object) => client.wallets.signTypedData({ wallet, typedDataJson: typedDataIn(domain) })
    const refused = [
      () => client.wallets.signDigest({ wallet, digest: sha256('x') }),
      () => client.wallets.signMessage({ wallet, content: { case: 'data', value: sha256('x') }, isFormatted: true }),
      () => onChain(1n),
      () => typed({ name: 'x', chainId: 1 }),
      () => typed({ name: 'x' }),
    ]
    const before = await deniedBy('chain', 'operation')
    for (const work of refused) {
      expect(await refusalOf(work())).toMatchObject({ reason: 'COSIGNER_REFUSED', metadata: { why: 'policy_denied' } })
    }
    const after = await deniedBy('chain', 'operation')
    expect(after.map((count, at) => count - (before[at] ?? 0))).toEqual([3, 2])
    expect((await onChain(11155111n)).transactionHash).toMatch(/^0x/)
    expect((await typed({ name: 'x', chainId: 11155111 })).digest).toHaveLength(32)
    await expectBothSign('allowed')
  })

  it('counts what it signs in a minute, for each wallet', async () => {
    const busy = await newWallet(client, fresh('busy'))
    const outcomes = await Promise.all(Array.from({ length: 34 }, (_, i) => outcomeOf(sign(busy, `m${i}`))))
    expect(outcomes.filter((outcome) => outcome === 'signed')).toHaveLength(30)
    expect(await refusalOf(sign(busy))).toMatchObject({ reason: 'COSIGNER_REFUSED' })
    await expectBothSign('of others')
  })

  it('is measured, by nobody else than who may', async () => {
    const text = await measured()
    const value = (name: string): number => valueIn(text, name)
    expect([value('joined'), value('vault_open'), value('links{state="ACTIVE"}')]).toEqual([1, 1, 2])
    expect(value('denied{rule="wallet_rate"}')).toBeGreaterThanOrEqual(5)
    expect(value('signed')).toBeGreaterThanOrEqual(36)
    expect(text).not.toContain(evm.walletId)
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
