import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { ProjectId, WebhookId } from '../domain/ids.ts'
import type { WebhookFormat } from '../domain/webhook-events.ts'
import { canonicalJson } from './canonical-json.ts'
import { OfStore } from './of-store.ts'
import { requireProject } from './projects.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { etagOf, requireEtag } from './settings.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'

/**
 * Endpoints that are told what happens in a project. Rows are under a MAC: whoever can write the file can neither have
 * another host told nor another project's events sent.
 */
export type WebhookState = 'ACTIVE' | 'DISABLED' | 'GONE' | 'DELETED'

export type Webhook = {
  readonly webhookId: WebhookId
  readonly project: ProjectId
  readonly name: string
  readonly url: string
  readonly format: WebhookFormat
  /** Empty: all that the format can say. */
  readonly subscriptions: readonly string[]
  /** GONE: the receiver said so (410). DELETED: what is left waits to be erased; it exists for nobody. */
  readonly state: WebhookState
  /** Until then the secret before counts beside, or in the place of, the newest. */
  readonly previousUntilMs: number
  readonly etag: string
  readonly createMs: number
  readonly updateMs: number
  /** Pages go on after this. */
  readonly number: bigint
}

type Row = {
  number: bigint
  webhook_id: string
  project: string
  name: string
  url: string
  format: string
  subscriptions: string
  state: string
  previous_until_ms: bigint
  revision: bigint
  create_ms: bigint
  update_ms: bigint
  mac: Buffer
}
type Unsigned = Omit<Row, 'mac' | 'number'>

/** More would make every event of a project that many rows. */
export const WEBHOOKS_PER_PROJECT = 16

const macItems = (row: Unsigned) => [
  row.webhook_id, row.project, row.name, row.url, row.format, row.subscriptions, row.state, u64(row.previous_until_ms),
  u64(row.revision), u64(row.create_ms), u64(row.update_ms),
]

const verified = new VerifiedRows<Webhook>('webhooks')

/** VAULT_CORRUPT for an altered row. */
const toWebhook = (reader: Reader, row: Row): Webhook => {
  requireRowMac(reader, 'webhooks', macItems(row), row.mac)
  return verified.keep(reader, row.webhook_id, row.mac, {
    webhookId: row.webhook_id as WebhookId,
    project: row.project as ProjectId,
    name: row.name,
    url: row.url,
    format: row.format as WebhookFormat,
    subscriptions: JSON.parse(row.subscriptions) as string[],
    state: row.state as WebhookState,
    previousUntilMs: Number(row.previous_until_ms),
    etag: etagOf(row.revision),
    createMs: Number(row.create_ms),
    updateMs: Number(row.update_ms),
    number: row.number,
  })
}

const WRITE = `UPDATE webhooks SET name = ?, url = ?, format = ?, subscriptions = ?, state = ?, previous_until_ms = ?,
  revision = ?, create_ms = ?, update_ms = ?, mac = ? WHERE webhook_id = ?`

const store = (tx: Tx, row: Unsigned): Webhook => {
  tx.run(
    WRITE,
    row.name, row.url, row.format, row.subscriptions, row.state, row.previous_until_ms, row.revision, row.create_ms,
    row.update_ms, rowMac(tx, 'webhooks', macItems(row)), row.webhook_id,
  )
  return readWebhook(tx, row.webhook_id)
}

const READ = 'SELECT * FROM webhooks WHERE webhook_id = ?'

const readRow = (reader: Reader, webhookId: string): Row | undefined => reader.one<Row>(READ, webhookId)

const readWebhook = (reader: Reader, webhookId: string): Webhook => {
  const row = readRow(reader, webhookId)
  if (row === undefined) throw failure('WEBHOOK_NOT_FOUND', {})
  return toWebhook(reader, row)
}

export type NewWebhook = Pick<Webhook, 'project' | 'name' | 'url' | 'format' | 'subscriptions'> & { readonly nowMs: number }

/** Refuses: PROJECT_NOT_FOUND; LIMIT_EXCEEDED for more than WEBHOOKS_PER_PROJECT. */
export const insertWebhook = (tx: Tx, fresh: NewWebhook): Webhook => {
  const { project, nowMs } = fresh
  requireProject(tx, project)
  const seen = listWebhooks(tx, { project, limit: WEBHOOKS_PER_PROJECT }).length + 1
  if (seen > WEBHOOKS_PER_PROJECT) {
    throw failure('LIMIT_EXCEEDED', { limit: 'webhooks of a project', seen: String(seen), allowed: String(WEBHOOKS_PER_PROJECT) })
  }
  const row: Unsigned = {
    webhook_id: `whk_${randomBytes(16).toString('hex')}`,
    project,
    name: fresh.name,
    url: fresh.url,
    format: fresh.format,
    subscriptions: canonicalJson(fresh.subscriptions),
    state: 'ACTIVE',
    previous_until_ms: 0n,
    revision: 1n,
    create_ms: BigInt(nowMs),
    update_ms: BigInt(nowMs),
  }
  tx.run(
    `INSERT INTO webhooks (webhook_id, project, name, url, format, subscriptions, state, previous_until_ms, revision,
       create_ms, update_ms, mac) VALUES (?, ?, '', '', ?, '[]', 'DISABLED', 0, 0, 0, 0, x'')`,
    row.webhook_id, project, row.format,
  )
  return store(tx, row)
}

/** Of any project, whatever its state. VAULT_CORRUPT for an altered row. */
export const getWebhook = (reader: Reader, number: bigint): Webhook | undefined => {
  const row = reader.one<{ webhook_id: string; mac: Buffer }>('SELECT webhook_id, mac FROM webhooks WHERE number = ?', number)
  if (row === undefined) return undefined
  return verified.find(reader, row.webhook_id, () => row.mac) ?? readWebhook(reader, row.webhook_id)
}

/** As `getWebhook`, by its id. */
export const findWebhook = (reader: Reader, webhookId: WebhookId): Webhook | undefined => {
  const row = readRow(reader, webhookId)
  return row && toWebhook(reader, row)
}

/** Refuses with WEBHOOK_NOT_FOUND what is deleted, too. */
const requireWebhook = (reader: Reader, webhookId: WebhookId): Webhook => {
  const webhook = readWebhook(reader, webhookId)
  if (webhook.state === 'DELETED') throw failure('WEBHOOK_NOT_FOUND', {})
  return webhook
}

export type WebhookPage = { readonly project: ProjectId; readonly after?: bigint | undefined; readonly limit: number }

/** In order of creation, after `after` (a webhook's `number`), without those that are deleted. */
export const listWebhooks = (reader: Reader, { project, after, limit }: WebhookPage): Webhook[] =>
  reader
    .all<Row>(
      `SELECT * FROM webhooks WHERE project = ? AND number > ? AND state <> 'DELETED' ORDER BY number LIMIT ?`,
      project, after ?? 0n, limit,
    )
    .map((row) => toWebhook(reader, row))

const known = new OfStore(() => ({ writes: -1, of: new Map<ProjectId, readonly Webhook[]>() }))

/** All of a project. Asked with every event: read again only after something was written to the table. */
export const webhooksOf = (reader: Reader, project: ProjectId): readonly Webhook[] => {
  const cache = known.of(reader)
  const writes = reader.writesTo('webhooks')
  if (cache.writes !== writes) {
    cache.of.clear()
    cache.writes = writes
  }
  const kept = cache.of.get(project) ?? listWebhooks(reader, { project, limit: WEBHOOKS_PER_PROJECT })
  cache.of.set(project, kept)
  return kept
}

type At = { readonly nowMs: number; readonly etag?: string | undefined }

const change = (tx: Tx, webhookId: WebhookId, at: At, edit: (row: Row) => Partial<Unsigned>): Webhook => {
  requireWebhook(tx, webhookId)
  const row = readRow(tx, webhookId) as Row
  requireEtag('webhook', row.revision, at.etag)
  return store(tx, { ...row, ...edit(row), revision: row.revision + 1n, update_ms: BigInt(at.nowMs) })
}

export type WebhookChange = {
  readonly name?: string | undefined
  readonly url?: string | undefined
  readonly subscriptions?: readonly string[] | undefined
  readonly previousUntilMs?: number | undefined
  readonly state?: 'ACTIVE' | 'DISABLED' | 'GONE' | undefined
}

/** What is absent stays. Refuses: WEBHOOK_NOT_FOUND; ETAG_MISMATCH. */
export const updateWebhook = (tx: Tx, webhookId: WebhookId, edit: WebhookChange, at: At): Webhook =>
  change(tx, webhookId, at, (row) => ({
    name: edit.name ?? row.name,
    url: edit.url ?? row.url,
    subscriptions: edit.subscriptions === undefined ? row.subscriptions : canonicalJson(edit.subscriptions),
    state: edit.state ?? row.state,
    previous_until_ms: edit.previousUntilMs === undefined ? row.previous_until_ms : BigInt(edit.previousUntilMs),
  }))

const LAPSED = 'SELECT * FROM webhooks WHERE previous_until_ms > 0 AND previous_until_ms <= ? ORDER BY number'

/** Those whose secret before the newest counts no longer. */
export const listLapsedWebhooks = (reader: Reader, nowMs: number): Webhook[] =>
  reader.all<Row>(LAPSED, nowMs).map((row) => toWebhook(reader, row))

const ALL_ACTIVE = `SELECT * FROM webhooks WHERE state = 'ACTIVE' ORDER BY number`

/** Turns every webhook off that is told; answers them. */
export const disableAllWebhooks = (tx: Tx, nowMs: number): Webhook[] =>
  tx.all<Row>(ALL_ACTIVE).map((row) => updateWebhook(tx, toWebhook(tx, row).webhookId, { state: 'DISABLED' }, { nowMs }))

/** Its deliveries are erased later (`pruneWebhooks`). Refuses: WEBHOOK_NOT_FOUND; ETAG_MISMATCH. */
export const deleteWebhook = (tx: Tx, webhookId: WebhookId, at: At): Webhook =>
  change(tx, webhookId, at, () => ({ state: 'DELETED', url: '', name: '', subscriptions: '[]' }))
