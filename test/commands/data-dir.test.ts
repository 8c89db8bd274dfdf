import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load-config.ts'
import { rootKeyProviders } from '../../src/commands/root-keys.ts'
import { decodeLinkRecord, encodeLinkRecord, type LinkRecord } from '../../src/engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { newLinkRecord } from '../../src/party/link.ts'
import { authenticateApiKey } from '../../src/vault/api-keys.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { listLinks, saveLink } from '../../src/vault/links.ts'
import type { Vault } from '../../src/vault/vault.ts'
import { acquireVaultLock } from '../../src/vault/vault-lock.ts'
import { runCli } from './run-cli.ts'

let dir = ''
let dataDir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'countersign-data-'))
  dataDir = join(dir, 'data')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const init = (...flags: string[]) => runCli('init', '--data-dir', dataDir, ...flags)
const verify = (...flags: string[]) => runCli('audit', 'verify', '--data-dir', dataDir, ...flags)
const modeOf = (name: string) => statSync(join(dataDir, name)).mode & 0o777

const openBoth = async (): Promise<{ daemon: Vault; cosigner: Vault }> => {
  const { config, secrets } = loadConfig({ 'data-dir': dataDir }, { environment: {}, cwd: dir })
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  return {
    daemon: await openDaemonVault({ path: join(dataDir, 'vault.db'), provider: providers.daemon, nowMs }),
    cosigner: await openCosignerVault({ path: join(dataDir, 'cosigner.db'), provider: providers.cosigner, nowMs }),
  }
}

describe('init', () => {
  it('makes both vaults, both root keys and an admin key, for this user alone', async () => {
    const { exitCode, out, notes } = await init()
    expect(exitCode).toBe(0)
    expect(statSync(dataDir).mode & 0o777).toBe(0o700)
    for (const name of ['vault.db', 'cosigner.db', 'root.key', 'cosigner-root.key', 'admin.key']) {
      expect(modeOf(name)).toBe(0o600)
    }
    const secret = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim()
    expect(secret).toMatch(/^csk_/)
    expect(out + notes).not.toContain(secret)
    expect(out + notes).not.toContain(readFileSync(join(dataDir, 'root.key'), 'utf8').trim())
    expect(readFileSync(join(dataDir, 'root.key'))).not.toEqual(readFileSync(join(dataDir, 'cosigner-root.key')))
  })

  it('finishes what was cut off between the last two steps', async () => {
    await init()
    const secret = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim()
    renameSync(join(dataDir, 'vault.db'), join(dataDir, 'vault.new.db'))
    expect((await init()).exitCode).toBe(0)
    const { daemon, cosigner } = await openBoth()
    expect(authenticateApiKey(daemon.read, secret, Date.now()).name).toBe('admin')
    await daemon.close()
    await cosigner.close()
    expect((await init()).notes).toContain('VAULT_EXISTS')
  })

  it('does not take the cosigner of a vault that is gone for a beginning', async () => {
    await init()
    rmSync(join(dataDir, 'vault.db'))
    expect((await init()).notes).toContain('VAULT_EXISTS')
  })

  it('refuses while another makes the same directory, and leaves its work alone', async () => {
    mkdirSync(dataDir, { mode: 0o700 })
    const other = acquireVaultLock(join(dataDir, 'vault.lock'))
    writeFileSync(join(dataDir, 'vault.new.db'), 'half')
    expect((await init()).notes).toContain('VAULT_LOCKED')
    expect(readFileSync(join(dataDir, 'vault.new.db'), 'utf8')).toBe('half')
    other.release()
    expect((await init()).exitCode).toBe(0)
  })

  it('makes a key file private and leaves the directory it lies in as it is', async () => {
    const shared = join(dir, 'shared')
    mkdirSync(shared)
    chmodSync(shared, 0o755)
    expect((await init('--root-key', `file:${shared}/a.key`)).exitCode).toBe(0)
    expect(statSync(shared).mode & 0o777).toBe(0o755)
    expect(statSync(join(shared, 'a.key')).mode & 0o777).toBe(0o600)
  })

  it('makes a key that administers and signs nothing', async () => {
    await init()
    const { daemon, cosigner } = await openBoth()
    const secret = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim()
    const key = authenticateApiKey(daemon.read, secret, Date.now())
    expect(key.permissions).toEqual([
      { narrowing: {}, permission: 'admin' },
      { narrowing: {}, permission: 'audit:read' },
    ])
    expect(listAudit(daemon.read, 0n, 10).map(({ kind }) => kind)).toContain('api_key.created')
    await daemon.close()
    await cosigner.close()
  })

  it('refuses a directory that has a vault, and changes nothing in it', async () => {
    await init()
    const before = ['vault.db', 'cosigner.db', 'root.key', 'admin.key'].map((name) =>
      readFileSync(join(dataDir, name)),
    )
    const { exitCode, notes } = await init()
    expect(exitCode).toBe(1)
    expect(notes).toBe(`countersign: there is already a vault at ${dataDir}/vault.db (VAULT_EXISTS)`)
    const after = ['vault.db', 'cosigner.db', 'root.key', 'admin.key'].map((name) =>
      readFileSync(join(dataDir, name)),
    )
    expect(after).toEqual(before)
  })

  it('never puts a new vault beside the cosigner of another', async () => {
    await init()
    rmSync(join(dataDir, 'vault.db'))
    const { exitCode, notes } = await init()
    expect(exitCode).toBe(1)
    expect(notes).toContain(`${dataDir}/cosigner.db (VAULT_EXISTS)`)
    expect(existsSync(join(dataDir, 'vault.db'))).toBe(false)
  })

  it('begins again what was interrupted before the vaults had their names', async () => {
    mkdirSync(dataDir, { mode: 0o700 })
    for (const name of ['vault.new.db', 'vault.new.db-wal', 'cosigner.new.db', 'vault.new.lock', 'admin.key']) {
      writeFileSync(join(dataDir, name), 'left over', { mode: 0o600 })
    }
    expect((await init()).exitCode).toBe(0)
    expect(existsSync(join(dataDir, 'vault.new.db'))).toBe(false)
    expect(readFileSync(join(dataDir, 'admin.key'), 'utf8')).toMatch(/^csk_/)
    expect((await verify()).exitCode).toBe(0)
  })

  it('keeps a root key file that is there', async () => {
    const key = join(dir, 'own.key')
    writeFileSync(key, `${'ab'.repeat(32)}\n`, { mode: 0o600 })
    const { exitCode, out } = await init('--root-key', `file:${key}`)
    expect(exitCode).toBe(0)
    expect(out).not.toContain(key)
    expect(readFileSync(key, 'utf8')).toBe(`${'ab'.repeat(32)}\n`)
    expect(existsSync(join(dataDir, 'root.key'))).toBe(false)
  })

  it('refuses a root key file that others may read, before it makes a vault', async () => {
    const key = join(dir, 'own.key')
    writeFileSync(key, `${'ab'.repeat(32)}\n`, { mode: 0o644 })
    const { exitCode, notes } = await init('--root-key', `file:${key}`)
    expect(exitCode).toBe(1)
    expect(notes).toContain('ROOT_KEY_UNREADABLE')
    expect(existsSync(join(dataDir, 'vault.db'))).toBe(false)
    expect(existsSync(join(dataDir, 'cosigner.db'))).toBe(false)
  })

  it('refuses passphrase: without a passphrase', async () => {
    const { exitCode, notes } = await init('--root-key', 'passphrase:')
    expect(exitCode).toBe(1)
    expect(notes).toContain('ROOT_KEY_UNREADABLE')
    expect(notes.split('\n')).toHaveLength(1)
    expect(existsSync(join(dataDir, 'vault.db'))).toBe(false)
  })

  it('takes a passphrase for each party', async () => {
    writeFileSync(join(dir, 'a'), 'correct horse\n', { mode: 0o600 })
    writeFileSync(join(dir, 'b'), 'battery staple\n', { mode: 0o600 })
    const flags = (first: string, second: string): string[] =>
      ['root-key', 'cosigner-root-key'].flatMap((name, index) => [
        `--${name}`,
        'passphrase:',
        `--${name}-passphrase-file`,
        join(dir, index === 0 ? first : second),
      ])
    expect((await init(...flags('a', 'b'))).exitCode).toBe(0)
    const relink = (...with_: string[]) => runCli('cosigner', 'relink', '--data-dir', dataDir, ...with_)
    expect((await relink(...flags('a', 'b'))).exitCode).toBe(0)
    const wrong = await relink(...flags('b', 'a'))
    expect(wrong.exitCode).toBe(1)
    expect(wrong.notes).toBe(
      'countersign: the root key from passphrase: does not open this vault (ROOT_KEY_WRONG)',
    )
  })

  it('says which path cannot be written', async () => {
    writeFileSync(join(dir, 'file'), '')
    const { exitCode, notes } = await runCli('init', '--data-dir', join(dir, 'file', 'data'))
    expect(exitCode).toBe(1)
    expect(notes).toContain(join(dir, 'file', 'data'))
    expect(notes).toContain('(VAULT_UNWRITABLE)')
  })
})

describe('audit verify', () => {
  const alter = (file: string, sql: string): void => {
    const db = new Database(join(dataDir, file))
    const triggers = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`).all() as {
      name: string
      sql: string
    }[]
    for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
    db.exec(sql)
    for (const trigger of triggers) db.exec(trigger.sql)
    db.close()
  }

  it('finds a fresh pair of chains intact', async () => {
    await init()
    const { exitCode, out } = await verify()
    expect(exitCode).toBe(0)
    expect(out).toMatch(/^daemon +intact +\d +[0-9a-f]{64}$/m)
    expect(out).toMatch(/^cosigner +intact +1 +[0-9a-f]{64}$/m)
  })

  it('names the row that was altered, in either chain', async () => {
    await init()
    alter('vault.db', `UPDATE audit SET kind = 'nothing.happened' WHERE sequence = 2`)
    const daemon = await verify()
    expect(daemon.exitCode).toBe(1)
    expect(daemon.out).toMatch(/^daemon +altered at 2$/m)
    expect(daemon.notes).toBe('countersign: an audit chain is broken')
    alter('cosigner.db', `UPDATE audit SET time_ms = 1 WHERE sequence = 1`)
    expect(JSON.parse((await verify('--json')).out)).toMatchObject({
      daemon: { intact: false, firstBadSequence: '2', what: 'altered' },
      cosigner: { intact: false, firstBadSequence: '1', what: 'altered' },
    })
  })

  it('notices a cut-off tail, because the other party remembers more', async () => {
    await init()
    alter('cosigner.db', `INSERT INTO peer_heads VALUES (zeroblob(32), 99, zeroblob(32), 1)`)
    const { exitCode, out } = await verify()
    expect(exitCode).toBe(1)
    expect(out).toMatch(/^daemon +truncated at \d$/m)
  })

  it('refuses while a daemon holds the vault, and a directory without one', async () => {
    await init()
    const { daemon, cosigner } = await openBoth()
    const held = await verify()
    expect(held.exitCode).toBe(1)
    expect(held.notes).toContain('(VAULT_LOCKED): stop it, or ask it with --online')
    await daemon.close()
    await cosigner.close()
    const missing = await runCli('audit', 'verify', '--data-dir', join(dir, 'other'))
    expect(missing).toMatchObject({ exitCode: 1, notes: expect.stringContaining('(VAULT_MISSING)') as string })
  })
})

describe('cosigner relink', () => {
  const store = async (change: Partial<LinkRecord>): Promise<void> => {
    const parties = {
      linkId: new Uint8Array(16).fill(7),
      idC: new Uint8Array(32).fill(1),
      idS: new Uint8Array(32).fill(2),
    }
    const { daemon, cosigner } = await openBoth()
    for (const [vault, role] of [
      [daemon, ROLE_C],
      [cosigner, ROLE_S],
    ] as const) {
      const record = { ...newLinkRecord(parties, role, 1n), ...change }
      await vault.commit((tx) => saveLink(tx, encodeLinkRecord(record), Date.now()))
      await vault.close()
    }
  }

  const storedLinks = async (): Promise<LinkRecord[]> => {
    const { daemon, cosigner } = await openBoth()
    const records = [daemon, cosigner].flatMap((vault) => listLinks(vault.read).map(({ control }) => control))
    await daemon.close()
    await cosigner.close()
    return records.map((control) => decodeLinkRecord(control))
  }

  const relink = () => runCli('cosigner', 'relink', '--data-dir', dataDir)

  it('grants a burned link five set-ups, at both parties, and says so in both chains', async () => {
    await init()
    await store({ state: 'BURNED', burns: 1 })
    const { exitCode, out } = await relink()
    expect(exitCode).toBe(0)
    expect(out.match(/may be set up anew/g)).toHaveLength(2)
    expect((await storedLinks()).map(({ state, relinkGrant }) => [state, relinkGrant])).toEqual([
      ['BURNED', 5],
      ['BURNED', 5],
    ])
    const { daemon, cosigner } = await openBoth()
    for (const vault of [daemon, cosigner]) {
      expect(listAudit(vault.read, 0n, 50).map(({ kind }) => kind)).toContain('link.relink_granted')
      await vault.close()
    }
    expect((await verify()).exitCode).toBe(0)
  })

  it('clears a suspension and leaves an active link alone', async () => {
    await init()
    await store({ state: 'SUSPENDED', strikeAtMs: [1n, 2n, 3n] })
    expect((await relink()).out.match(/suspension cleared/g)).toHaveLength(2)
    expect((await storedLinks()).map(({ state, strikeAtMs }) => [state, ...strikeAtMs])).toEqual([
      ['ACTIVE', 0n, 0n, 0n],
      ['ACTIVE', 0n, 0n, 0n],
    ])
    expect((await relink()).out).toBe('no link is burned or suspended; nothing was changed')
  })

  it('refuses a link that was burned three times', async () => {
    await init()
    await store({ state: 'BURNED', burns: 3 })
    const { exitCode, notes } = await relink()
    expect(exitCode).toBe(1)
    expect(notes).toContain('burned 3 times')
    expect((await storedLinks()).map(({ relinkGrant }) => relinkGrant)).toEqual([0, 0])
  })

  it('refuses while a daemon runs', async () => {
    await init()
    const { daemon, cosigner } = await openBoth()
    expect((await relink()).notes).toContain('(VAULT_LOCKED)')
    await daemon.close()
    await cosigner.close()
  })
})
