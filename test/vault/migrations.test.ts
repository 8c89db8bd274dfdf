import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { DAEMON_SCHEMA } from '../../src/vault/daemon-schema.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { foundVersion } from '../../src/vault/migrations.ts'
import type { Schema } from '../../src/vault/migrations.ts'
import { openDatabase, settleDatabase } from '../../src/vault/open-database.ts'
import { makePlace, makeVault, NOW, reasonOf, tamper } from './fixture.ts'

const withStep = (sql: string): Schema => ({
  ...DAEMON_SCHEMA,
  migrations: [...DAEMON_SCHEMA.migrations, { version: DAEMON_SCHEMA.migrations.length + 1, sql }],
})

test('steps are numbered from 1 without a gap', () => {
  const versions = DAEMON_SCHEMA.migrations.map(({ version }) => version)
  expect(versions).toEqual(versions.map((_, at) => at + 1))
})

test('an older vault is brought up to date once', async () => {
  const { place, close } = await makeVault()
  await close()
  const next = withStep(`CREATE TABLE later (n INTEGER PRIMARY KEY) STRICT; INSERT INTO later VALUES (7);`)
  for (let round = 0; round < 2; round++) {
    const file = openDatabase(place.path, next)
    settleDatabase(file, next)
    expect(foundVersion(file.db)).toBe(next.migrations.length)
    expect(file.db.prepare('SELECT n FROM later').pluck().all()).toEqual([7n])
    file.close()
  }
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_TOO_NEW')
})

test('a step that fails leaves the vault at the version before it', async () => {
  const { place, close } = await makeVault()
  await close()
  const broken = withStep(`CREATE TABLE later (n INTEGER PRIMARY KEY) STRICT; INSERT INTO nowhere VALUES (1);`)
  const file = openDatabase(place.path, broken)
  expect(await reasonOf(() => settleDatabase(file, broken))).toBe('VAULT_CORRUPT')
  file.close()
  const again = await openDaemonVault({ ...place, nowMs: NOW })
  expect(again.read.one(`SELECT 1 FROM sqlite_schema WHERE name = 'later'`)).toBeUndefined()
  await again.close()
})

test('a refused open changes nothing in the file', async () => {
  const { place, close } = await makeVault()
  await close()
  const before = readFileSync(place.path)
  const { provider } = makePlace()
  expect(await reasonOf(() => openDaemonVault({ ...place, provider, nowMs: NOW }))).toBe('ROOT_KEY_WRONG')
  expect(readFileSync(place.path).equals(before)).toBe(true)
  tamper(place.path, (db) => db.pragma('user_version = 99'))
  const newer = readFileSync(place.path)
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_TOO_NEW')
  expect(readFileSync(place.path).equals(newer)).toBe(true)
})
