/** A restore, and its acknowledgement, killed before every step: the same command finishes, and nothing is half done. */
import { cpSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listLiveApiKeys } from '../../src/vault/api-keys.ts'
import { verifyAuditChain } from '../../src/vault/audit-chain.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { getRestoreState, type RestoreState } from '../../src/vault/restore-state.ts'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { runCli } from '../commands/run-cli.ts'
import { runUntil, stepsOf } from '../fault/run-until.ts'
import {
  type BackupKeys,
  type BackupPair,
  backUp,
  makeBackupKeys,
  placeWithRootKeys,
  restore,
  restoreArgs,
  startBackedUp,
  vaultFilesIn,
} from './backup-places.ts'
import { connect, newKey, newWallet, outcomeOf } from './callers.ts'
import { signAs } from './signing-calls.ts'
import { makeDataDir, startDaemon } from './start-daemon.ts'

const base = makeDataDir()
const places = [base]
let keys: BackupKeys
let pair: BackupPair
let keptKey: { apiKeyId: string; secret: string }

const newPlace = (): string => {
  const place = placeWithRootKeys(base)
  places.push(place)
  return place
}
const drop = (place: string): void => rmSync(place, { recursive: true, force: true })

beforeAll(async () => {
  keys = await makeBackupKeys()
  places.push(keys.dir)
  const daemon = await startBackedUp(keys, base)
  const client = connect(daemon, daemon.adminKey)
  await newWallet(client, 'w')
  keptKey = await newKey(client, [{ name: 'wallet:sign' }, { name: 'wallet:read' }])
  pair = await backUp(client, daemon)
  client.close()
  await daemon.kill('SIGTERM')
})
afterAll(() => {
  for (const place of places) drop(place)
})

type Seen = { readonly states: readonly (RestoreState | undefined)[]; readonly liveKeys: readonly string[] }

/** Opens both vaults as they lie there. */
const look = async (place: string): Promise<Seen> => {
  const file = (name: string): string => join(place, 'data', name)
  const key = (name: string) => createRootKeyProvider(`file:${file(name)}`)
  const nowMs = Date.now()
  await using daemon = await openDaemonVault({ path: file('vault.db'), provider: key('root.key'), nowMs })
  await using cosigner = await openCosignerVault({ path: file('cosigner.db'), provider: key('cosigner-root.key'), nowMs })
  for (const vault of [daemon, cosigner]) expect(await verifyAuditChain(vault.read)).toMatchObject({ intact: true })
  const liveKeys = listLiveApiKeys(daemon.read, 100).map(({ keyId }) => keyId)
  return { states: [getRestoreState(daemon.read), getRestoreState(cosigner.read)], liveKeys }
}

const expectSealed = async (place: string, what: string): Promise<void> => {
  expect(vaultFilesIn(place), what).toEqual(['cosigner.db', 'vault.db'])
  const [own, theirs] = (await look(place)).states
  expect(own, what).toMatchObject({ epoch: 2, acknowledgeMs: undefined })
  expect(theirs, what).toMatchObject({ epoch: 2, restoreIdHex: own?.restoreIdHex, acknowledgeMs: undefined })
}

/** What leaves a trace of its own: the interior of a transaction is not there before its COMMIT. */
const TRACES = /^(fs\.(renameSync|open|fsyncSync|mkdirSync)|file\.|sqlite\.(COMMIT|close|journal_mode|wal_checkpoint))/

const sample = (steps: readonly string[], max: number, which = TRACES): number[] => {
  const all = steps.flatMap((name, at) => (which.test(name) ? [at + 1] : []))
  const renames = steps.flatMap((name, at) => (name === 'fs.renameSync' ? [at + 1, at + 2] : []))
  const stride = Math.ceil(all.length / max)
  return [...new Set([...renames, ...all.filter((_, at) => at % stride === 0)])].filter((at) => at <= steps.length)
}

describe('a restore', () => {
  it('killed before any step is finished by the same command', { timeout: 170_000 }, async () => {
    const whole = newPlace()
    const steps = await stepsOf(['src/main.ts', ...restoreArgs(whole, keys, pair)], join(whole, 'steps.txt'))
    expect(steps.filter((name) => name === 'fs.renameSync')).toHaveLength(2)
    await expectSealed(whole, 'undisturbed')
    // Both logs are emptied, and a refusal of that heard, after the last commit and before a file gets its name.
    const named = steps.indexOf('fs.renameSync')
    const emptied = steps.slice(steps.lastIndexOf('sqlite.COMMIT', named), named).filter((name) => /wal_checkpoint/.test(name))
    expect(emptied).toHaveLength(2)
    let halves = 0
    for (const step of sample(steps, 20)) {
      const what = `step ${step}, ${steps[step - 1]}`
      const place = newPlace()
      await runUntil(['src/main.ts', ...restoreArgs(place, keys, pair)], step)
      const found = vaultFilesIn(place)
      // A daemon never starts on half of it: its own vault comes last.
      if (found.includes('vault.db')) expect(found, what).toContain('cosigner.db')
      else if (found.includes('cosigner.db')) halves += 1
      const again = await runCli(...restoreArgs(place, keys, pair))
      const isDone = found.includes('vault.db')
      expect(again, what).toMatchObject({ exitCode: isDone ? 1 : 0 })
      if (isDone) expect(again.notes).toContain('VAULT_EXISTS')
      await expectSealed(place, what)
      drop(place)
    }
    expect(halves).toBeGreaterThan(0)
  })

  it('is not finished with a vault that is not of it', async () => {
    const place = newPlace()
    await restore(place, keys, pair)
    const at = (name: string): string => join(place, 'data', name)
    renameSync(at('vault.db'), at('vault.restored.db'))
    cpSync(join(base, 'data', 'cosigner.db'), at('cosigner.db'))
    const { code, stderr } = await restore(place, keys, pair)
    expect({ code, stderr: stderr.includes('BACKUP_MISMATCH') }).toEqual({ code: 1, stderr: true })
    expect(existsSync(at('vault.db'))).toBe(false)
    writeFileSync(at('vault.restored.db'), 'half a file')
    expect((await restore(place, keys, pair)).code).toBe(1)
    expect(existsSync(at('vault.db'))).toBe(false)
    await expect(startDaemon({ dataDir: place, keepData: true })).rejects.toThrow(/VAULT_EXISTS|VAULT_MISSING/)
  })
})

describe('an acknowledgement', () => {
  it('killed before any step leaves the daemon sealed or no unnamed key alive', { timeout: 170_000 }, async () => {
    const sealed = newPlace()
    await restore(sealed, keys, pair)
    const begin = (): string => {
      const place = makeDataDir()
      places.push(place)
      cpSync(sealed, place, { recursive: true })
      return place
    }
    const argsIn = (place: string): string[] => [
      'restore', 'acknowledge', '--data-dir', join(place, 'data'), '--keep-api-key', keptKey.apiKeyId,
    ]
    const whole = begin()
    const steps = await stepsOf(['src/main.ts', ...argsIn(whole)], join(whole, 'steps.txt'))
    expect((await look(whole)).liveKeys).toEqual([keptKey.apiKeyId])
    let between = 0
    for (const step of sample(steps, 20, /^sqlite\.(COMMIT|close)/)) {
      const what = `step ${step}, ${steps[step - 1]}`
      const place = begin()
      await runUntil(['src/main.ts', ...argsIn(place)], step)
      const { states, liveKeys } = await look(place)
      const isOpen = states[0]?.acknowledgeMs !== undefined
      if (isOpen) {
        expect(liveKeys, what).toEqual([keptKey.apiKeyId])
        expect(states[1]?.acknowledgeMs, what).toBeDefined()
      } else if (states[1]?.acknowledgeMs !== undefined) between += 1
      expect(await runCli(...argsIn(place)), what).toMatchObject({ exitCode: 0 })
      const after = await look(place)
      expect(after.liveKeys, what).toEqual([keptKey.apiKeyId])
      expect(after.states.every((state) => state?.acknowledgeMs !== undefined), what).toBe(true)
      drop(place)
    }
    expect(between).toBeGreaterThan(0)
    await using daemon = await startDaemon({ dataDir: whole, command: 'serve' })
    const caller = connect(daemon, keptKey.secret)
    expect(await outcomeOf(signAs('SignMessage text', caller, { wallet: 'w' }))).toBe('signed')
    caller.close()
  })
})
