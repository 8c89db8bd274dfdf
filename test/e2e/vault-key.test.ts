/** Root keys replaced under a daemon that goes on signing, and one that is killed meanwhile. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { VaultParty } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newWallet, outcomeOf } from './callers.ts'
import { signAs } from './signing-calls.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const base = makeDataDir()
let daemon: TestDaemon
let client: CountersignClient
let evm: Wallet
let sol: Wallet

const signs = (by: CountersignClient, wallet: string) => outcomeOf(signAs('SignMessage text', by, { wallet }))

const start = async (args: readonly string[] = []): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args })
  client = connect(daemon, daemon.adminKey)
}
const end = async (signal: NodeJS.Signals): Promise<void> => {
  client.close()
  await daemon.kill(signal)
}

beforeAll(async () => {
  await start()
  evm = await newWallet(client, 'e', '', KeyType.SECP256K1)
  sol = await newWallet(client, 's', '', KeyType.ED25519)
})
afterAll(async () => {
  await end('SIGKILL')
  rmSync(base, { recursive: true, force: true })
})

describe('a new root key', () => {
  it.each([
    ['daemon', VaultParty.DAEMON, 'root.key'],
    ['cosigner', VaultParty.COSIGNER, 'cosigner-root.key'],
  ] as const)('of the %s is made while it signs, and the old one opens nothing', async (name, vault, file) => {
    const path = join(base, 'data', file)
    const old = readFileSync(path)
    const ending = new AbortController()
    const outcomes = new Set<string>()
    const load = Promise.all(
      [evm.walletId, evm.walletId, ''].map(async (wallet) => {
        while (!ending.signal.aborted) outcomes.add(await (wallet === '' ? outcomeOf(newWallet(client)) : signs(client, wallet)))
      }),
    )
    const rotated = await client.admin.rotateVaultKey({ vault })
    expect(rotated.provider).toBe(`file:${path}`)
    expect(Number(rotated.shareCount)).toBeGreaterThanOrEqual(2)
    ending.abort()
    await load
    expect([...outcomes]).toEqual(['signed'])
    expect(readFileSync(path).equals(old)).toBe(false)
    expect(existsSync(`${path}.next`)).toBe(false)
    expect(await signs(client, evm.walletId)).toBe('signed')
    const { status } = await client.admin.getStatus({})
    expect(status?.cosignerAvailable).toBe(true)
    await end('SIGTERM')
    const fresh = readFileSync(path)
    writeFileSync(path, old)
    const withOld = await startDaemon({ dataDir: base, keepData: true }).then(
      async (started) => {
        const caller = connect(started, started.adminKey)
        const outcome = await signs(caller, evm.walletId)
        caller.close()
        await started.kill('SIGTERM')
        return outcome
      },
      (error: unknown) => /ROOT_KEY_WRONG/.exec(String(error))?.[0] ?? String(error),
    )
    expect(withOld).toBe(name === 'daemon' ? 'ROOT_KEY_WRONG' : 'COSIGNER_UNAVAILABLE')
    writeFileSync(path, fresh)
    await start()
    expect(await signs(client, evm.walletId)).toBe('signed')
  })

  it.each([VaultParty.DAEMON, VaultParty.COSIGNER])('is there, or the old one is, when the daemon is killed meanwhile (%i)', async (vault) => {
    for (const delayMs of [0, 5, 20]) {
      const cut = outcomeOf(client.admin.rotateVaultKey({ vault }))
      await sleep(delayMs)
      await end('SIGKILL')
      await cut
      await start()
      for (const { walletId } of [evm, sol]) expect(await signs(client, walletId), `${delayMs} ms`).toBe('signed')
    }
  })

  it('of another provider is moved to with the daemon stopped', async () => {
    await end('SIGTERM')
    const to = join(base, 'elsewhere.key')
    const moved = await runCli(['vault-key', 'move', 'cosigner', '--data-dir', join(base, 'data'), '--to', `file:${to}`])
    expect(moved).toMatchObject({ code: 0 })
    await start(['--cosigner-root-key', `file:${to}`])
    expect(await signs(client, evm.walletId)).toBe('signed')
  })
})
