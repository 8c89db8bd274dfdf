import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { parseProjectId } from '../../src/domain/ids.ts'
import {
  appendAudit,
  auditHashAt,
  auditHead,
  genesisHash,
  getAudit,
  listAudit,
  requireRememberedHead,
  verifyAuditChain,
} from '../../src/vault/audit-chain.ts'
import type { AuditHead } from '../../src/vault/audit-chain.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { verifyCheckpoint, verifyReceipt } from '../../src/vault/audit-signer.ts'
import { canonicalJson } from '../../src/vault/canonical-json.ts'
import type { JsonValue } from '../../src/vault/canonical-json.ts'
import { getPeerHead, raisePeerHead, rememberPeerHead } from '../../src/vault/peer-heads.ts'
import { event, makeCosignerVault, makePlace, makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const ROWS = 40

const filled = async () => {
  const vault = await makeVault()
  const heads: AuditHead[] = []
  for (let n = 0; n < ROWS; n++) heads.push(await vault.commit((tx) => appendAudit(tx, event('row', { n }))))
  return { vault, heads }
}

/** The verdict on a chain after `edit`, with the guards of the table lifted for it. */
const verdictAfter = async (edit: (db: Database.Database) => void, remembered: AuditHead[] = []) => {
  const { vault } = await filled()
  await vault.close()
  tamper(vault.place.path, edit)
  const again = await openVaultAt(vault.place)
  return verifyAuditChain(again.read, { remembered, chunkRows: 7 })
}

test('rows are numbered from 1 without a gap and chained', async () => {
  const { vault, heads } = await filled()
  expect(auditHead(vault.read)).toEqual({ sequence: BigInt(ROWS) + 1n, hash: heads.at(-1)?.hash })
  expect(auditHashAt(vault.read, 0n)).toEqual(genesisHash(vault.vaultId))
  expect(getAudit(vault.read, 1n)?.kind).toBe('vault.created')
  const verdict = await verifyAuditChain(vault.read, { remembered: heads, chunkRows: 7 })
  expect(verdict).toMatchObject({ intact: true, rows: BigInt(ROWS) + 1n })
})

test('the hash is the documented one', async () => {
  // Written out by hand from the docstring, without the encoder under test.
  const { createHash } = await import('node:crypto')
  const vault = await makeVault()
  const project = parseProjectId('default')
  const head = await vault.commit((tx) =>
    appendAudit(tx, { ...event('sign.intent', { b: 1, a: 'x' }), project, decision: 'allow' }),
  )
  const before = auditHashAt(vault.read, head.sequence - 1n)!
  const u64 = (value: bigint): Buffer => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(value)
    return bytes
  }
  const text = ['sign.intent', 'default', 'operator', 'tester', '', '', '', '', 'allow', '', '{"a":"x","b":1}']
  const items = [vault.vaultId, u64(head.sequence), u64(BigInt(NOW)), ...text.map((t) => Buffer.from(t)), before]
  const hash = createHash('sha256')
  hash.update(Buffer.from([20])).update('countersign/audit/v1').update(Buffer.from([15]))
  for (const item of items) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(item.length)
    hash.update(length).update(item)
  }
  expect(Buffer.from(head.hash)).toEqual(hash.digest())
})

test('altering any column of a row is found at that row', async () => {
  const edits = ['time_ms = time_ms + 1', `kind = 'rox'`, `project = 'p'`, `actor_kind = 'x'`, `actor_id = 'x'`,
    `subject_type = 'x'`, `subject_id = 'x'`, `method = 'x'`, `request_id = 'x'`, `decision = 'allow'`,
    `reason = 'x'`, `details = CAST('{"n":99}' AS BLOB)`]
  for (const edit of edits) {
    const verdict = await verdictAfter((db) => db.exec(`UPDATE audit SET ${edit} WHERE sequence = 20`))
    expect(verdict, edit).toEqual({ intact: false, firstBadSequence: 20n, what: 'altered' })
  }
})

test('a replaced hash is found there or at the next row', async () => {
  const verdict = await verdictAfter((db) => db.exec('UPDATE audit SET hash = zeroblob(32) WHERE sequence = 20'))
  expect(verdict).toEqual({ intact: false, firstBadSequence: 20n, what: 'altered' })
  const prev = await verdictAfter((db) => db.exec('UPDATE audit SET prev_hash = zeroblob(32) WHERE sequence = 20'))
  expect(prev).toEqual({ intact: false, firstBadSequence: 20n, what: 'unlinked' })
})

test('a deleted row, the first included, is found', async () => {
  for (const sequence of [1, 20]) {
    const verdict = await verdictAfter((db) => db.exec(`DELETE FROM audit WHERE sequence = ${sequence}`))
    expect(verdict).toEqual({ intact: false, firstBadSequence: BigInt(sequence), what: 'missing' })
  }
})

test('a deleted row with the rest moved up is found', async () => {
  const verdict = await verdictAfter((db) => {
    db.exec('DELETE FROM audit WHERE sequence = 20')
    db.exec('UPDATE audit SET sequence = sequence - 1 WHERE sequence > 20')
  })
  expect(verdict).toEqual({ intact: false, firstBadSequence: 20n, what: 'unlinked' })
})

test('two rows exchanged are found', async () => {
  const verdict = await verdictAfter((db) => {
    db.exec('UPDATE audit SET sequence = -1 WHERE sequence = 20')
    db.exec('UPDATE audit SET sequence = 20 WHERE sequence = 21')
    db.exec('UPDATE audit SET sequence = 21 WHERE sequence = -1')
  })
  expect(verdict).toEqual({ intact: false, firstBadSequence: 20n, what: 'unlinked' })
})

test('a cut-off tail and a rewritten chain are found against a remembered head only', async () => {
  const { vault, heads } = await filled()
  await vault.close()
  tamper(vault.place.path, (db) => db.exec('DELETE FROM audit WHERE sequence > 30'))
  const again = await openVaultAt(vault.place)
  // Opening wrote a row of its own, so the cut chain is a fork at 31.
  expect(await verifyAuditChain(again.read)).toMatchObject({ intact: true })
  expect(await verifyAuditChain(again.read, { remembered: heads.slice(0, 25) })).toMatchObject({ intact: true })
  expect(await verifyAuditChain(again.read, { remembered: [heads.at(-1)!] })).toEqual({
    intact: false,
    firstBadSequence: 32n,
    what: 'truncated',
  })
  expect(await verifyAuditChain(again.read, { remembered: heads })).toEqual({
    intact: false,
    firstBadSequence: 31n,
    what: 'not the remembered head',
  })
  expect(await reasonOf(() => requireRememberedHead(again.read, heads.at(-1)!))).toBe('VAULT_ROLLED_BACK')
  const forked = heads.find(({ sequence }) => sequence === 31n)!
  expect(await reasonOf(() => requireRememberedHead(again.read, forked))).toBe('VAULT_ROLLED_BACK')
  requireRememberedHead(again.read, heads[5]!)
})

test('the chain of another vault does not pass', async () => {
  const place = makePlace()
  const first = await makeVault(place)
  const second = await makeVault({ ...makePlace(), provider: place.provider })
  await first.close()
  await second.close()
  tamper(first.place.path, (db) => {
    db.prepare('ATTACH ? AS other').run(second.place.path)
    db.exec('DELETE FROM audit; INSERT INTO audit SELECT * FROM other.audit')
    db.exec('DETACH other')
  })
  const again = await openVaultAt(first.place)
  expect(await verifyAuditChain(again.read)).toMatchObject({ intact: false, firstBadSequence: 1n })
})

test('the program itself can neither change nor delete audit rows and intents', async () => {
  const vault = await makeVault()
  await expect(vault.commit((tx) => tx.run(`UPDATE audit SET kind = 'x'`))).rejects.toThrow(/never change/)
  await expect(vault.commit((tx) => tx.run('DELETE FROM audit'))).rejects.toThrow(/never deleted/)
})

test('receipts and checkpoints verify under the audit key and nothing else does', async () => {
  const { vault, heads } = await filled()
  const other = await makeVault()
  const head = heads[10]!
  const signature = vault.signer.signReceipt(head)
  expect(await vault.signer.signReceiptAside(head)).toEqual(signature)
  const { publicKey } = vault.signer
  expect(verifyReceipt(publicKey, vault.vaultId, head, signature)).toBe(true)
  expect(verifyReceipt(publicKey, vault.vaultId, heads[11]!, signature)).toBe(false)
  expect(verifyReceipt(publicKey, other.vaultId, head, signature)).toBe(false)
  expect(verifyReceipt(other.signer.publicKey, vault.vaultId, head, signature)).toBe(false)
  const checkpoint = vault.signer.signCheckpoint(head, NOW)
  expect(verifyCheckpoint(publicKey, vault.vaultId, checkpoint)).toBe(true)
  expect(verifyCheckpoint(publicKey, vault.vaultId, { ...checkpoint, timeMs: NOW + 1 })).toBe(false)
  expect(verifyCheckpoint(publicKey, vault.vaultId, { ...checkpoint, signature })).toBe(false)
  await vault.close()
  const again = await openVaultAt(vault.place)
  expect(again.signer.publicKey).toEqual(publicKey)
  expect(again.signer.keyId).toBe(checkpoint.keyId)
})

test('a tampered audit key is refused at open', async () => {
  const { place, close } = await makeVault()
  await close()
  tamper(place.path, (db) => db.exec('UPDATE vault_secrets SET nonce = zeroblob(12)'))
  expect(await reasonOf(() => openVaultAt(place))).toBe('VAULT_CORRUPT')
})

test('rows are listed after a cursor and by project, kind and subject', async () => {
  const vault = await makeVault()
  const project = parseProjectId('default')
  await vault.commit((tx) => {
    appendAudit(tx, { ...event('a'), project, subject: { type: 'wallet', id: 'w1' } })
    appendAudit(tx, { ...event('b'), project })
    appendAudit(tx, event('a'))
  })
  const kinds = (rows: { kind: string }[]) => rows.map(({ kind }) => kind)
  expect(kinds(listAudit(vault.read, 0n, 10))).toEqual(['vault.created', 'a', 'b', 'a'])
  expect(kinds(listAudit(vault.read, 2n, 1))).toEqual(['b'])
  expect(kinds(listAudit(vault.read, 0n, 10, { project }))).toEqual(['a', 'b'])
  expect(kinds(listAudit(vault.read, 0n, 10, { subjectId: 'w1' }))).toEqual(['a'])
  expect(listAudit(vault.read, 0n, 10, { kind: 'a', project })).toHaveLength(1)
})

test('a page says how far it looked, also when nothing matched', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => {
    for (let n = 0; n < 4500; n++) appendAudit(tx, event(n % 1500 === 7 ? 'rare' : 'row', { n }))
  })
  const first = await readAuditPage(vault.read, 0n, 2, { filter: { kind: 'rare' } })
  expect(first.rows.map(({ details }) => details)).toEqual([{ n: 7 }, { n: 1507 }])
  expect(first.reached).toBe(first.rows[1]!.sequence)
  const rest = await readAuditPage(vault.read, first.reached, 2, { filter: { kind: 'rare' } })
  expect([rest.rows.length, rest.reached]).toEqual([1, 4501n])
  expect(await readAuditPage(vault.read, 0n, 5, { filter: { kind: 'never' } })).toEqual({ rows: [], reached: 4501n })
  expect(await readAuditPage(vault.read, 4501n, 5)).toEqual({ rows: [], reached: 4501n })
  expect((await readAuditPage(vault.read, 0n, 5000)).rows).toHaveLength(4501)
  const gone = readAuditPage(vault.read, 0n, 5, { filter: { kind: 'never' }, signal: AbortSignal.abort() })
  await expect(gone).rejects.toThrow(/aborted/)
})

test('a part of the chain is verified from a row to a row', async () => {
  const { vault, heads } = await filled()
  expect(await verifyAuditChain(vault.read, { from: 10n, to: 19n, chunkRows: 3 })).toMatchObject({
    intact: true,
    rows: 10n,
    head: { sequence: 19n },
  })
  await vault.close()
  tamper(vault.place.path, (db) => db.exec(`UPDATE audit SET reason = 'x' WHERE sequence = 20`))
  const again = await openVaultAt(vault.place)
  expect(await verifyAuditChain(again.read, { from: 1n, to: 19n })).toMatchObject({ intact: true })
  expect(await verifyAuditChain(again.read, { from: 21n })).toMatchObject({ intact: true })
  expect(await verifyAuditChain(again.read, { from: 20n, to: 20n })).toMatchObject({ firstBadSequence: 20n })
  expect(await verifyAuditChain(again.read, { from: 15n, remembered: heads })).toMatchObject({ what: 'altered' })
  expect(await verifyAuditChain(again.read, { from: 999n })).toMatchObject({ intact: false })
})

test('listeners hear of committed rows, and stop hearing', async () => {
  const vault = await makeVault()
  const seen: bigint[] = []
  const stop = vault.onCommitted(() => seen.push(auditHead(vault.read).sequence))
  await vault.commit((tx) => appendAudit(tx, event()))
  stop()
  await vault.commit((tx) => appendAudit(tx, event()))
  expect(seen).toEqual([2n])
})

test('the cosigner refuses a head behind the remembered one', async () => {
  const { heads } = await filled()
  const cosigner = await makeCosignerVault()
  const peer = new Uint8Array(32).fill(7)
  const remember = (head: AuditHead) => cosigner.commit((tx) => rememberPeerHead(tx, peer, head, NOW))
  const raise = (head: AuditHead) => cosigner.commit((tx) => raisePeerHead(tx, peer, head, NOW))
  expect(getPeerHead(cosigner.read, peer)).toBeUndefined()
  await remember(heads[5]!)
  await remember(heads[5]!)
  expect(await reasonOf(() => remember(heads[4]!))).toBe('VAULT_ROLLED_BACK')
  const forked = { sequence: heads[5]!.sequence, hash: heads[6]!.hash }
  expect(await reasonOf(() => remember(forked))).toBe('VAULT_ROLLED_BACK')
  expect(await reasonOf(() => raise(forked))).toBe('VAULT_ROLLED_BACK')
  await raise(heads[9]!)
  await raise(heads[7]!)
  expect(getPeerHead(cosigner.read, peer)?.sequence).toBe(heads[9]!.sequence)
})

test('canonical JSON has one text for one value', () => {
  expect(canonicalJson({ b: [1, 'x', null, true], a: { d: 'é"\n', c: -5 } })).toBe(
    '{"a":{"c":-5,"d":"é\\"\\n"},"b":[1,"x",null,true]}',
  )
  expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}')
  for (const bad of [1.5, Number.NaN, 2 ** 60, 1n, '\ud800', () => 1]) {
    expect(() => canonicalJson(bad as JsonValue)).toThrow()
  }
})
