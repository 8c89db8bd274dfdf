/** Backups of a daemon that goes on signing, restored elsewhere: sealed, acknowledged, and refused in every mixture. */
import { chmodSync, cpSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { FreezeScope, VaultParty, WebhookState } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { SessionKey } from '../../gen/countersign/v1/session_key_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import {
  acknowledge,
  type BackupKeys,
  type BackupPair,
  backUp,
  makeBackupKeys,
  placeWithRootKeys,
  restore,
  startBackedUp,
  vaultFilesIn,
} from './backup-places.ts'
import { activeKey, hlOrder } from '../session/session-daemon.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf, refusalOf } from './callers.ts'
import { healthOf } from './health.ts'
import { signAs } from './signing-calls.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const base = makeDataDir()
const places = [base]
let keys: BackupKeys
let daemon: TestDaemon
let client: CountersignClient
let evm: Wallet
let sol: Wallet
/** Revoked, and made, after the backup. */
let revoked: { apiKeyId: string; secret: string }
let kept: { apiKeyId: string; secret: string }
let session: SessionKey
let pair: BackupPair

const signs = (by: CountersignClient, wallet: string) => outcomeOf(signAs('SignMessage text', by, { wallet }))

/** A directory with the root keys, to restore into. */
const newPlace = (): string => {
  const place = placeWithRootKeys(base)
  places.push(place)
  return place
}

/** The kinds of rows in the chain of a stopped daemon's cosigner. */
const cosignerKinds = async (at: string): Promise<string[]> => {
  const provider = createRootKeyProvider(`file:${join(at, 'data', 'cosigner-root.key')}`)
  const path = join(at, 'data', 'cosigner.db')
  await using vault = await openCosignerVault({ path, provider, nowMs: Date.now() })
  return vault.read.all<{ kind: string }>('SELECT DISTINCT kind FROM audit').map(({ kind }) => kind)
}

beforeAll(async () => {
  keys = await makeBackupKeys()
  places.push(keys.dir)
  daemon = await startBackedUp(keys, base)
  client = connect(daemon, daemon.adminKey)
  evm = await newWallet(client, 'e', '', KeyType.SECP256K1)
  sol = await newWallet(client, 's', '', KeyType.ED25519)
  revoked = await newKey(client, [{ name: 'wallet:sign' }, { name: 'wallet:read' }])
  kept = await newKey(client, [{ name: 'wallet:sign' }, { name: 'wallet:read' }])
  session = await activeKey(client, { wallet: evm.walletId })
  await client.admin.createWebhook({ url: 'https://receiver.example/' })
})
afterAll(async () => {
  client.close()
  await daemon.kill('SIGKILL')
  for (const place of places) rmSync(place, { recursive: true, force: true })
})

describe('a backup', () => {
  it('is made while wallets are created and signed with, and is chained at both parties', async () => {
    const ending = new AbortController()
    const outcomes: string[] = []
    const load = Promise.all(
      Array.from({ length: 4 }, async (_, lane) => {
        while (!ending.signal.aborted) {
          const call = lane === 0 ? outcomeOf(newWallet(client)) : signs(client, lane === 1 ? sol.walletId : evm.walletId)
          outcomes.push(await call)
        }
      }),
    )
    await sleep(100)
    const before = outcomes.length
    pair = await backUp(client, daemon)
    ending.abort()
    await load
    expect(outcomes.length).toBeGreaterThan(before)
    expect(new Set(outcomes)).toEqual(new Set(['signed']))
    for (const path of [pair.daemon, pair.cosigner]) {
      expect(statSync(path).mode & 0o777).toBe(0o600)
      expect(readFileSync(path).subarray(0, 22).toString()).toBe('age-encryption.org/v1\n')
      expect(readFileSync(path).includes('SQLite format')).toBe(false)
    }
    expect(vaultFilesIn(base).filter((name) => name.includes('copy'))).toEqual([])
    const { events } = await client.audit.listEvents({ pageSize: 500, kind: 'backup.created' })
    expect(events.length).toBeGreaterThan(0)
    const { status } = await client.admin.getStatus({})
    expect(status?.backups.map(({ backup }) => backup?.vault)).toEqual([VaultParty.DAEMON, VaultParty.COSIGNER])
    expect(status?.backups.map(({ refreshedWalletCount }) => refreshedWalletCount)).toEqual([0n, 0n])
    expect(status?.restore).toBeUndefined()
  })

  it('makes the same files for a repeated request, and others for another', async () => {
    const requestId = '9b7e63c4-30b4-4d2c-bd0e-0a9d6b9a9f10'
    const first = await client.admin.createBackup({ requestId })
    expect(await client.admin.createBackup({ requestId })).toEqual(first)
    expect((await backUp(client, daemon)).daemon).not.toContain(first.backups[0]?.fileName)
  })

  it('is refused, with nothing left, where its directory cannot be written', async () => {
    const directory = join(daemon.dataDir, 'backups')
    const before = vaultFilesIn(base)
    rmSync(`${directory}.aside`, { recursive: true, force: true })
    cpSync(directory, `${directory}.aside`, { recursive: true })
    rmSync(directory, { recursive: true })
    writeFileSync(directory, 'not a directory')
    expect(await reasonOf(client.admin.createBackup({}))).toBe('BACKUP_FAILED')
    expect(vaultFilesIn(base)).toEqual(before)
    rmSync(directory)
    cpSync(`${directory}.aside`, directory, { recursive: true })
    expect(await signs(client, evm.walletId)).toBe('signed')
  })

  it('is BACKUP_NOT_CONFIGURED without recipients, which are refused alone and alike', async () => {
    const other = await startDaemon()
    try {
      const refusal = await refusalOf(connect(other, other.adminKey).admin.createBackup({}))
      expect(refusal).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'BACKUP_NOT_CONFIGURED' })
    } finally {
      await other[Symbol.asyncDispose]()
    }
    const [flag = '', recipient = ''] = keys.args
    const check = (...args: string[]) => runCli(['config', 'check', ...args])
    expect((await check(flag, recipient)).code).toBe(2)
    expect((await check(flag, recipient, '--cosigner-backup-recipient', recipient)).code).toBe(2)
    expect((await check(flag, recipient.slice(0, -1))).code).toBe(2)
    expect((await check(...keys.args)).code).toBe(0)
  })
})

describe('a restore', () => {
  let place: string
  let restored: TestDaemon

  beforeAll(async () => {
    const changed = async () =>
      (await client.admin.getStatus({})).status?.backups.map(({ refreshedWalletCount }) => refreshedWalletCount)
    pair = await backUp(client, daemon)
    expect(await changed()).toEqual([0n, 0n])
    await client.admin.revokeApiKey({ apiKeyId: revoked.apiKeyId })
    await client.admin.freeze({ scope: FreezeScope.WALLET, id: sol.walletId, note: 'after the backup' })
    await newWallet(client, 'after')
    await client.wallets.refreshShares({ wallet: evm.walletId })
    expect(await changed()).toEqual([1n, 1n])
  })
  afterAll(async () => {
    await restored?.kill('SIGKILL')
  })

  it('is not made beside the log of a vault that was taken away: it would be played into the new one', async () => {
    const other = newPlace()
    for (const stray of ['vault.db-wal', 'cosigner.db-wal']) {
      const path = join(other, 'data', stray)
      writeFileSync(path, 'left behind')
      const { code, stderr } = await restore(other, keys, pair)
      expect({ code, named: stderr.includes(stray) }).toEqual({ code: 1, named: true })
      expect(readFileSync(path, 'utf8')).toBe('left behind')
      expect(vaultFilesIn(other)).toEqual([stray])
      rmSync(path)
    }
  })

  it('makes both vaults once, and never over a vault', async () => {
    place = newPlace()
    const { code, stderr, stdout } = await restore(place, keys, pair)
    expect(stderr).toContain('restore acknowledge')
    expect({ code, sealed: stdout.includes('sealed') }).toEqual({ code: 0, sealed: true })
    expect(vaultFilesIn(place)).toEqual(['cosigner.db', 'vault.db'])
    const again = await restore(place, keys, pair)
    expect(again).toMatchObject({ code: 1 })
    expect(again.stderr).toContain('VAULT_EXISTS')
    expect((await restore(base, keys, pair)).stderr).toMatch(/VAULT_(EXISTS|LOCKED)/)
  })

  it('leaves a daemon that signs nothing, changes nothing and lets only operators look', async () => {
    await restored?.kill('SIGKILL')
    restored = await startBackedUp(keys, place)
    const operator = connect(restored, daemon.adminKey)
    expect(await healthOf(restored)).toBe('NOT_SERVING')
    expect(await healthOf(restored, 'countersign.v1.WalletService')).toBe('NOT_SERVING')
    const sealed = 'RESTORE_UNACKNOWLEDGED'
    const refusal = await refusalOf(signAs('SignMessage text', operator, { wallet: evm.walletId }))
    expect(refusal).toMatchObject({ code: 'FAILED_PRECONDITION', reason: sealed, retryable: 'no' })
    expect(await outcomeOf(newWallet(operator))).toBe(sealed)
    expect(await outcomeOf(newKey(operator, [{ name: 'wallet:read' }]))).toBe(sealed)
    expect(await outcomeOf(operator.admin.unfreeze({ scope: FreezeScope.EVERYTHING }))).toBe(sealed)
    expect(await outcomeOf(operator.admin.createBackup({}))).toBe(sealed)
    expect(await outcomeOf(operator.admin.rotateVaultKey({ vault: VaultParty.DAEMON }))).toBe(sealed)
    expect(await outcomeOf(operator.admin.revokeApiKey({ apiKeyId: kept.apiKeyId }))).toBe(sealed)
    const { wallet } = await operator.wallets.getWallet({ wallet: evm.walletId })
    expect(wallet?.address).toBe(evm.address)
    const { status } = await operator.admin.getStatus({})
    expect(status?.restore).toMatchObject({ vaultEpoch: 2 })
    expect(status?.restore?.acknowledgeTime).toBeUndefined()
    for (const secret of [revoked.secret, kept.secret]) {
      const caller = connect(restored, secret)
      expect(await outcomeOf(caller.wallets.getWallet({ wallet: evm.walletId }))).toBe(sealed)
      expect(await signs(caller, evm.walletId)).toBe(sealed)
      caller.close()
    }
    operator.close()
    expect(await restored.kill('SIGTERM')).toBe(0)
  })

  it('is acknowledged only with a word on every API key', async () => {
    // Of a copy, which a try that fails leaves to itself.
    const sealed = place
    const own = newPlace()
    cpSync(join(sealed, 'data'), join(own, 'data'), { recursive: true })
    const shown = await acknowledge(own)
    expect(shown.code).toBe(1)
    expect(shown.stdout).toContain(revoked.apiKeyId)
    expect(shown.stdout).toContain(kept.apiKeyId)
    expect(shown.stderr).toContain('nothing was acknowledged')
    expect((await acknowledge(own, '--keep-api-key', 'key_ffffffffffffffff')).code).toBe(2)
    const done = await acknowledge(own, '--keep-api-key', kept.apiKeyId, '--new-admin-key')
    expect({ code: done.code, notes: done.stderr }).toMatchObject({ code: 0 })
    expect(done.stdout).toMatch(new RegExp(`revoked +${revoked.apiKeyId}`))
    for (const { walletId } of [evm, sol]) expect(done.stdout).toMatch(new RegExp(`to refresh +${walletId}`))
    expect((await acknowledge(own)).stdout).toContain('not sealed')
    place = own
  })

  it('then signs with the same addresses, under the keys that were named and no other', async () => {
    restored = await startBackedUp(keys, place)
    expect(await healthOf(restored)).toBe('SERVING')
    const operator = connect(restored, restored.adminKey)
    const caller = connect(restored, kept.secret)
    for (const wallet of [evm, sol]) {
      const found = (await caller.wallets.getWallet({ wallet: wallet.walletId })).wallet
      expect(found).toMatchObject({ address: wallet.address, publicKey: wallet.publicKey })
      expect(await signs(caller, wallet.walletId)).toBe('signed')
    }
    for (const secret of [revoked.secret, daemon.adminKey]) {
      expect(await reasonOf(connect(restored, secret).wallets.getWallet({ wallet: evm.walletId }))).toBe('API_KEY_INVALID')
    }
    expect(await outcomeOf(caller.wallets.getWallet({ wallet: 'after' }))).toBe('WALLET_NOT_FOUND')
    expect((await operator.admin.listWebhooks({})).webhooks).toMatchObject([{ state: WebhookState.DISABLED }])
    const { status } = await operator.admin.getStatus({})
    expect(status?.restore).toMatchObject({ vaultEpoch: 2, unrefreshedWalletCount: status?.walletCount })
    expect(status?.restore?.acknowledgeTime).toBeDefined()
    const bot = connect(restored, (await newKey(operator, [{ name: 'session:sign' }])).secret)
    const action = { sessionKeyId: session.sessionKeyId, family: 'order', actionJson: hlOrder() }
    expect(await reasonOf(bot.sessionKeys.signAction(action))).toBe('SESSION_REVOKED')
    bot.close()
    const left = status?.restore?.unrefreshedWalletCount ?? 0n
    expect(await outcomeOf(operator.wallets.refreshShares({ wallet: evm.walletId }))).toBe('PERMISSION_MISSING')
    const refresher = await newKey(operator, [{ name: 'wallet:admin' }])
    const refreshing = connect(restored, refresher.secret)
    await refreshing.wallets.refreshShares({ wallet: evm.walletId })
    refreshing.close()
    expect((await operator.admin.getStatus({})).status?.restore?.unrefreshedWalletCount).toBe(left - 1n)
    expect(await signs(caller, evm.walletId)).toBe('signed')
    const verdict = await operator.audit.verifyChain({})
    expect(verdict.valid).toBe(true)
    expect(await outcomeOf(newWallet(operator))).toBe('PERMISSION_MISSING')
    // A backup of the restored vaults restores again.
    const second = newPlace()
    const next = await backUp(operator, restored)
    expect((await restore(second, keys, next)).code).toBe(0)
    operator.close()
    caller.close()
  })

  it('of one side only, or of a file copied by hand, is a rollback as ever', async () => {
    await restored.kill('SIGTERM')
    const mixed = async (own: string, theirs: string): Promise<string> => {
      const at = newPlace()
      cpSync(join(own, 'data', 'vault.db'), join(at, 'data', 'vault.db'))
      cpSync(join(theirs, 'data', 'cosigner.db'), join(at, 'data', 'cosigner.db'))
      cpSync(join(base, 'data', 'admin.key'), join(at, 'data', 'admin.key'))
      try {
        await using started = await startDaemon({ dataDir: at, keepData: true })
        const caller = connect(started, kept.secret)
        const outcome = await signs(caller, evm.walletId)
        caller.close()
        return outcome
      } catch (error) {
        return /VAULT_ROLLED_BACK/.exec(String(error))?.[0] ?? String(error)
      }
    }
    client.close()
    await daemon.kill('SIGTERM')
    expect(await cosignerKinds(base)).toContain('backup.created')
    expect(await cosignerKinds(place)).toEqual(expect.arrayContaining(['vault.restored', 'vault.restore_acknowledged']))
    const stopped = /^(VAULT_ROLLED_BACK|COSIGNER_UNAVAILABLE)$/
    expect(await mixed(place, place)).toBe('signed')
    expect(await mixed(place, base)).toMatch(stopped)
    expect(await mixed(base, place)).toMatch(stopped)
    expect(await mixed(base, base)).toBe('signed')
    daemon = await startBackedUp(keys, base)
    client = connect(daemon, daemon.adminKey)
  })
})

describe('a backup is refused', () => {
  const refused = async (change: (files: { daemon: string; cosigner: string }) => BackupPair, identities = keys) => {
    const at = newPlace()
    const files = { daemon: join(at, 'd.age'), cosigner: join(at, 'c.age') }
    cpSync(pair.daemon, files.daemon)
    cpSync(pair.cosigner, files.cosigner)
    const { code, stderr } = await restore(at, identities, change(files))
    expect(code).toBe(1)
    expect(vaultFilesIn(at)).toEqual([])
    return /\((?<reason>[A-Z_]+)\)\n?$/.exec(stderr)?.groups?.reason
  }

  it('when the two are exchanged', async () => {
    expect(await refused(({ daemon: own, cosigner }) => ({ daemon: cosigner, cosigner: own }))).toBe('BACKUP_KEY_WRONG')
    const both = makeDataDir()
    places.push(both)
    const all = readFileSync(join(keys.dir, 'daemon.txt'), 'utf8') + readFileSync(join(keys.dir, 'cosigner.txt'), 'utf8')
    for (const name of ['daemon.txt', 'cosigner.txt']) writeFileSync(join(both, name), all, { mode: 0o600 })
    const exchange = ({ daemon: own, cosigner }: BackupPair) => ({ daemon: cosigner, cosigner: own })
    expect(await refused(exchange, { dir: both, args: [] })).toBe('BACKUP_WRONG_VAULT')
  })

  it('when it is altered or cut off', async () => {
    for (const at of [0.1, 0.5, 0.9]) {
      const flip = (files: BackupPair): BackupPair => {
        const bytes = readFileSync(files.cosigner)
        const where = Math.floor(bytes.length * at)
        bytes[where] = (bytes[where] ?? 0) ^ 0x80
        writeFileSync(files.cosigner, bytes)
        return files
      }
      expect(await refused(flip)).toBe('BACKUP_CORRUPT')
      const cut = (files: BackupPair): BackupPair => {
        const bytes = readFileSync(files.daemon)
        writeFileSync(files.daemon, bytes.subarray(0, Math.floor(bytes.length * at)))
        return files
      }
      expect(await refused(cut)).toBe('BACKUP_CORRUPT')
    }
  })

  it('when the two were not made together', async () => {
    const later = await backUp(client, daemon)
    expect(await refused((files) => ({ daemon: files.daemon, cosigner: later.cosigner }))).toBe('BACKUP_MISMATCH')
  })

  it('when the root key is not the one it was made under, or others may read the identity', async () => {
    const at = newPlace()
    writeFileSync(join(at, 'data', 'root.key'), 'ab'.repeat(32), { mode: 0o600 })
    expect((await restore(at, keys, pair)).stderr).toContain('ROOT_KEY_WRONG')
    expect(vaultFilesIn(at)).toEqual([])
    chmodSync(join(keys.dir, 'daemon.txt'), 0o644)
    expect((await restore(newPlace(), keys, pair)).stderr).toContain('BACKUP_KEY_UNREADABLE')
    chmodSync(join(keys.dir, 'daemon.txt'), 0o600)
  })
})
