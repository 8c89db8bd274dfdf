import Database from 'better-sqlite3'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import type { FailureReason } from '../../src/domain/failure.ts'
import { parseUserId, walletIdFromBytes } from '../../src/domain/ids.ts'
import type { AuditEvent } from '../../src/vault/audit-chain.ts'
import { createCosignerVault } from '../../src/vault/cosigner-vault.ts'
import type { CosignerVault } from '../../src/vault/cosigner-vault.ts'
import { createDaemonVault, openDaemonVault } from '../../src/vault/daemon-vault.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import type { NewIntent } from '../../src/vault/intents.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { createRootKeyFile, createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import type { RootKeyProvider } from '../../src/vault/root-key-provider.ts'
import type { NewWallet } from '../../src/vault/wallets.ts'

export const NOW = 1_800_000_000_000

export type Place = { readonly dir: string; readonly path: string; readonly provider: RootKeyProvider }

/** A private directory with a root key file, removed after the test. */
export const makePlace = (): Place => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-vault-'))
  onTestFinished(() => {
    chmodSync(dir, 0o700)
    rmSync(dir, { recursive: true, force: true })
  })
  const keyPath = join(dir, 'root.key')
  createRootKeyFile(keyPath)
  return { dir, path: join(dir, 'vault.db'), provider: createRootKeyProvider(`file:${keyPath}`) }
}

const closing = <V extends { close: () => Promise<void> }>(vault: V): V => {
  onTestFinished(() => vault.close())
  return vault
}

export const makeVault = async (place: Place = makePlace()): Promise<DaemonVault & { place: Place }> =>
  closing({ ...(await createDaemonVault({ ...place, nowMs: NOW })), place })

export const makeCosignerVault = async (place: Place = makePlace()): Promise<CosignerVault & { place: Place }> =>
  closing({ ...(await createCosignerVault({ ...place, nowMs: NOW })), place })

export const openVaultAt = async (place: Place): Promise<DaemonVault> =>
  closing(await openDaemonVault({ ...place, nowMs: NOW }))

/** The reason a promise or a function is refused with; what is not refused, or fails otherwise, fails the test. */
export const reasonOf = async (attempt: () => unknown): Promise<FailureReason> => {
  try {
    await attempt()
  } catch (error) {
    if (isFailure(error)) return error.reason
    throw error
  }
  throw new Error('it was not refused')
}

export const event = (kind = 'test.event', details = {}): AuditEvent => ({
  timeMs: NOW,
  kind,
  actor: { kind: 'operator', id: 'tester' },
  details,
})

/** A wallet of the default project as a row; no party holds a share of it. */
export const newWallet = (changes: Partial<NewWallet> = {}): NewWallet => ({
  walletId: walletIdFromBytes(new Uint8Array(randomBytes(16))),
  project: DEFAULT_PROJECT,
  userId: parseUserId('alice')!,
  keyType: 'secp256k1',
  ownerType: 'project',
  label: '',
  address: '0xAbCdEf0123456789aBcDeF0123456789AbCdEf01',
  publicKey: randomBytes(65),
  state: 'ACTIVE',
  origin: 'dkg',
  createMs: NOW,
  ...changes,
})

export const intent = (changes: Partial<NewIntent> = {}): NewIntent => ({
  walletId: randomBytes(16),
  presigId: randomBytes(16),
  rPoint: randomBytes(33),
  digest: randomBytes(32),
  caller: 'key_0011223344556677',
  method: 'SignMessage',
  event: event('sign.intent'),
  ...changes,
})

/**
 * What an intruder with the file can do: runs `edit` on a closed vault with the guards lifted, then puts the
 * guards back so that the schema looks untouched.
 */
export const tamper = (path: string, edit: (db: Database.Database) => void): void => {
  const db = new Database(path)
  try {
    const triggers = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`).all() as {
      name: string
      sql: string
    }[]
    for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
    db.pragma('foreign_keys = OFF')
    edit(db)
    for (const { sql } of triggers) db.exec(sql)
  } finally {
    db.close()
  }
}

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
