import { expect, test } from 'vitest'
import type { ProjectId } from '../../src/domain/ids.ts'
import type { WebhookFormat } from '../../src/domain/webhook-events.ts'
import { hearsOf, subscriptionsOf, WEBHOOK_EVENT_TYPES } from '../../src/domain/webhook-events.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { DEFAULT_PROJECT, insertProject } from '../../src/vault/projects.ts'
import { readWebhookEvent, recordWebhookEvent } from '../../src/vault/webhook-outbox.ts'
import { deleteWebhook, insertWebhook, updateWebhook, WEBHOOKS_PER_PROJECT, webhooksOf } from '../../src/vault/webhooks.ts'
import { makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const OTHER = 'other' as ProjectId
const WALLET = {
  wallet_id: `wal_${'ab'.repeat(16)}`,
  user_id: 'alice',
  key_type: 'secp256k1',
  owner_type: 'project',
  label: 'é<&> "',
  address: `0x${'Ab'.repeat(20)}`,
} as const
const created = { project: DEFAULT_PROJECT, type: 'wallet.created', data: WALLET, nowMs: NOW } as const

const endpoint = (vault: DaemonVault, format: WebhookFormat = 'COUNTERSIGN', subscriptions: readonly string[] = [], project = DEFAULT_PROJECT) =>
  vault.commitNow((tx) => insertWebhook(tx, { project, name: 'n', url: 'https://a.example/', format, subscriptions, nowMs: NOW }))

const counts = ({ read }: DaemonVault) =>
  read.one<{ events: bigint; deliveries: bigint }>(
    'SELECT (SELECT count(*) FROM webhook_events) AS events, (SELECT count(*) FROM webhook_deliveries) AS deliveries',
  )

test('an event nobody hears of is not written down', async () => {
  const vault = await makeVault()
  vault.commitNow((tx) => insertProject(tx, { projectId: OTHER, name: '', nowMs: NOW }))
  endpoint(vault, 'COUNTERSIGN', [], OTHER)
  endpoint(vault, 'COUNTERSIGN', ['grant.*', 'wallet.archived'])
  endpoint(vault, 'CDP')
  endpoint(vault, 'DYNAMIC')
  expect(vault.commitNow((tx) => recordWebhookEvent(tx, created))).toBeUndefined()
  expect(counts(vault)).toEqual({ events: 0n, deliveries: 0n })
})

test('an event is written once, with a delivery for each endpoint that hears of it, and reads as it was written', async () => {
  const vault = await makeVault()
  endpoint(vault)
  endpoint(vault, 'COUNTERSIGN', ['wallet.*'])
  const off = endpoint(vault, 'COUNTERSIGN', ['wallet.created'])
  vault.commitNow((tx) => updateWebhook(tx, off.webhookId, { state: 'DISABLED' }, { nowMs: NOW }))
  const gone = endpoint(vault)
  vault.commitNow((tx) => deleteWebhook(tx, gone.webhookId, { nowMs: NOW }))
  const eventId = vault.commitNow((tx) => recordWebhookEvent(tx, created))
  expect(counts(vault)).toEqual({ events: 1n, deliveries: 3n })
  expect(readWebhookEvent(vault.read, 1n)).toEqual({ eventId, project: 'default', type: 'wallet.created', data: WALLET, timeMs: NOW })
})

test('an event goes with the transaction it belongs to', async () => {
  const vault = await makeVault()
  endpoint(vault)
  const undone = vault.commit((tx) => {
    recordWebhookEvent(tx, created)
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  expect(counts(vault)).toEqual({ events: 0n, deliveries: 0n })
})

test('endpoints are known again after a transaction that made one was undone', async () => {
  const vault = await makeVault()
  const undone = vault.commit((tx) => {
    insertWebhook(tx, { project: DEFAULT_PROJECT, name: '', url: 'https://a.example/', format: 'COUNTERSIGN', subscriptions: [], nowMs: NOW })
    expect(webhooksOf(tx, DEFAULT_PROJECT)).toHaveLength(1)
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  expect(webhooksOf(vault.read, DEFAULT_PROJECT)).toEqual([])
})

test('formats have names for some events only', () => {
  const heard = (format: WebhookFormat) => WEBHOOK_EVENT_TYPES.filter((type) => hearsOf(format, [], type))
  expect(heard('COUNTERSIGN')).toEqual(WEBHOOK_EVENT_TYPES)
  expect(heard('CDP')).toEqual(['grant.created', 'grant.revoked'])
  expect(heard('DYNAMIC')).toEqual(['delegated_access.created', 'delegated_access.revoked'])
  expect(hearsOf('CDP', ['wallet.*'], 'wallet.created')).toBe(false)
  expect(hearsOf('COUNTERSIGN', ['wallet.c'], 'wallet.created')).toBe(false)
  expect([...subscriptionsOf('CDP')]).toEqual(['grant.created', 'grant.*', 'grant.revoked'])
})

test('a project has so many endpoints and no more', async () => {
  const vault = await makeVault()
  const all = Array.from({ length: WEBHOOKS_PER_PROJECT }, () => endpoint(vault))
  expect(await reasonOf(() => endpoint(vault))).toBe('LIMIT_EXCEEDED')
  vault.commitNow((tx) => deleteWebhook(tx, all[3]!.webhookId, { nowMs: NOW }))
  endpoint(vault)
})

test.each([
  ['endpoint', `UPDATE webhooks SET url = 'https://evil.example/'`],
  ['endpoint', `UPDATE webhooks SET project = 'other'`],
  ['event', `UPDATE webhook_events SET data = replace(data, 'alice', 'mallory')`],
])('an altered %s is noticed', async (_what, sql) => {
  const vault = await makeVault()
  vault.commitNow((tx) => insertProject(tx, { projectId: OTHER, name: '', nowMs: NOW }))
  endpoint(vault)
  vault.commitNow((tx) => recordWebhookEvent(tx, created))
  await vault.close()
  tamper(vault.place.path, (db) => db.exec(sql))
  const again = await openVaultAt(vault.place)
  const read = () => [...webhooksOf(again.read, DEFAULT_PROJECT), ...webhooksOf(again.read, OTHER), readWebhookEvent(again.read, 1n)]
  expect(await reasonOf(read)).toBe('VAULT_CORRUPT')
})
