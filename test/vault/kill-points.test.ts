/** A process killed before every step of a backup and of a rotation leaves a vault that opens with the key that is there. */
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { verifyAuditChain } from '../../src/vault/audit-chain.ts'
import { createIdentityFile, readIdentityFile } from '../../src/vault/backup-keys.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { readBackup } from '../../src/vault/read-backup.ts'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { openShare, sealShare } from '../../src/vault/sealed-record.ts'
import { activateShare, listShares } from '../../src/vault/wallet-shares.ts'
import { runUntil, stepsOf } from '../fault/run-until.ts'
import { makePlace, makeVault, NOW } from './fixture.ts'

const PROGRAM = join(import.meta.dirname, 'programs', 'keep-vault.ts')
const SHARES = 40
/** Interior steps of one transaction are one point: nothing of it is there before its COMMIT. */
const SAME_AS_NEXT = /^sqlite\.(INSERT|UPDATE|DELETE|exec)$/

const makeFilled = async () => {
  const place = makePlace()
  const vault = await makeVault(place)
  const records: string[] = []
  await vault.commit((tx) => {
    for (let at = 0; at < SHARES; at++) {
      const record = randomBytes(251)
      records.push(record.toString('hex'))
      const at0 = { walletId: randomBytes(16), wEpoch: 0, recordVersion: 1n, header: randomBytes(45) }
      const share = sealShare(vault.shareKey(), { vaultId: vault.vaultId, ...at0 }, record)
      activateShare(tx, { share, linkId: new Uint8Array(16), state: 'ACTIVE', timeMs: NOW })
    }
  })
  await vault.close()
  return { dir: place.dir, records: records.toSorted() }
}

test('before every step', { timeout: 170_000 }, async () => {
  const { dir, records } = await makeFilled()
  const outside = makePlace().dir
  const recipient = createIdentityFile(join(outside, 'identity.txt'), NOW)
  const identities = readIdentityFile(join(outside, 'identity.txt'))
  const work = join(outside, 'work')
  const begin = (): string[] => {
    rmSync(work, { recursive: true, force: true })
    mkdirSync(work, { mode: 0o700 })
    cpSync(dir, work, { recursive: true })
    return [PROGRAM, work, recipient.text]
  }
  const steps = await stepsOf(begin(), join(outside, 'steps.txt'))
  const points = steps.flatMap((name, at) => (SAME_AS_NEXT.test(name) && steps[at + 1] !== undefined ? [] : [at + 1]))
  expect(steps.filter((name) => name === 'fs.renameSync')).toHaveLength(1)
  expect(points.length).toBeGreaterThan(25)
  let rotated = 0
  let backedUp = 0
  for (const point of points) {
    const what = `step ${point}, ${steps[point - 1]}`
    await runUntil(begin(), point)
    const provider = createRootKeyProvider(`file:${join(work, 'root.key')}`)
    const vault = await openDaemonVault({ path: join(work, 'vault.db'), provider, nowMs: NOW })
    try {
      const shares = listShares(vault.read, { limit: 1_000 })
      const found = shares.map((share) => Buffer.from(openShare(vault.shareKey(), vault.vaultId, share)).toString('hex'))
      expect(found.toSorted(), what).toEqual(records)
      expect(vault.shareKey(), what).toHaveLength(32)
      expect(await verifyAuditChain(vault.read), what).toMatchObject({ intact: true })
      expect(existsSync(join(work, 'vault.db.copy')), what).toBe(false)
      const kinds = vault.read.all<{ kind: string }>('SELECT kind FROM audit').map(({ kind }) => kind)
      if (kinds.includes('vault.key_rotated')) rotated += 1
      const backups = join(work, 'backups')
      const whole = existsSync(backups) ? readdirSync(backups).filter((name) => name.endsWith('.age')) : []
      if (kinds.includes('backup.created')) expect(whole, what).toHaveLength(1)
      for (const name of whole) {
        backedUp += 1
        const source = { path: join(backups, name), identities, kind: 'daemon' } as const
        await readBackup(source, join(work, 'restored.db'))
      }
    } finally {
      await vault.close()
    }
  }
  expect(rotated).toBeGreaterThan(3)
  expect(rotated).toBeLessThan(points.length - 10)
  expect(backedUp).toBeGreaterThan(10)
})
