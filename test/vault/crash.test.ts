import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { AuditHead } from '../../src/vault/audit-chain.ts'
import { verifyAuditChain } from '../../src/vault/audit-chain.ts'
import { countRunningIntents } from '../../src/vault/intents.ts'
import { readUsage } from '../../src/vault/usage.ts'
import { makePlace, makeVault, openVaultAt } from './fixture.ts'

const PROGRAM = join(import.meta.dirname, 'programs', 'sign-forever.ts')
const ROUNDS = 6

/** Runs the program until it is killed at a moment drawn from the seed; answers what it had acknowledged. */
const runAndKill = async (dir: string, seed: number): Promise<{ what: string; head: AuditHead }[]> => {
  const child = spawn(process.execPath, [PROGRAM, dir, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('latin1')
  })
  await once(child.stdout, 'data')
  const lifeMs = 20 + ((seed * 7919) % 180)
  setTimeout(() => child.kill('SIGKILL'), lifeMs)
  await once(child, 'close')
  // A line cut by the kill was not heard by anyone.
  const lines = output.slice(0, output.lastIndexOf('\n')).split('\n')
  return lines.flatMap((line) => {
    const [what = '', sequence = '', hash = ''] = line.split(' ')
    const head = { sequence: BigInt(sequence), hash: Buffer.from(hash, 'hex') }
    return what === 'opened' ? [] : [{ what, head }]
  })
}

test('a process killed under load loses nothing it acknowledged', async () => {
  const place = makePlace()
  await (await makeVault(place)).close()
  let total = 0
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const acknowledged = await runAndKill(place.dir, seed)
    total += acknowledged.length
    const vault = await openVaultAt(place)
    const remembered = acknowledged.map(({ head }) => head)
    expect(await verifyAuditChain(vault.read, { remembered }), `seed ${seed}`).toMatchObject({ intact: true })
    expect(countRunningIntents(vault.read)).toBe(0)
    for (const { what, head } of acknowledged) {
      const column = what === 'intent' ? 'sequence' : 'complete_sequence'
      const row = vault.read.one<{ state: string }>(`SELECT state FROM intents WHERE ${column} = ?`, head.sequence)
      expect(row?.state).toMatch(what === 'intent' ? /^(DONE|IN_DOUBT)$/ : /^DONE$/)
    }
    const intents = vault.read.one<{ n: bigint }>('SELECT count(*) AS n FROM intents')!.n
    const meter = { principal: 'key_1', permission: 'p', token: 't', day: 1 }
    expect(readUsage(vault.read, meter)).toBe(intents)
    expect(vault.read.one('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' })
    await vault.close()
  }
  expect(total).toBeGreaterThan(ROUNDS)
})
