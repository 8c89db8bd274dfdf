import Database from 'better-sqlite3'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { appendAudit } from '../../src/vault/audit-chain.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { createDaemonVault, openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { DAEMON_SCHEMA } from '../../src/vault/daemon-schema.ts'
import { openDatabase } from '../../src/vault/open-database.ts'
import { preparePrivateDirectory } from '../../src/vault/private-file.ts'
import { getProject } from '../../src/vault/projects.ts'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import type { ProjectId } from '../../src/domain/ids.ts'
import { event, makePlace, makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const PROGRAMS = join(import.meta.dirname, 'programs')

test('a new vault has the project default, private files and opens again', async () => {
  const vault = await makeVault()
  expect(getProject(vault.read, 'default' as ProjectId)?.state).toBe('ACTIVE')
  for (const name of ['vault.db', 'vault.db-wal', 'vault.lock']) {
    expect(statSync(join(vault.place.dir, name)).mode & 0o777, name).toBe(0o600)
  }
  expect(statSync(vault.place.dir).mode & 0o777).toBe(0o700)
  await vault.close()
  const again = await openVaultAt(vault.place)
  expect(again.vaultId).toEqual(vault.vaultId)
})

const NAMES = ['journal_mode', 'synchronous', 'secure_delete', 'trusted_schema', 'cell_size_check', 'foreign_keys',
  'temp_store', 'wal_autocheckpoint', 'busy_timeout']

test('the settings hold after the first write of every connection', async () => {
  const vault = await makeVault()
  await vault.close()
  const { db, close } = openDatabase(vault.place.path, DAEMON_SCHEMA)
  db.exec('UPDATE vault_header SET opened = opened + 1')
  const found = Object.fromEntries(
    NAMES.map((name) => [name, String(db.pragma(name, { simple: true }))]),
  )
  close()
  expect(found).toEqual({
    journal_mode: 'wal', synchronous: '2', secure_delete: '1', trusted_schema: '0', cell_size_check: '1',
    foreign_keys: '1', temp_store: '2', wal_autocheckpoint: '2000', busy_timeout: '2000',
  })
})

test('an existing vault is not made again, a missing one is not opened', async () => {
  const vault = await makeVault()
  await vault.close()
  expect(await reasonOf(() => createDaemonVault({ ...vault.place, nowMs: NOW }))).toBe('VAULT_EXISTS')
  const empty = makePlace()
  expect(await reasonOf(() => openDaemonVault({ ...empty, nowMs: NOW }))).toBe('VAULT_MISSING')
  expect(existsSync(empty.path)).toBe(false)
  expect(existsSync(join(empty.dir, 'vault.lock'))).toBe(false)
})

test('a file that a crash left before its tables is missing to open and free to create', async () => {
  const place = makePlace()
  writeFileSync(place.path, '', { mode: 0o600 })
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_MISSING')
  await makeVault(place)
})

test('a vault of a newer program is refused and left alone', async () => {
  const { place, close } = await makeVault()
  await close()
  tamper(place.path, (db) => db.pragma('user_version = 99'))
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_TOO_NEW')
  const db = new Database(place.path)
  expect(db.pragma('user_version', { simple: true })).toBe(99)
  db.close()
})

test('a vault of the other party is refused', async () => {
  const { place, close } = await makeVault()
  await close()
  expect(await reasonOf(() => openCosignerVault({ ...place, nowMs: NOW }))).toBe('VAULT_CORRUPT')
})

test('a trigger or table that is not ours is refused', async () => {
  const { place, close } = await makeVault()
  await close()
  tamper(place.path, (db) => {
    db.exec('CREATE TRIGGER thaw AFTER INSERT ON freezes BEGIN DELETE FROM freezes; END')
  })
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_CORRUPT')
})

test('a damaged file is refused: overwritten pages, cut short, or no database at all', async () => {
  const damages: ((path: string) => void)[] = [
    (path) => {
      const fd = openSync(path, 'r+')
      const { size } = statSync(path)
      for (let at = 4096 * 3; at < size; at += 4096) writeSync(fd, Buffer.alloc(2048, 0xa5), 0, 2048, at)
      closeSync(fd)
    },
    (path) => truncateSync(path, 4096 * 3 + 17),
    (path) => writeFileSync(path, 'this is not a database, it is a text of some length'.repeat(100)),
  ]
  for (const damage of damages) {
    const { place, close } = await makeVault()
    await close()
    damage(place.path)
    expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW })), String(damage)).toBe('VAULT_CORRUPT')
  }
})

test('a second opener in the process is kept out until the first closes', async () => {
  const vault = await makeVault()
  expect(await reasonOf(() => openDaemonVault({ ...vault.place, nowMs: NOW }))).toBe('VAULT_LOCKED')
  expect(await reasonOf(() => createDaemonVault({ ...vault.place, nowMs: NOW }))).toBe('VAULT_LOCKED')
  await vault.commit((tx) => appendAudit(tx, event()))
  await vault.close()
  await openVaultAt(vault.place)
})

test('another process keeps the vault locked until it is killed', async () => {
  const { place, close } = await makeVault()
  await close()
  const child = spawn(process.execPath, [join(PROGRAMS, 'hold-vault.ts'), place.dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_LOCKED')
  child.kill('SIGKILL')
  await once(child, 'exit')
  await openVaultAt(place)
})

test('a directory that cannot be written is refused', async () => {
  const { provider, dir } = makePlace()
  const inFile = join(dir, 'root.key', 'data', 'vault.db')
  expect(await reasonOf(() => createDaemonVault({ path: inFile, provider, nowMs: NOW }))).toBe('VAULT_UNWRITABLE')
  expect(await reasonOf(() => preparePrivateDirectory('/tmp'))).toBe('VAULT_UNWRITABLE')
})

test('a disk that is full before the vault is whole leaves none behind that opens', async () => {
  const { dir } = makePlace()
  const program = join(PROGRAMS, 'create-vault.ts')
  for (const blocks of [0, 8, 64]) {
    const data = join(dir, `data-${blocks}`)
    const command = `ulimit -f ${blocks}; exec "${process.execPath}" "${program}" "${data}" "${join(dir, 'root.key')}"`
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [[output]] = await Promise.all([once(child.stdout, 'data'), once(child, 'exit')])
    expect(String(output).trim(), `${blocks} blocks`).toBe('VAULT_UNWRITABLE')
    const provider = createRootKeyProvider(`file:${join(dir, 'root.key')}`)
    const place = { dir: data, path: join(data, 'vault.db'), provider }
    expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_MISSING')
    await makeVault(place)
  }
})

test('a directory that other users may enter is closed', async () => {
  const { dir, provider } = makePlace()
  const data = join(dir, 'data')
  mkdirSync(data, { mode: 0o755 })
  const vault = await makeVault({ dir: data, path: join(data, 'vault.db'), provider })
  expect(statSync(vault.place.dir).mode & 0o777).toBe(0o700)
})

// A process without root's powers meets the read-only file and directory.
test('a read-only vault or directory is refused', async () => {
  const { place, close } = await makeVault()
  await close()
  const ask = async (): Promise<string> => {
    const child = spawn(process.execPath, [join(PROGRAMS, 'open-as-nobody.ts'), place.dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [[output]] = await Promise.all([once(child.stdout, 'data'), once(child, 'exit')])
    return String(output).trim()
  }
  expect(await ask()).toBe('opened')
  chmodSync(place.path, 0o400)
  expect(await ask()).toBe('VAULT_UNWRITABLE')
  chmodSync(place.path, 0o600)
  chmodSync(place.dir, 0o500)
  expect(await ask()).toBe('VAULT_UNWRITABLE')
})
