/** Daemons with backups configured, and their backups restored into other directories. */
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { type CliRun, makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

export type BackupKeys = { readonly dir: string; readonly args: readonly string[] }

/** Two identities, outside any data directory, and the options that name their recipients. */
export const makeBackupKeys = async (): Promise<BackupKeys> => {
  const dir = makeDataDir()
  const recipient = async (name: string): Promise<string> => {
    const { stdout, stderr } = await runCli(['backup', 'keygen', join(dir, name)])
    const found = /age1[a-z0-9]{58}/.exec(stdout)?.[0]
    if (found === undefined) throw new Error(`no recipient: ${stdout}${stderr}`)
    return found
  }
  const daemon = await recipient('daemon.txt')
  const cosigner = await recipient('cosigner.txt')
  return { dir, args: ['--backup-recipient', daemon, '--cosigner-backup-recipient', cosigner] }
}

export const startBackedUp = (keys: BackupKeys, base: string): Promise<TestDaemon> =>
  startDaemon({ dataDir: base, keepData: true, args: keys.args })

export type BackupPair = { readonly daemon: string; readonly cosigner: string }

/** Makes a backup and answers where its files are. */
export const backUp = async (client: CountersignClient, daemon: TestDaemon): Promise<BackupPair> => {
  const { backups } = await client.admin.createBackup({})
  const paths = backups.map(({ fileName }) => join(daemon.dataDir, 'backups', fileName))
  const [own, theirs] = paths
  if (own === undefined || theirs === undefined) throw new Error('two files make a backup')
  return { daemon: own, cosigner: theirs }
}

/** A directory with nothing but copies of the root keys of `from`. */
export const placeWithRootKeys = (from: string): string => {
  const base = makeDataDir()
  mkdirSync(join(base, 'data'), { mode: 0o700 })
  for (const name of ['root.key', 'cosigner-root.key']) {
    cpSync(join(from, 'data', name), join(base, 'data', name), { mode: 0 })
  }
  return base
}

export const restoreArgs = (base: string, keys: BackupKeys, pair: BackupPair): string[] => [
  'restore',
  '--data-dir', join(base, 'data'),
  '--daemon-backup', pair.daemon,
  '--daemon-identity', join(keys.dir, 'daemon.txt'),
  '--cosigner-backup', pair.cosigner,
  '--cosigner-identity', join(keys.dir, 'cosigner.txt'),
]

export const restore = (base: string, keys: BackupKeys, pair: BackupPair): Promise<CliRun> =>
  runCli(restoreArgs(base, keys, pair))

export const acknowledge = (base: string, ...choice: readonly string[]): Promise<CliRun> =>
  runCli(['restore', 'acknowledge', '--data-dir', join(base, 'data'), ...choice])

/** Vault files and what was staged for them; keys and locks left out. */
export const vaultFilesIn = (base: string): string[] =>
  readdirSync(join(base, 'data')).filter((name) => /\.(db|copy)/.test(name)).toSorted()
