/**
 * Receipts, as an auditor without this program's code checks them: the row's hash is computed here from what ListEvents
 * answers, with the encoding the vault documents, and the receipt's signature with node's own Ed25519.
 */
import { createHash, createPublicKey, randomUUID, verify } from 'node:crypto'
import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AuditEvent, AuditOutcome, type Checkpoint } from '../../gen/countersign/v1/audit_pb.ts'
import type { Receipt } from '../../gen/countersign/v1/common_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, hex, newKey, newWallet, outcomeOf, reasonOf, refusalOf, sha256 } from './callers.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  wallet = await newWallet(client, 'audited')
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
})

const u32le = (value: number): Buffer => {
  const out = Buffer.alloc(4)
  out.writeUInt32LE(value)
  return out
}
const u64 = (value: bigint): Buffer => {
  const out = Buffer.alloc(8)
  out.writeBigUInt64BE(value)
  return out
}

/** u8 |tag| ‖ tag ‖ u8 n ‖ each item behind its u32 little-endian length. */
const tagged = (tag: string, items: readonly (Uint8Array | string)[]): Buffer => {
  const parts = items.map((item) => Buffer.from(item as string))
  const framed = parts.flatMap((part) => [u32le(part.length), part])
  return Buffer.concat([Buffer.of(tag.length), Buffer.from(tag), Buffer.of(items.length), ...framed])
}

const splitName = (text: string): [string, string] => {
  const at = text.indexOf(':')
  return at < 0 ? ['', ''] : [text.slice(0, at), text.slice(at + 1)]
}

const DECISIONS: Readonly<Record<AuditOutcome, string>> = {
  [AuditOutcome.ALLOWED]: 'allow',
  [AuditOutcome.REFUSED]: 'refuse',
  [AuditOutcome.UNSPECIFIED]: '',
}

const hashOf = (vaultId: Uint8Array, event: AuditEvent): Buffer => {
  const timeMs = timestampMs(event.time as Timestamp)
  const [actorKind, actorId] = splitName(event.actor)
  const [subjectType, subjectId] = splitName(event.subject)
  const { sequence, kind, projectId, method, requestId, reason, detailsJson, prevHash } = event
  const who = [projectId, actorKind, actorId, subjectType, subjectId]
  const what = [method, requestId, DECISIONS[event.outcome] ?? '', reason, detailsJson]
  const row = [vaultId, u64(sequence), u64(BigInt(timeMs)), kind, ...who, ...what, prevHash]
  return createHash('sha256').update(tagged('countersign/audit/v1', row)).digest()
}

const verifyEd25519 = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean => {
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey])
  return verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature)
}

const checkpointOf = async (): Promise<Checkpoint> => {
  const { checkpoint } = await client.audit.getCheckpoint({})
  if (checkpoint === undefined) throw new Error('no checkpoint')
  return checkpoint
}

const rowOf = async (receipt: Receipt): Promise<AuditEvent> => {
  const { events } = await client.audit.listEvents({ afterSequence: receipt.sequence - 1n, pageSize: 1 })
  const [event] = events
  if (event === undefined) throw new Error('the receipt names no row')
  return event
}

const rowsAfter = async (afterSequence: bigint, kind = ''): Promise<AuditEvent[]> =>
  (await client.audit.listEvents({ afterSequence, kind, pageSize: 500 })).events

describe('a receipt', () => {
  it.each(SIGNING_NAMES)('of %s is the signed hash of its intent row', async (name) => {
    const requestId = randomUUID()
    const { receipt, signature } = await signAs(name, client, { wallet: 'audited', seed: name, requestId })
    if (receipt === undefined || signature === undefined) throw new Error('no receipt')
    const { vaultId, publicKey, keyId } = await checkpointOf()
    const event = await rowOf(receipt)
    expect(event).toMatchObject({
      sequence: receipt.sequence,
      kind: 'sign.intent',
      projectId: 'default',
      subject: `wallet:${wallet.walletId}`,
      method: name.split(' ')[0],
      requestId,
      outcome: AuditOutcome.ALLOWED,
    })
    expect(event.actor).toMatch(/^api_key:key_[0-9a-f]{16}$/)
    expect(hex(event.hash)).toBe(hex(receipt.hash))
    expect(hex(hashOf(vaultId, event))).toBe(hex(receipt.hash))
    const signed = tagged('countersign/receipt/v1', [vaultId, u64(receipt.sequence), receipt.hash])
    expect(verifyEd25519(publicKey, signed, receipt.signature)).toBe(true)
    expect(receipt.keyId).toBe(keyId)
    expect(Buffer.from(sha256(publicKey)).subarray(0, 8).toString('hex')).toBe(keyId)
    const altered = tagged('countersign/receipt/v1', [vaultId, u64(receipt.sequence + 1n), receipt.hash])
    expect(verifyEd25519(publicKey, altered, receipt.signature)).toBe(false)
    const details = JSON.parse(event.detailsJson) as Record<string, string>
    expect(details['digest']).toMatch(/^[0-9a-f]{64}$/)
    const [completed] = (await rowsAfter(receipt.sequence, 'sign.completed')).filter(
      ({ detailsJson }) => (JSON.parse(detailsJson) as { intent: string }).intent === String(receipt.sequence),
    )
    const { r, s } = signature
    const { signatureHash } = JSON.parse(completed?.detailsJson ?? '{}') as { signatureHash: string }
    expect(signatureHash).toBe(Buffer.from(sha256(Buffer.concat([r, s]))).toString('hex'))
  })

  it('of two signatures names two rows, and every row hashes the one before', async () => {
    const receipts = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => (await signAs('SignMessage text', client, { wallet: 'audited', seed: `${i}` })).receipt),
    )
    expect(new Set(receipts.map((receipt) => receipt?.sequence)).size).toBe(30)
    const { vaultId } = await checkpointOf()
    const rows = await rowsAfter(0n)
    let previous = createHash('sha256').update(tagged('countersign/audit/genesis/v1', [vaultId])).digest()
    for (const [index, row] of rows.entries()) {
      expect(row.sequence).toBe(BigInt(index + 1))
      expect(hex(row.prevHash)).toBe(hex(previous))
      expect(hex(hashOf(vaultId, row))).toBe(hex(row.hash))
      previous = Buffer.from(row.hash)
    }
  })
})

describe('the chain', () => {
  it('verifies whole and in part, and says where it ends', async () => {
    const whole = await client.audit.verifyChain({})
    expect(whole).toMatchObject({ valid: true, firstBadSequence: 0n, description: '' })
    expect(whole.checkedCount).toBe(whole.headSequence)
    const part = await client.audit.verifyChain({ fromSequence: 3n, toSequence: 7n })
    expect(part).toMatchObject({ valid: true, checkedCount: 5n, headSequence: 7n })
  })

  it('tells who knows of a row beyond its head that there is none, instead of nothing new', async () => {
    const { headSequence: head } = await client.audit.verifyChain({})
    const beyond = head + 1_000n
    const watch = async (afterSequence: bigint) => {
      for await (const _ of client.audit.watchEvents({ afterSequence })) return 'a row'
      return 'nothing'
    }
    const told = await refusalOf(client.audit.listEvents({ afterSequence: beyond }))
    expect(told.reason).toBe('AUDIT_EVENT_NOT_FOUND')
    expect(told.metadata).toMatchObject({ sequence: String(beyond), retryable: 'no' })
    expect(BigInt(told.metadata['headSequence'] ?? '0')).toBeGreaterThanOrEqual(head)
    expect(await reasonOf(watch(beyond))).toBe('AUDIT_EVENT_NOT_FOUND')
    expect(await reasonOf(client.audit.verifyChain({ fromSequence: beyond }))).toBe('AUDIT_EVENT_NOT_FOUND')
    expect(await reasonOf(client.audit.verifyChain({ fromSequence: 1n, toSequence: beyond }))).toBe('AUDIT_EVENT_NOT_FOUND')
    const { events } = await client.audit.listEvents({ afterSequence: (await checkpointOf()).sequence })
    expect(events).toEqual([])
  })

  it('gives a checkpoint of its head, signed, that the cosigner remembers', async () => {
    const checkpoint = await checkpointOf()
    const { vaultId, sequence, hash, publicKey, signature, time, cosignerSequence } = checkpoint
    if (time === undefined) throw new Error('no time')
    const signed = tagged('countersign/checkpoint/v1', [vaultId, u64(sequence), hash, u64(BigInt(timestampMs(time)))])
    expect(verifyEd25519(publicKey, signed, signature)).toBe(true)
    expect(cosignerSequence).toBe(sequence)
    const { headSequence } = await client.audit.verifyChain({})
    expect(sequence).toBeLessThanOrEqual(headSequence)
  })

  it('records refusals with their reason, and administration', async () => {
    const { sequence } = await checkpointOf()
    const key = await newKey(client, [{ name: 'wallet:sign', chains: ['eip155:1'] }])
    const narrowed = connect(daemon, key.secret)
    expect(await outcomeOf(signAs('SignMessage text', narrowed, { wallet: 'audited' }))).toBe('PERMISSION_MISSING')
    expect(await outcomeOf(signAs('SignDigest', narrowed, { wallet: 'audited' }))).toBe('PERMISSION_MISSING')
    await client.admin.revokeApiKey({ apiKeyId: key.apiKeyId })
    const rows = await rowsAfter(sequence)
    const seen = rows.map(({ kind, actor, outcome, reason }) => ({ kind, actor: actor.split(':')[1], outcome, reason }))
    const { ALLOWED, REFUSED } = AuditOutcome
    const actor = key.apiKeyId
    expect(seen).toContainEqual({ kind: 'sign.denied', actor, outcome: REFUSED, reason: 'PERMISSION_MISSING' })
    expect(seen).toContainEqual({ kind: 'access.denied', actor, outcome: REFUSED, reason: 'PERMISSION_MISSING' })
    expect(seen.filter(({ kind, outcome }) => kind.startsWith('api_key.') && outcome === ALLOWED)).toHaveLength(2)
    narrowed.close()
  })

  it('is watched from a cursor without gap or repeat', async () => {
    const { sequence } = await checkpointOf()
    const seen: bigint[] = []
    const watching = (async () => {
      for await (const { event } of client.audit.watchEvents({ afterSequence: sequence - 3n })) {
        seen.push(event?.sequence ?? 0n)
        if (seen.length === 43) return
      }
    })()
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => signAs('SignMessage text', client, { wallet: 'audited', seed: `w${i}` })),
    )
    await watching
    expect(seen).toEqual(Array.from({ length: 43 }, (_, i) => sequence - 2n + BigInt(i)))
  })
})
