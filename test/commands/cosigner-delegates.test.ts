/** What only the cosigner's operator says about delegates, on the vault of a stopped daemon. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { runCli } from './run-cli.ts'

let dataDir: string
const pem = (bits: number) => generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'pem', type: 'spki' })
const fileOf = (name: string, text: string | Buffer): string => {
  const path = join(dataDir, '..', name)
  writeFileSync(path, text)
  return path
}
beforeAll(async () => {
  dataDir = join(mkdtempSync(join(tmpdir(), 'countersign-delegates-')), 'data')
  expect((await runCli('init', '--data-dir', dataDir)).exitCode).toBe(0)
})
afterAll(() => rmSync(join(dataDir, '..'), { recursive: true, force: true }))

const delegate = (command: string, ...args: string[]) => runCli('cosigner', 'delegate', command, '--data-dir', dataDir, ...args)
const IDENTITY = 'ab'.repeat(32)

it('delegates are registered, given other keys, listed and removed, and each is a row of the chain', async () => {
  const [first, second, small] = [fileOf('a.pem', pem(3_072)), fileOf('b.pem', pem(3_072)), fileOf('small.pem', pem(2_048))]
  expect((await delegate('list')).out).toBe('the cosigner knows no delegate')
  const bots = ['--name', 'bots', '--identity-key', IDENTITY]
  const wrong = [
    ['--name', 'bots', '--identity-key', 'ab', '--rsa-key-file', first],
    [...bots, '--rsa-key-file', small],
    [...bots, '--rsa-key-file', fileOf('none.pem', 'nothing')],
    bots,
    ['--name', '\u0007', '--identity-key', IDENTITY, '--rsa-key-file', first],
  ]
  for (const args of wrong) expect((await delegate('add', ...args)).exitCode, args.join(' ')).toBe(2)
  const added = await delegate('add', ...bots, '--rsa-key-file', first)
  expect(added.out).toMatch(/^[0-9a-f]{64}$/)
  const before = (await delegate('list')).out
  expect((await delegate('add', ...bots, '--rsa-key-file', second)).out).toBe(added.out)
  const after = (await delegate('list')).out
  expect(before).not.toBe(after)
  for (const text of ['bots', added.out, IDENTITY]) expect(after).toContain(text)

  const unknown = await delegate('approve', '--delegate', 'bots', '--wallet', `wal_${'ab'.repeat(16)}`)
  expect(unknown).toMatchObject({ exitCode: 1, notes: expect.stringContaining('no share') as string })
  const nobody = await delegate('approve', '--delegate', 'nobody', '--wallet', `wal_${'ab'.repeat(16)}`)
  expect(nobody).toMatchObject({ exitCode: 1, notes: expect.stringContaining('no delegate nobody') as string })
  expect((await delegate('approve', '--delegate', 'bots', '--wallet', 'alice')).exitCode).toBe(2)

  // It came again, as somebody else: which of the two is meant is not guessed.
  const another = await delegate('add', '--name', 'bots', '--identity-key', 'cd'.repeat(32), '--rsa-key-file', second)
  for (const command of [['remove'], ['approve', '--wallet', `wal_${'ab'.repeat(16)}`]]) {
    const meant = await delegate(command[0] as string, '--delegate', 'bots', ...command.slice(1))
    expect(meant).toMatchObject({ exitCode: 1, notes: expect.stringContaining('2 delegates are called bots') as string })
  }
  expect((await delegate('remove', '--delegate', another.out)).out).toBe('removed')

  expect((await delegate('remove', '--delegate', added.out)).out).toBe('removed')
  expect((await delegate('remove', '--delegate', 'bots')).exitCode).toBe(1)
  const provider = createRootKeyProvider(`file:${join(dataDir, 'cosigner-root.key')}`)
  await using vault = await openCosignerVault({ path: join(dataDir, 'cosigner.db'), provider, nowMs: Date.now() })
  const kinds = listAudit(vault.read, 0n, 100).map(({ kind }) => kind).filter((kind) => kind.startsWith('delegate.'))
  expect(kinds).toEqual(['delegate.registered', 'delegate.registered', 'delegate.registered', 'delegate.removed', 'delegate.removed'])
})
