import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseRequestId } from '../../src/domain/ids.ts'
import type { ApiKeyId } from '../../src/domain/ids.ts'
import { auditHead, getAudit, verifyAuditChain } from '../../src/vault/audit-chain.ts'
import {
  beginIntent,
  completeIntent,
  countRunningIntents,
  doubtIntent,
  failIntent,
  findIntent,
  getIntent,
  PresignatureReused,
  REQUEST_LIFE_MS,
} from '../../src/vault/intents.ts'
import { pruneUsage, readUsage, utcDay } from '../../src/vault/usage.ts'
import type { Charge, UsageMeter } from '../../src/vault/usage.ts'
import { event, intent, makeCosignerVault, makeVault, NOW, openVaultAt, reasonOf, sha256 } from './fixture.ts'

const KEY = 'key_0011223344556677' as ApiKeyId
const METER: UsageMeter = { principal: KEY, permission: 'wallet:sign', token: '1:0xabc', day: utcDay(NOW) }
const charge = (amount: bigint, allowed: bigint): Charge => ({ ...METER, amount, allowed })
const REQUEST = parseRequestId('00000000-0000-4000-8000-000000000001')!

test('an intent is its audit row; completion is another', async () => {
  const vault = await makeVault()
  const fresh = intent()
  const head = await vault.commit((tx) => beginIntent(tx, fresh))
  expect(auditHead(vault.read)).toEqual(head)
  expect(getIntent(vault.read, head.sequence)).toMatchObject({ state: 'RUNNING', caller: fresh.caller })
  const completion = { signatureHash: sha256(randomBytes(65)), r: randomBytes(32), event: event('sign.done') }
  const done = await vault.commit((tx) => completeIntent(tx, head.sequence, completion))
  expect(getAudit(vault.read, done!.sequence)?.kind).toBe('sign.done')
  expect(getIntent(vault.read, head.sequence)).toMatchObject({ state: 'DONE', completeSequence: done!.sequence })
  expect(await vault.commit((tx) => failIntent(tx, head.sequence, event('sign.failed')))).toBeUndefined()
  expect(auditHead(vault.read)).toEqual(done)
})

test('an intent ends once: done, failed or in doubt', async () => {
  const vault = await makeVault()
  for (const close of [failIntent, doubtIntent]) {
    const { sequence } = await vault.commit((tx) => beginIntent(tx, intent()))
    expect(await vault.commit((tx) => close(tx, sequence, event('sign.end')))).toBeDefined()
    const completion = { signatureHash: randomBytes(32), r: randomBytes(32), event: event('sign.done') }
    expect(await vault.commit((tx) => completeIntent(tx, sequence, completion))).toBeUndefined()
  }
  expect(countRunningIntents(vault.read)).toBe(0)
})

test('a presignature or a nonce point never serves a wallet twice, at either party', async () => {
  for (const vault of [await makeVault(), await makeCosignerVault()]) {
    const first = intent()
    await vault.commit((tx) => beginIntent(tx, first))
    const before = auditHead(vault.read)
    const again = (changes: object) =>
      vault.commit((tx) => beginIntent(tx, intent({ walletId: first.walletId, ...changes }))).then(
        () => 'taken',
        (error: unknown) => (error instanceof PresignatureReused ? error.which : String(error)),
      )
    expect(await again({ presigId: first.presigId })).toBe('presignature')
    expect(await again({ rPoint: first.rPoint })).toBe('nonce')
    expect(await again({ presigId: first.presigId, rPoint: first.rPoint })).not.toBe('taken')
    expect(auditHead(vault.read)).toEqual(before)
    expect(await again({})).toBe('taken')
    await vault.commit((tx) => beginIntent(tx, intent({ presigId: first.presigId, rPoint: first.rPoint })))
  }
})

test('of many concurrent uses of one presignature one is recorded', async () => {
  const vault = await makeVault()
  const walletId = randomBytes(16)
  const presigId = randomBytes(16)
  const use = () => vault.commit((tx) => beginIntent(tx, intent({ walletId, presigId })))
  const outcomes = await Promise.allSettled(Array.from({ length: 100 }, use))
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(PresignatureReused)
  }
  expect((await verifyAuditChain(vault.read)).intact).toBe(true)
})

test('the reuse is refused after a restart too', async () => {
  const vault = await makeVault()
  const first = intent()
  await vault.commit((tx) => beginIntent(tx, first))
  await vault.close()
  const again = await openVaultAt(vault.place)
  const repeat = intent({ walletId: first.walletId, presigId: first.presigId })
  await expect(again.commit((tx) => beginIntent(tx, repeat))).rejects.toBeInstanceOf(PresignatureReused)
})

test('concurrent charges never pass a cap together', async () => {
  const vault = await makeVault()
  const tries = Array.from({ length: 200 }, () =>
    vault.commit((tx) => beginIntent(tx, intent({ charges: [charge(1n, 100n)] }))).then(
      () => 'signed',
      (error) => error.reason,
    ),
  )
  const outcomes = await Promise.all(tries)
  expect(outcomes.filter((outcome) => outcome === 'signed')).toHaveLength(100)
  expect(outcomes.filter((outcome) => outcome === 'LIMIT_EXCEEDED')).toHaveLength(100)
  expect(readUsage(vault.read, METER)).toBe(100n)
  expect(auditHead(vault.read).sequence).toBe(101n)
})

test('a refused charge leaves no trace, of the other charges neither', async () => {
  const vault = await makeVault()
  const other = { ...charge(5n, 10n), token: '1:0xdef' }
  const attempt = vault.commit((tx) => beginIntent(tx, intent({ charges: [other, charge(11n, 10n)] })))
  await expect(attempt).rejects.toMatchObject({
    reason: 'LIMIT_EXCEEDED',
    facts: { limit: 'max_per_day of 1:0xabc', seen: '11', allowed: '10' },
  })
  expect(readUsage(vault.read, other)).toBe(0n)
  expect(auditHead(vault.read).sequence).toBe(1n)
})

test('charges are uint256 wide and per key, permission, token and day', async () => {
  const vault = await makeVault()
  const most = 2n ** 256n - 1n
  await vault.commit((tx) => beginIntent(tx, intent({ charges: [charge(most - 1n, most)] })))
  expect(readUsage(vault.read, METER)).toBe(most - 1n)
  const over = () => vault.commit((tx) => beginIntent(tx, intent({ charges: [charge(2n, most)] })))
  expect(await reasonOf(over)).toBe('LIMIT_EXCEEDED')
  await vault.commit((tx) => beginIntent(tx, intent({ charges: [charge(1n, most)] })))
  for (const elsewhere of [
    { principal: 'key_ffffffffffffffff' },
    { permission: 'wallet:send' },
    { token: '2:0xabc' },
    { day: METER.day + 1 },
  ]) {
    expect(readUsage(vault.read, { ...METER, ...elsewhere })).toBe(0n)
  }
  expect(await vault.commit((tx) => pruneUsage(tx, METER.day, 10))).toBe(0)
  expect(await vault.commit((tx) => pruneUsage(tx, METER.day + 1, 10))).toBe(1)
})

test('UTC days turn at midnight', () => {
  expect(utcDay(Date.UTC(2026, 0, 1) - 1)).toBe(utcDay(Date.UTC(2026, 0, 1)) - 1)
})

test('a repeated request is charged once and signs the same digest only', async () => {
  const vault = await makeVault()
  const digest = randomBytes(32)
  const charges = [charge(60n, 100n)]
  const ask = (changes = {}) =>
    vault.commit((tx) => beginIntent(tx, intent({ digest, charges, requestId: REQUEST, ...changes })))
  await ask()
  await ask()
  expect(readUsage(vault.read, METER)).toBe(60n)
  expect(await reasonOf(() => ask({ digest: randomBytes(32) }))).toBe('IDEMPOTENCY_MISMATCH')
  expect(await reasonOf(() => ask({ method: 'SignDigest' }))).toBe('LIMIT_EXCEEDED')
  expect(await reasonOf(() => ask({ caller: 'key_ffffffffffffffff' }))).toBe('LIMIT_EXCEEDED')
  expect(await reasonOf(() => ask({ requestId: undefined }))).toBe('LIMIT_EXCEEDED')
  const later = NOW + REQUEST_LIFE_MS
  expect(findIntent(vault.read, KEY, 'SignMessage', REQUEST, later - 1)).toBeDefined()
  expect(findIntent(vault.read, KEY, 'SignMessage', REQUEST, later)).toBeUndefined()
})

test('what was running when the vault was last open is in doubt', async () => {
  const vault = await makeVault()
  const running = await vault.commit((tx) => beginIntent(tx, intent({ requestId: REQUEST })))
  const ended = await vault.commit((tx) => beginIntent(tx, intent()))
  await vault.commit((tx) => failIntent(tx, ended.sequence, event('sign.failed')))
  await vault.close()
  const again = await openVaultAt(vault.place)
  expect(getIntent(again.read, running.sequence)?.state).toBe('IN_DOUBT')
  expect(getIntent(again.read, ended.sequence)?.state).toBe('FAILED')
  expect(findIntent(again.read, KEY, 'SignMessage', REQUEST, NOW)?.sequence).toBe(running.sequence)
  const { completeSequence } = getIntent(again.read, running.sequence)!
  expect(getAudit(again.read, completeSequence!)).toMatchObject({ kind: 'sign.in_doubt' })
  expect((await verifyAuditChain(again.read)).intact).toBe(true)
})

test('intents are kept and keep their ids', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => beginIntent(tx, intent()))
  await expect(vault.commit((tx) => tx.run('DELETE FROM intents'))).rejects.toThrow(/never deleted/)
  const rename = vault.commit((tx) => tx.run('UPDATE intents SET presig_id = zeroblob(16)'))
  await expect(rename).rejects.toThrow(/keeps its ids/)
})
