/** What only the cosigner's operator says, on the vault of a stopped daemon. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { newDevice } from '../party/owned-wallets.ts'
import { runCli } from './run-cli.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = join(mkdtempSync(join(tmpdir(), 'countersign-owners-')), 'data')
  expect((await runCli('init', '--data-dir', dataDir)).exitCode).toBe(0)
})
afterEach(() => rmSync(join(dataDir, '..'), { recursive: true, force: true }))

const cosigner = (command: string, ...args: string[]) => runCli('cosigner', command, '--data-dir', dataDir, ...args)
const ANNA = ['--project', 'default', '--user', 'anna']
const openVault = () => {
  const provider = createRootKeyProvider(`file:${join(dataDir, 'cosigner-root.key')}`)
  return openCosignerVault({ path: join(dataDir, 'cosigner.db'), provider, nowMs: Date.now() })
}

describe('wallet secrets', () => {
  const publicKey = Buffer.from(newDevice().publicKey).toString('base64')

  it('are bound, listed and removed, and each is a row of the chain', async () => {
    expect((await cosigner('list-wallet-secrets', ...ANNA)).out).toContain('no wallet secret')
    expect((await cosigner('bind-wallet-secret', ...ANNA, '--public-key', publicKey)).out).toMatch(/^bound; exports from /)
    const { out } = await cosigner('list-wallet-secrets', ...ANNA)
    expect(out).toContain(publicKey)
    expect(out).toContain('operator')
    const again = await cosigner('bind-wallet-secret', ...ANNA, '--public-key', publicKey)
    expect(again).toMatchObject({ exitCode: 1, notes: expect.stringContaining('(WALLET_SECRET_REFUSED)') as string })
    expect((await cosigner('remove-wallet-secret', ...ANNA, '--public-key', publicKey)).out).toBe('removed')
    const gone = await cosigner('remove-wallet-secret', ...ANNA, '--public-key', publicKey)
    expect(gone).toMatchObject({ exitCode: 1, notes: expect.stringContaining('(WALLET_SECRET_REFUSED)') as string })
    await using vault = await openVault()
    const rows = listAudit(vault.read, 0n, 100).filter(({ kind }) => kind.startsWith('wallet_secret'))
    expect(rows.map(({ kind, actor }) => `${kind} ${actor.kind}`)).toEqual([
      'wallet_secret.bound operator',
      'wallet_secret.removed operator',
    ])
  })

  it('are keys on P-256 of a user that can be', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'der', type: 'spki' })
    for (const key of ['', 'AAAA', other.toString('base64')]) {
      const { exitCode, notes } = await cosigner('bind-wallet-secret', ...ANNA, '--public-key', key)
      expect(exitCode).toBe(2)
      expect(notes).toContain('P-256')
    }
    const args = ['--project', 'NO', '--user', 'anna', '--public-key', publicKey]
    expect((await cosigner('bind-wallet-secret', ...args)).exitCode).toBe(2)
    expect((await cosigner('bind-wallet-secret', '--project', 'default')).exitCode).toBe(2)
  })
})

describe('approve-export', () => {
  const x25519 = Buffer.alloc(32, 9).toString('base64')

  it('takes one key that something can be sealed to, and a wallet that the cosigner knows', async () => {
    const wallet = `wal_${'ab'.repeat(16)}`
    const unknown = await cosigner('approve-export', '--wallet', wallet, '--x25519-key', x25519)
    expect(unknown).toMatchObject({ exitCode: 1, notes: expect.stringContaining('no share') as string })
    const small = join(dataDir, 'small.pem')
    writeFileSync(small, generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey.export({ format: 'pem', type: 'spki' }))
    const wrong = [
      ['--wallet', 'alice', '--x25519-key', x25519],
      ['--wallet', wallet],
      ['--wallet', wallet, '--x25519-key', x25519, '--rsa-key-file', small],
      ['--wallet', wallet, '--x25519-key', Buffer.alloc(32).toString('base64')],
      ['--wallet', wallet, '--rsa-key-file', small],
      ['--wallet', wallet, '--x25519-key', x25519, '--valid-minutes', '100000'],
    ]
    for (const args of wrong) expect((await cosigner('approve-export', ...args)).exitCode, args.join(' ')).toBe(2)
  })
})

it('identity prints what clients pin, and nothing is done while the cosigner is in use', async () => {
  expect((await cosigner('identity')).out).toMatch(/^[0-9a-f]{64}$/)
  await using vault = await openVault()
  expect(vault.kind).toBe('cosigner')
  expect((await cosigner('identity')).notes).toContain('(VAULT_LOCKED)')
})
