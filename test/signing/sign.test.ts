/** What the signing script books, gives back and writes down when the other party does not do its part. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { failure } from '../../src/domain/failure.ts'
import { parseRequestId } from '../../src/domain/ids.ts'
import { PortFailure } from '../../src/party/port-calls.ts'
import { requireReleasable } from '../../src/signing/release-again.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { setWalletState } from '../../src/vault/wallets.ts'
import { NOW, reasonOf } from '../vault/fixture.ts'
import { type Scene, stage } from './scene.ts'

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

it.each([
  ['PENDING', 'WALLET_NOT_READY'],
  ['SUSPENDED', 'WALLET_SUSPENDED'],
  ['ARCHIVED', 'WALLET_ARCHIVED'],
] as const)('a wallet that is %s signs nothing: %s', async (state, reason) => {
  const scene = await stage(undefined, { state })
  expect(await reasonOf(() => scene.pay(1n))).toBe(reason)
  expect(scene.taken).toEqual([])
  expect(scene.spent()).toBe(0n)
})
