import Database from 'better-sqlite3'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { appendAudit, auditHead, verifyAuditChain } from '../../src/vault/audit-chain.ts'
import { createGroupCommit } from '../../src/vault/group-commit.ts'
import { getSetting, putSetting } from '../../src/vault/settings.ts'
import { createStore } from '../../src/vault/store.ts'
import type { VaultKeys } from '../../src/vault/store.ts'
import { event, makePlace, makeVault, NOW, openVaultAt, reasonOf } from './fixture.ts'

/** A group commit over a bare table, with the connection in the test's hand. */
const bare = () => {
  const db = new Database(join(makePlace().dir, 'bare.db'))
  db.pragma('journal_mode = WAL')
  db.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT')
  const store = createStore(db, { kind: 'daemon', vaultId: new Uint8Array(16), keys: {} as VaultKeys })
  let commits = 0
  const group = createGroupCommit(db, store)
  group.onCommitted(() => {
    commits++
  })
  const rows = (): number => Number(db.prepare('SELECT count(*) FROM t').pluck().get())
  return { db, group, rows, commits: () => commits }
}

const insert = (n: number) => (tx: { run: (sql: string, ...params: (number | string)[]) => number }) =>
  tx.run('INSERT INTO t VALUES (?, ?)', n, `row ${n}`)

test('work queued together shares a commit and keeps its order', async () => {
  const { db, group, rows, commits } = bare()
  await Promise.all(Array.from({ length: 40 }, (_, n) => group.commit(insert(n))))
  expect([rows(), commits()]).toEqual([40, 1])
  const order = db.prepare('SELECT n FROM t ORDER BY rowid').pluck().all()
  expect(order).toEqual(Array.from({ length: 40 }, (_, n) => n))
})

test('what stops things goes before all that waits, in its own order', async () => {
  const { group } = bare()
  const order: string[] = []
  const noting = (name: string) => () => void order.push(name)
  const work = Array.from({ length: 200 }, (_, n) => group.commit(noting(`order ${n}`)))
  const ahead = [group.commitFirst(noting('cancel 1')), group.commitFirst(noting('cancel 2'))]
  await Promise.all([...work, ...ahead])
  expect(order.slice(0, 3)).toEqual(['cancel 1', 'cancel 2', 'order 0'])
  expect(order).toHaveLength(202)
})

test('before a batch is made durable whoever can begin with it is told, inside the transaction', async () => {
  const { db, group, rows } = bare()
  const seen: (readonly [boolean, number])[] = []
  const stop = group.onCommitting(() => void seen.push([db.inTransaction, rows()]))
  await Promise.all([group.commit(insert(1)), group.commit(insert(2))])
  expect(seen).toEqual([[true, 2]])
  stop()
  await group.commit(insert(3))
  expect(seen).toHaveLength(1)
})

test('work that can wait joins the next commit, in its place in the order', async () => {
  const { db, group, commits } = bare()
  const later = group.commitLater(insert(1))
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  expect(commits()).toBe(0)
  await Promise.all([group.commit(insert(2)), later])
  expect(commits()).toBe(1)
  expect(db.prepare('SELECT n FROM t ORDER BY rowid').pluck().all()).toEqual([1, 2])
})

test('work that can wait is committed by itself when nothing comes, and before drain and close resolve', async () => {
  const { group, rows, commits } = bare()
  await group.commitLater(insert(1))
  expect([rows(), commits()]).toEqual([1, 1])
  for (const [settle, count] of [[group.drain, 2], [group.close, 3]] as const) {
    void group.commitLater(insert(count))
    await settle()
    expect(rows()).toBe(count)
  }
  await expect(group.commitLater(insert(9))).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' })
})

test('a long queue is committed in bounded batches', async () => {
  const { group, rows, commits } = bare()
  await Promise.all(Array.from({ length: 1000 }, (_, n) => group.commit(insert(n))))
  expect(rows()).toBe(1000)
  expect(commits()).toBeGreaterThan(3)
  expect(commits()).toBeLessThan(100)
})

test('work that throws is undone alone and only its promise rejects', async () => {
  const { group, rows, commits } = bare()
  const boom = new Error('boom')
  const outcomes = await Promise.allSettled([
    group.commit(insert(1)),
    group.commit((tx) => {
      insert(2)(tx)
      insert(3)(tx)
      throw boom
    }),
    group.commit((tx) => {
      insert(4)(tx)
      return insert(1)(tx)
    }),
    group.commit(insert(5)),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
  expect((outcomes[1] as PromiseRejectedResult).reason).toBe(boom)
  expect([rows(), commits()]).toEqual([2, 1])
})

test('work sees what was queued before it', async () => {
  const { group } = bare()
  const count = group.commit(insert(1)).then(() => undefined)
  const seen = group.commit((tx) => tx.one<{ n: number }>('SELECT count(*) AS n FROM t'))
  await count
  expect(await seen).toEqual({ n: 1 })
})

test('asynchronous work is refused as a bug and undone', async () => {
  const { group, rows } = bare()
  const attempt = group.commit(async (tx) => insert(1)(tx))
  await expect(attempt).rejects.toThrow(/synchronous/)
  expect(rows()).toBe(0)
})

test('a promise resolves only after its commit', async () => {
  const { db, group } = bare()
  const other = new Database(db.name)
  await group.commit(insert(1))
  expect(other.prepare('SELECT count(*) FROM t').pluck().get()).toBe(1)
  let settled = false
  const late = group.commit(insert(2)).then(() => {
    settled = true
  })
  expect([settled, other.prepare('SELECT count(*) FROM t').pluck().get()]).toEqual([false, 1])
  await late
  other.close()
})

test('commitNow is durable on return and rolls back what throws', () => {
  const { group, rows } = bare()
  expect(group.commitNow(insert(1))).toBe(1)
  expect(rows()).toBe(1)
  expect(() =>
    group.commitNow((tx) => {
      insert(2)(tx)
      throw new Error('no')
    }),
  ).toThrow('no')
  expect(rows()).toBe(1)
})

test('close settles what is queued and refuses the rest', async () => {
  const { group, rows } = bare()
  const queued = Array.from({ length: 100 }, (_, n) => group.commit(insert(n)))
  const closed = group.close()
  expect(await reasonOf(() => group.commit(insert(500)))).toBe('SHUTTING_DOWN')
  await closed
  await Promise.all(queued)
  expect(rows()).toBe(100)
})

test('the queue is bounded', async () => {
  const { group } = bare()
  const attempt = (n: number) => group.commit(insert(n)).then(() => 'done', (error) => error.reason)
  const outcomes = await Promise.all(Array.from({ length: 20_000 }, (_, n) => attempt(n)))
  expect(new Set(outcomes)).toEqual(new Set(['done', 'OVERLOADED']))
  expect(outcomes.filter((outcome) => outcome === 'done')).toHaveLength(16_384)
})

test('a full disk stops the vault: the batch and everything after it are refused', async () => {
  const { db, group, rows } = bare()
  await group.commit(insert(1))
  db.pragma(`max_page_count = ${String(db.pragma('page_count', { simple: true }))}`)
  const big = (n: number) => group.commit((tx) => tx.run('INSERT INTO t VALUES (?, ?)', n, 'x'.repeat(100_000)))
  const [small, full] = await Promise.allSettled([group.commit(insert(2)), big(3)])
  expect([small, full].map((outcome) => (outcome as PromiseRejectedResult).reason.reason)).toEqual([
    'AUDIT_UNAVAILABLE',
    'AUDIT_UNAVAILABLE',
  ])
  expect(group.fault()).toBe('SQLITE_FULL')
  db.pragma('max_page_count = 1000000')
  expect(await reasonOf(() => group.commit(insert(4)))).toBe('AUDIT_UNAVAILABLE')
  expect(await reasonOf(() => group.commitNow(insert(5)))).toBe('AUDIT_UNAVAILABLE')
  expect(rows()).toBe(1)
})

test('a failing write of the disk stops the vault; nothing acknowledged is lost', async () => {
  const { place, close } = await makeVault()
  await close()
  const program = join(import.meta.dirname, 'programs', 'fill-disk.ts')
  const command = `ulimit -f 600; exec "${process.execPath}" "${program}" "${place.dir}"`
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
  })
  await once(child, 'close')
  const { acknowledged, refusals, fault } = JSON.parse(output) as {
    acknowledged: number
    refusals: string[]
    fault: string
  }
  expect(fault).toMatch(/^SQLITE_(IOERR|FULL)/)
  expect(refusals).toEqual(['AUDIT_UNAVAILABLE', 'AUDIT_UNAVAILABLE'])
  expect(acknowledged).toBeGreaterThan(10)
  const vault = await openVaultAt(place)
  const filled = vault.read.one<{ n: bigint }>(`SELECT count(*) AS n FROM audit WHERE kind = 'fill'`)
  expect(Number(filled?.n)).toBeGreaterThanOrEqual(acknowledged)
  expect((await verifyAuditChain(vault.read)).intact).toBe(true)
})

test('savepoints keep the audit chain whole when work in the middle of a batch fails', async () => {
  const vault = await makeVault()
  const before = auditHead(vault.read).sequence
  await Promise.allSettled(
    Array.from({ length: 90 }, (_, n) =>
      vault.commit((tx) => {
        appendAudit(tx, event('row', { n }))
        if (n % 3 === 1) throw new Error('refused')
      }),
    ),
  )
  expect(auditHead(vault.read).sequence - before).toBe(60n)
  expect((await verifyAuditChain(vault.read)).intact).toBe(true)
})

test('settings carry etags', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => putSetting(tx, 'a', new Uint8Array([1]), NOW))
  const first = getSetting(vault.read, 'a')!
  await vault.commit((tx) => putSetting(tx, 'a', new Uint8Array([2]), NOW, first.etag))
  const stale = () => vault.commit((tx) => putSetting(tx, 'a', new Uint8Array([3]), NOW, first.etag))
  expect(await reasonOf(stale)).toBe('ETAG_MISMATCH')
  expect(Buffer.from(getSetting(vault.read, 'a')!.value)).toEqual(Buffer.from([2]))
})
