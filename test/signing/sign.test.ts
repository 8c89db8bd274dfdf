/** What the signing script books, gives back and writes down when the other party does not do its part. */
import { randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Call } from '../../src/domain/call.ts'
import { failure } from '../../src/domain/failure.ts'
import { parseRequestId, type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import type { ReadyPresignature } from '../../src/party/initiator.ts'
import { PortFailure } from '../../src/party/port-calls.ts'
import { encodeUnsignedTransaction } from '../../src/payload/transaction.ts'
import { parseTransactionFields } from '../../src/payload/transaction-fields.ts'
import { StageTimes } from '../../src/domain/stages.ts'
import { Fences } from '../../src/signing/fences.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { requireReleasable } from '../../src/signing/release-again.ts'
import { sign, type SignNeeds } from '../../src/signing/sign.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { readUsage, utcDay } from '../../src/vault/usage.ts'
import { insertWallet, setWalletState } from '../../src/vault/wallets.ts'
import { makeVault, newWallet, NOW, reasonOf } from '../vault/fixture.ts'

const NATIVE = 'eip155:1/native'
const GRANT = { permission: 'wallet:sign', narrowing: { max_per_day: { [NATIVE]: '100' } } }
const PROJECT = 'default' as ProjectId

type Answer = 'signed' | Error
type Scene = Awaited<ReturnType<typeof stage>>

/** A vault with one wallet and one key, and an engine that answers what it is told to, one answer a try. */
const stage = async (grants: readonly object[] = [GRANT]) => {
  const vault = await makeVault()
  const bytes = new Uint8Array(randomBytes(16))
  const walletId = walletIdFromBytes(bytes)
  const key = await vault.commit((tx) => {
    insertWallet(tx, newWallet({ walletId }))
    return createApiKey(tx, { project: PROJECT, name: 'k', permissions: grants as never, nowMs: NOW }).key
  })
  const answers: Answer[] = []
  const taken: string[] = []
  const discarded: string[] = []
  const hex = (id: Uint8Array): string => Buffer.from(id).toString('hex')
  let duringSign = async (): Promise<void> => undefined
  let duringPreparation: () => void = () => {}
  const engine: SignNeeds['engine'] = {
    takePresignature: async () => {
      const presigId = new Uint8Array(randomBytes(16))
      taken.push(hex(presigId))
      const ready: ReadyPresignature = {
        walletId: bytes, presigId, wEpoch: 0, noncePoint: new Uint8Array(randomBytes(33)), expiresAtMs: NOW + 1e6,
      }
      return ready
    },
    estimateSignMs: () => 0,
    signEd25519: () => Promise.reject(new Error('no Ed25519 wallet here')),
    discardPresignature: (presigId) => void discarded.push(hex(presigId)),
    prepareSign: () => duringPreparation(),
    sign: async () => {
      await duringSign()
      const answer = answers.shift() ?? 'signed'
      if (answer !== 'signed') throw answer
      return { r: new Uint8Array(32).fill(1), s: new Uint8Array(32).fill(2), recid: 0 }
    },
  }
  const clock = { nowMs: () => NOW, monotonicNs: () => 0n }
  const needs: SignNeeds = {
    vault,
    engine,
    clock,
    fences: new Fences(),
    grants: new GrantCache(),
    rates: new RateLimiter(() => 0),
    onAlert: () => undefined,
  }
  const callOf = (requestId?: string): Call => ({
    caller: {
      kind: 'project',
      principal: key.keyId,
      apiKeyId: key.keyId,
      projectId: PROJECT,
      permissions: new Set(['wallet:sign']),
    },
    method: 'countersign.v1.WalletService/SignTransaction',
    requestId: requestId === undefined ? undefined : parseRequestId(requestId),
    isRepeat: false,
    whenPoolIsEmpty: 'wait',
    stages: new StageTimes(),
    releaseChecks: [],
    deadlineMs: NOW + 10_000,
    signal: new AbortController().signal,
  })
  return {
    vault, needs, key, walletId, answers, taken, discarded,
    pay: (wei: bigint, requestId?: string) =>
      sign(needs, callOf(requestId), {
        walletRef: walletId,
        method: 'SignTransaction',
        content: { kind: 'transaction', unsigned: transferOf(wei) },
      }),
    whilePreparing: (work: () => void) => {
      duringPreparation = work
    },
    whileSigning: (work: () => Promise<void>) => {
      duringSign = work
    },
    spent: () =>
      readUsage(vault.read, { principal: key.keyId, permission: 'wallet:sign#0', token: NATIVE, day: utcDay(NOW) }),
  }
}

const transferOf = (wei: bigint): Uint8Array =>
  encodeUnsignedTransaction(
    parseTransactionFields({
      type: 'dynamic-fee', chainId: 1n, nonce: 0n, gasLimit: 21_000n, maxFeePerGas: '1',
      to: '0x11e9ca82a3a762b4b5bd264d4173a242e7a77064', value: String(wei),
    }),
  )

const denials = ({ vault }: Scene) => listAudit(vault.read, 0n, 10_000, { kind: 'sign.denied' })

describe('a day cap', () => {
  it('is charged once for a request whose outcome was unknown, also where twice would not fit', async () => {
    const scene = await stage()
    const requestId = randomUUID()
    scene.answers.push(failure('COSIGNER_UNAVAILABLE', { why: 'gone' }))
    expect(await reasonOf(() => scene.pay(60n, requestId))).toBe('OUTCOME_UNKNOWN')
    expect(scene.spent()).toBe(60n)
    await scene.pay(60n, requestId)
    expect(scene.spent()).toBe(60n)
    expect(await reasonOf(() => scene.pay(60n, randomUUID()))).toBe('LIMIT_EXCEEDED')
  })

  it('does not let another transaction pass under the same request id', async () => {
    const scene = await stage()
    const requestId = randomUUID()
    scene.answers.push(failure('COSIGNER_UNAVAILABLE', { why: 'gone' }))
    expect(await reasonOf(() => scene.pay(60n, requestId))).toBe('OUTCOME_UNKNOWN')
    expect(await reasonOf(() => scene.pay(40n, requestId))).toBe('IDEMPOTENCY_MISMATCH')
    expect(scene.spent()).toBe(60n)
  })

  it('is charged once when a presignature was gone and the next is tried', async () => {
    const scene = await stage()
    scene.answers.push(new PortFailure('UNKNOWN_PRESIGNATURE'), new PortFailure('UNKNOWN_PRESIGNATURE'))
    await scene.pay(60n)
    expect(scene.spent()).toBe(60n)
    expect(scene.taken).toHaveLength(3)
  })
})

describe('presignatures', () => {
  it('are given up on both sides whenever what took them does not sign', async () => {
    const scene = await stage()
    expect(await reasonOf(() => scene.pay(101n))).toBe('LIMIT_EXCEEDED')
    expect(scene.taken).toEqual([])
    scene.answers.push(failure('COSIGNER_REFUSED', { why: 'policy_denied' }))
    expect(await reasonOf(() => scene.pay(1n))).toBe('COSIGNER_REFUSED')
    expect(scene.discarded).toEqual(scene.taken)
    await Promise.allSettled(Array.from({ length: 5 }, () => scene.pay(60n)))
    expect(scene.taken).toHaveLength(6)
    expect(scene.discarded).toHaveLength(5)
  })

  it('are given up, too, where another one signs in their place', async () => {
    const scene = await stage()
    scene.answers.push(new PortFailure('UNKNOWN_PRESIGNATURE'))
    await scene.pay(1n)
    expect(scene.taken).toHaveLength(2)
    expect(scene.discarded).toEqual(scene.taken.slice(0, 1))
  })

  it('have their work begun before the intent is written, and asked for after it', async () => {
    const scene = await stage()
    const intents = (): bigint | undefined =>
      scene.vault.read.one<{ count: bigint }>('SELECT count(*) AS count FROM intents')?.count
    const seen: (bigint | undefined)[] = []
    scene.whilePreparing(() => seen.push(intents()))
    scene.whileSigning(async () => void seen.push(intents()))
    await scene.pay(1n)
    expect(seen).toEqual([0n, 1n])
  })
})

describe('a freeze', () => {
  it('holds by what is durable, whatever the fences in memory say', async () => {
    const scene = await stage()
    const { vault, key } = scene
    const freeze = { scope: 'api_key', id: key.keyId, reason: '', actor: { kind: 'operator', id: '' }, createMs: NOW } as const
    await vault.commit((tx) => addFreeze(tx, freeze))
    expect(await reasonOf(() => scene.pay(1n))).toBe('FROZEN')
    expect(scene.spent()).toBe(0n)
    expect(scene.discarded).toEqual(scene.taken)
  })

  it('stops for good what was in flight, also when it is lifted before that has ended', async () => {
    const scene = await stage()
    const { fences } = scene.needs
    const fence = { scope: 'wallet', id: scene.walletId } as const
    let lifted: Promise<void> | undefined
    scene.whileSigning(async () => {
      lifted = fences.raise(fence)
      fences.lower(fence)
    })
    expect(await reasonOf(() => scene.pay(1n))).toBe('FROZEN')
    await lifted
  })

  it('withholds a kept signature, and so does archiving', async () => {
    const scene = await stage()
    const { vault, key, walletId } = scene
    const requestId = parseRequestId(randomUUID())!
    await scene.pay(1n, requestId)
    const kept = { caller: key.keyId, method: 'countersign.v1.WalletService/SignTransaction', requestId }
    const release = () => requireReleasable(vault.read, kept, NOW)
    expect(release).not.toThrow()
    expect(() => requireReleasable(vault.read, { ...kept, method: 'countersign.v1.WalletService/GetWallet' }, NOW)).not.toThrow()
    await vault.commit((tx) => setWalletState(tx, walletId, 'ARCHIVED'))
    expect(await reasonOf(release)).toBe('WALLET_ARCHIVED')
    const freeze = { scope: 'all', id: '', reason: '', actor: { kind: 'operator', id: '' }, createMs: NOW } as const
    await vault.commit((tx) => addFreeze(tx, freeze))
    expect(await reasonOf(release)).toBe('FROZEN')
  })
})

describe('denials', () => {
  it('are rows, of which a caller gets only so many; of its rate limit one', async () => {
    const scene = await stage([{ permission: 'wallet:sign', narrowing: { requests_per_second: 1 } }])
    await scene.pay(1n)
    for (let i = 0; i < 20; i++) expect(await reasonOf(() => scene.pay(1n))).toBe('RATE_LIMITED')
    expect(denials(scene).map(({ reason }) => reason)).toEqual(['RATE_LIMITED'])

    const other = await stage([{ permission: 'sign:digest', narrowing: {} }])
    const reasons = await Promise.all(Array.from({ length: 600 }, () => reasonOf(() => other.pay(1n))))
    expect(reasons.filter((reason) => reason === 'PERMISSION_MISSING')).toHaveLength(500)
    expect(reasons.filter((reason) => reason === 'RATE_LIMITED')).toHaveLength(100)
    expect(denials(other)).toHaveLength(501)
  })
})
