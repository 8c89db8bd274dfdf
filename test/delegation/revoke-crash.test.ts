/** A revocation that is cut off, and what backups hold of delegated access. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { openAccessEnds } from '../../src/commands/wire-delegates.ts'
import { accessIdToBytes, type AccessId } from '../../src/domain/ids.ts'
import { createIdentityFile, readIdentityFile } from '../../src/vault/backup-keys.ts'
import { getDelegatedAccess } from '../../src/vault/delegated-access.ts'
import { readBackup } from '../../src/vault/read-backup.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { writeBackup } from '../../src/vault/write-backup.ts'
import { makePlace, makeVault, openVaultAt } from '../vault/fixture.ts'
import { grant } from './granting-scene.ts'

const PROGRAM = join(import.meta.dirname, 'programs', 'revoke-until-killed.ts')
const filesOf = (dir: string): Buffer => Buffer.concat(readdirSync(dir).map((name) => readFileSync(join(dir, name))))

/** Runs the program until so many milliseconds after its first revocation began. */
const runAndKill = async (dir: string, afterMs: number): Promise<string[]> => {
  const child = spawn(process.execPath, [PROGRAM, dir, '24'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  const ready = Promise.withResolvers<void>()
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('latin1')
    if (output.includes('ready\n')) ready.resolve()
  })
  await Promise.race([ready.promise, once(child, 'close')])
  await sleep(afterMs)
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  return output.slice(0, output.lastIndexOf('\n')).split('\n')
}

it('a revocation that was acknowledged holds after a kill; one that was not is whole or not at all', async () => {
  const place = makePlace()
  await (await makeVault(place)).close()
  let [over, open] = [0, 0]
  for (const afterMs of [3, 11]) {
    const lines = await runAndKill(place.dir, afterMs)
    const acknowledged = new Set(lines.flatMap((line) => (line.startsWith('revoked ') ? [line.slice(8)] : [])))
    // Opening verifies every row against the state index.
    const vault = await openVaultAt(place)
    openAccessEnds(vault, { erase: async () => undefined } as never)
    const files = filesOf(place.dir)
    for (const line of lines.filter((one) => one.startsWith('granted '))) {
      const [, id = '', ...sealed] = line.split(' ')
      const access = getDelegatedAccess(vault.read, id as AccessId)
      const hasShare = getShare(vault.read, accessIdToBytes(id as AccessId)) !== undefined
      const isInFiles = sealed.some((hex) => files.includes(Buffer.from(hex, 'hex')))
      const isOver = access?.state === 'REVOKED'
      expect([hasShare, isInFiles]).toEqual([!isOver, !isOver])
      if (acknowledged.has(id)) expect(isOver).toBe(true)
      if (isOver) over += 1
      else open += 1
    }
    await vault.close()
  }
  expect(over).toBeGreaterThan(0)
  expect(open + over).toBe(48)
}, 120_000)

it('a backup holds no share of it, and says that all of it is over', async () => {
  const vault = await makeVault()
  const { access, own } = await grant(vault)
  const row = getShare(vault.read, own.walletId)!
  const identityPath = join(vault.place.dir, 'identity')
  const recipient = createIdentityFile(identityPath, Date.now())
  const directory = join(vault.place.dir, 'backups')
  const made = await writeBackup(vault, { directory, recipient, setId: new Uint8Array(16), nowMs: Date.now() })
  // Here it goes on.
  expect(getDelegatedAccess(vault.read, access.accessId)?.state).toBe('PENDING')
  expect(getShare(vault.read, own.walletId)).toBeDefined()
  const place = { ...vault.place, path: join(vault.place.dir, 'restored.db') }
  await readBackup({ path: join(directory, made.fileName), identities: readIdentityFile(identityPath), kind: 'daemon' }, place.path)
  const bytes = readFileSync(place.path)
  for (const sealed of [row.wrappedKey, row.ciphertext]) expect(bytes.includes(sealed)).toBe(false)
  const restored = await openVaultAt(place)
  expect(getDelegatedAccess(restored.read, access.accessId)).toMatchObject({ state: 'REVOKED', endReason: 'restore' })
  expect(getShare(restored.read, own.walletId)).toBeUndefined()
})
