/** `cosigner move`, cut off after every step and run again. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type AfterStep, moveCosigner } from '../../src/commands/cosigner-move.ts'
import { serveCosigner } from '../../src/commands/cosigner-serve.ts'
import { initialise } from '../../src/commands/init.ts'
import { rootKeyProviders } from '../../src/commands/root-keys.ts'
import { cosignerOf } from '../../src/commands/wire-cosigner.ts'
import { type Flags, loadConfig } from '../../src/config/load-config.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { loadIdentity } from '../../src/party/remote/identity-files.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { engineOver } from '../party/remote-scene.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const base = mkdtempSync(join(tmpdir(), 'countersign-move-'))
const [dataDir, to] = [join(base, 'data'), join(base, 'cosigner')]
const FLAGS: Flags = { 'data-dir': dataDir }
const terminal = { print: () => undefined, note: () => undefined, stop: AbortSignal.abort(), isInteractive: false }
const STEPS = ['copied', 'rekeyed', 'channels', 'named', 'aside', 'channel'] as const satisfies Parameters<AfterStep>[0][]

const openEngine = async (flags: Flags) => {
  const { config, secrets } = loadConfig({ ...FLAGS, ...flags })
  const provider = rootKeyProviders(config, secrets).daemon
  const vault = await openDaemonVault({ path: join(dataDir, 'vault.db'), provider, nowMs: Date.now() })
  const over = await engineOver(vault, cosignerOf(config, secrets, undefined))
  const close = async (): Promise<void> => {
    await over.engine.stop()
    await vault.close()
  }
  return { ...over, close }
}
const cutAfter = (step: string) =>
  moveCosigner(to, FLAGS, terminal, (done) => {
    if (done === step) throw new Error(`cut off after ${step}`)
  })

let wallet: Uint8Array
beforeAll(async () => {
  await initialise(FLAGS, terminal)
  const embedded = await openEngine({})
  wallet = await embedded.newWallet()
  await embedded.close()
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

it('cut off before the copy has its name it is begun again, and the embedded one goes on meanwhile', async () => {
  for (const step of STEPS.slice(0, 3)) {
    await expect(cutAfter(step)).rejects.toThrow(`cut off after ${step}`)
    expect([existsSync(join(to, 'cosigner.db')), existsSync(join(dataDir, 'cosigner.db'))]).toEqual([false, true])
    expect(loadIdentity(dataDir, 'daemon')).toBeUndefined()
  }
  const embedded = await openEngine({})
  await embedded.sign(wallet)
  await embedded.close()
})

it('a copy that has its name is not put in the place of one that was used since', async () => {
  await expect(cutAfter('named')).rejects.toThrow('cut off after named')
  const embedded = await openEngine({})
  await embedded.sign(wallet)
  await embedded.close()
  await expect(moveCosigner(to, FLAGS, terminal)).rejects.toThrow('was used since it was copied')
  expect(existsSync(join(dataDir, 'cosigner.db'))).toBe(true)
  rmSync(to, { recursive: true })
})

it('cut off later it is finished, and both hosts sign', async () => {
  for (const step of STEPS.slice(3)) await expect(cutAfter(step)).rejects.toThrow(`cut off after ${step}`)
  await moveCosigner(to, FLAGS, terminal)
  await expect(moveCosigner(to, FLAGS, terminal)).rejects.toThrow('is there already')
  expect(readdirSync(dataDir).filter((name) => name.startsWith('channel'))).toEqual(['channel.key', 'channel.pair'])
  expect(existsSync(join(dataDir, 'cosigner.db'))).toBe(false)
  const { config, secrets } = loadConfig({ 'data-dir': to, 'cosigner-listen': '127.0.0.1:0', 'root-key': `file:${base}/none.key` })
  const running = await serveCosigner(config, secrets, createLogger({ level: 'error', pretty: false }))
  const split = await openEngine({ cosigner: running.address })
  expect(split.engine.available).toBe(true)
  await split.sign(wallet)
  await split.close()
  await running.stop()
})
