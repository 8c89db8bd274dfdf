/** The commands of two hosts, each over its own directory, and what the pair of them accepts afterwards. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { initialiseCosigner } from '../../src/commands/cosigner-init.ts'
import { verifyAudit } from '../../src/commands/audit-verify.ts'
import { backUpCosigner, rotateCosignerKey } from '../../src/commands/cosigner-operator.ts'
import { pairParties, renewChannel } from '../../src/commands/cosigner-pair.ts'
import { serveCosigner } from '../../src/commands/cosigner-serve.ts'
import { settleParties } from '../../src/commands/cosigner-settle.ts'
import { initialise } from '../../src/commands/init.ts'
import { acknowledge, restoreBackups, restoreOne } from '../../src/commands/restore.ts'
import { rootKeyProviders } from '../../src/commands/root-keys.ts'
import type { Terminal } from '../../src/commands/terminal.ts'
import { cosignerOf } from '../../src/commands/wire-cosigner.ts'
import { type Flags, loadConfig } from '../../src/config/load-config.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { createLogger } from '../../src/observe/logger.ts'
import type { RemoteCosigner } from '../../src/party/remote/resuming-stream.ts'
import { appendAudit } from '../../src/vault/audit-chain.ts'
import { createIdentityFile, parseRecipient } from '../../src/vault/backup-keys.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { recordBackup, writeBackup } from '../../src/vault/write-backup.ts'
import { engineOver } from '../party/remote-scene.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const base = mkdtempSync(join(tmpdir(), 'countersign-split-'))
const backups = join(base, 'backups')
const at = (name: string): string => join(base, name)
const identities = { daemon: at('daemon.txt'), cosigner: at('cosigner.txt') }
const recipients = {
  daemon: createIdentityFile(identities.daemon, Date.now()).text,
  cosigner: createIdentityFile(identities.cosigner, Date.now()).text,
}
const hostOf = { daemon: at('d'), cosigner: at('c') }
const NOWHERE = '127.0.0.1:1'

const flagsOf = (role: 'daemon' | 'cosigner', more: Flags = {}): Flags => {
  const own: Flags = role === 'daemon'
    ? { cosigner: NOWHERE, 'backup-recipient': recipients.daemon }
    : { 'cosigner-listen': '127.0.0.1:0', 'cosigner-backup-recipient': recipients.cosigner, 'cosigner-root-key': `file:${at('cosigner-root.key')}` }
  return { 'data-dir': hostOf[role], 'root-key': `file:${at('root.key')}`, 'backup-directory': backups, ...own, ...more }
}

/** Runs a command; what it printed, as lines. */
const run = async (command: (terminal: Terminal) => Promise<void>): Promise<string[]> => {
  const lines: string[] = []
  const note = (): void => undefined
  await command({ print: (text) => void lines.push(text), note, stop: AbortSignal.abort(), isInteractive: false })
  return lines
}

const serve = async () => {
  const { config, secrets } = loadConfig(flagsOf('cosigner'))
  return serveCosigner(config, secrets, createLogger({ level: 'error', pretty: false }))
}

/** Both serve, until `close`. */
const join2 = async () => {
  const running = await serve()
  const { config, secrets } = loadConfig(flagsOf('daemon', { cosigner: running.address }))
  const provider = rootKeyProviders(config, secrets).daemon
  const vault = await openDaemonVault({ path: join(config.dataDir, 'vault.db'), provider, nowMs: Date.now() })
  const over = await engineOver(vault, cosignerOf(config, secrets, undefined) as RemoteCosigner).catch(async (error: unknown) => {
    await vault.close()
    await running.stop()
    throw error
  })
  const close = async (): Promise<void> => {
    await over.engine.stop()
    await vault.close()
    await running.stop()
  }
  return { ...over, vault, close }
}
const joined = async <T>(work: (pair: Awaited<ReturnType<typeof join2>>) => Promise<T>): Promise<T> => {
  const pair = await join2()
  try {
    return await work(pair)
  } finally {
    await pair.close()
  }
}
const pairUp = async (): Promise<void> => {
  for (const [own, peer] of [['cosigner', 'daemon'], ['daemon', 'cosigner']] as const) {
    await run((terminal) => pairParties(join(hostOf[peer], 'channel.pair'), flagsOf(own), terminal))
  }
}
const standingOf = async (role: 'daemon' | 'cosigner', peers?: string): Promise<string> =>
  (await run((terminal) => settleParties(peers, flagsOf(role), terminal))).at(-1) as string
const newest = (kind: string): string => join(backups, readdirSync(backups).filter((name) => name.includes(kind)).sort().at(-1) as string)
const refusalOf = (work: Promise<unknown>): Promise<string> =>
  work.then(() => 'done', (error: unknown) => (isFailure(error) ? error.reason : String(error)))

let kept: Uint8Array
let refreshed: Uint8Array

beforeAll(async () => {
  await run((terminal) => initialiseCosigner(flagsOf('cosigner'), terminal))
  await run((terminal) => initialise(flagsOf('daemon'), terminal))
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

type Pair = Awaited<ReturnType<typeof join2>>
const refresh = ({ engine, vault }: Pair, walletId: Uint8Array): Promise<void> =>
  engine.refreshShares({ walletId, keyType: 'secp256k1' }, {
    order: {
      record: (tx) => {
        const subject = { type: 'wallet', id: walletIdFromBytes(walletId) }
        appendAudit(tx, { timeMs: Date.now(), kind: 'wallet.refreshed', actor: { kind: 'operator', id: '' }, subject })
      },
    },
    during: (change) => change(),
    signal: AbortSignal.timeout(30_000),
    deadlineMs: Date.now() + 30_000,
  }).finally(() => expect(vault.fault()).toBeUndefined())

describe('two hosts', () => {
  it('sign nothing before they are paired, and nothing for another that comes first', async () => {
    await expect(serve().then(async (running) => {
      const { config, secrets } = loadConfig(flagsOf('daemon', { cosigner: running.address }))
      try {
        cosignerOf(config, secrets, undefined)
      } finally {
        await running.stop()
      }
    })).rejects.toMatchObject({ reason: 'COSIGNER_UNAVAILABLE' })
    await pairUp()
    await joined(async ({ newWallet, sign }) => {
      kept = await newWallet()
      refreshed = await newWallet()
      await sign(kept)
    })
  })

  it('a new root key and a backup of the cosigner’s vault are made while it signs, by its operator', async () => {
    await joined(async ({ vault, sign, engine }) => {
      const before = readFileSync(at('cosigner-root.key'))
      await run((terminal) => rotateCosignerKey(flagsOf('cosigner'), terminal))
      expect(readFileSync(at('cosigner-root.key')).equals(before)).toBe(false)
      await sign(kept, 'under a new root')
      expect((await run((terminal) => backUpCosigner(flagsOf('cosigner'), terminal)))[0]).toContain('countersign-cosigner-')
      expect(await engine.custody.backup(new Uint8Array(16))).toBeUndefined()
      expect(await refusalOf(engine.custody.rotateKey())).toBe('COSIGNER_REFUSED')
      const recipient = parseRecipient(recipients.daemon)!
      const nowMs = Date.now()
      const made = await writeBackup(vault, { directory: backups, recipient, setId: new Uint8Array(16), nowMs })
      await vault.commit((tx) => recordBackup(tx, made, { recipient, actor: { kind: 'operator', id: '' }, nowMs }))
    })
  })

  it('a channel key that was renewed is refused until the other host has it, and the same party with it', async () => {
    await run((terminal) => renewChannel(flagsOf('daemon'), terminal))
    await joined(async ({ engine }) => expect(engine.available).toBe(false))
    await pairUp()
    await joined(async (pair) => {
      await pair.sign(kept, 'over a new channel')
      // After both backups: its shares at the two hosts will be of different epochs.
      await refresh(pair, refreshed)
    })
  })
})

describe('a host that was lost', () => {
  it('the cosigner: restored, settled and acknowledged it signs; before any of these nothing does', async () => {
    rmSync(hostOf.cosigner, { recursive: true })
    const files = { 'cosigner-backup': newest('cosigner'), 'cosigner-identity': identities.cosigner }
    const lines = await run((terminal) => restoreOne('cosigner', flagsOf('cosigner', files), terminal))
    const standing = lines.at(-1) as string
    expect(standing).toMatch(/^csrest1\./)
    expect(await refusalOf(join2())).toBe('RESTORE_UNACKNOWLEDGED')
    await run((terminal) => acknowledge({ keepApiKeys: [], keepAllApiKeys: false, newAdminKey: false }, flagsOf('cosigner'), terminal))
    await pairUp()
    await joined(async ({ engine, availability }) => {
      expect(engine.available).toBe(false)
      expect(availability.at(-1)).toContain('older than the one last seen')
    })
    await expect(standingOf('cosigner', standing)).rejects.toThrow('here is one already')
    await expect(standingOf('daemon', `${standing.slice(0, -4)}AAAA`)).rejects.toThrow('no standing')
    await standingOf('cosigner', await standingOf('daemon', await standingOf('cosigner')))
    await joined(async ({ sign, engine, alerts }) => {
      expect(engine.available).toBe(true)
      await sign(kept, 'restored')
      expect(alerts).toEqual([expect.stringContaining('of different epochs')])
      expect(await refusalOf(sign(refreshed))).not.toBe('done')
    })
  })

  it('the daemon: its own backup alone, and the same rules', async () => {
    const admin = { keepApiKeys: [], keepAllApiKeys: true, newAdminKey: false }
    rmSync(join(hostOf.daemon, 'vault.db'))
    for (const name of ['vault.db-wal', 'vault.db-shm']) rmSync(join(hostOf.daemon, name), { force: true })
    const files = { 'daemon-backup': newest('daemon'), 'daemon-identity': identities.daemon }
    await run((terminal) => restoreBackups(flagsOf('daemon', files), terminal))
    await run((terminal) => acknowledge(admin, flagsOf('daemon'), terminal))
    await expect(joined(({ engine }) => Promise.resolve(engine.available))).rejects.toMatchObject({ reason: 'VAULT_ROLLED_BACK' })
    await standingOf('daemon', await standingOf('cosigner', await standingOf('daemon')))
    await joined(async ({ sign }) => {
      await sign(kept, 'both restored')
    })
  })

  it('has its audit chain in one piece, on either side', async () => {
    for (const role of ['daemon', 'cosigner'] as const) {
      expect((await run((terminal) => verifyAudit(flagsOf(role), terminal))).join()).toContain('intact')
    }
  })
})
