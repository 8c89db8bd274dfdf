/** What may be spent of a wallet: each transfer counts once, in what the chain says or in what is held. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Call } from '../../src/domain/call.ts'
import { parseRequestId, parseUserId } from '../../src/domain/ids.ts'
import type { SpendingNeeds } from '../../src/delegation/external-wallets.ts'
import { getSpend, listSpends } from '../../src/delegation/read-spends.ts'
import { FreshReadings } from '../../src/delegation/fresh-readings.ts'
import { availableIn, Purses } from '../../src/delegation/purse.ts'
import { spendDelegation, type SpendNeeds } from '../../src/delegation/spend.ts'
import type { SpendingChain } from '../../src/delegation/spending-chain.ts'
import { registerExternalWallet } from '../../src/vault/external-wallets.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { changeSpend, findSpendByRequest, insertSpend, listSpends as listStored, pruneSpends } from '../../src/vault/spends.ts'
import { makeVault, NOW, reasonOf, tamper, openVaultAt } from '../vault/fixture.ts'

const ALICE = parseUserId('alice')!
const OWNER = '0x52908400098527886E0F7030069857D2E4169EE7'
const SPENDER = '0x8617E340B3D01FA5F11F306F4090FD50E238070D'
const OTHER_SPENDER = '0xde709f2102306220921060314715629080e2fb77'
const TOKEN = '0x27b1fdb04752bbc536007a920d24acb045561c26'

const scene = async () => {
  const vault = await makeVault()
  const wallet = await vault.commit((tx) =>
    registerExternalWallet(tx, {
      project: DEFAULT_PROJECT, userId: ALICE, network: 'linea', currency: 'usdc', address: OWNER, tokenAddress: TOKEN, decimals: 6,
      spender: SPENDER, limitUnits: 100n, transactionHash: `0x${'12'.repeat(32)}`, replaces: undefined, nowMs: NOW,
    }),
  )
  let sends = 0
  const hold = (units: bigint, spender = SPENDER) =>
    vault.commit((tx) =>
      insertSpend(tx, {
        sendId: `snd_${String(++sends).padStart(32, '0')}`, project: DEFAULT_PROJECT, userId: ALICE, externalWalletId: wallet.externalWalletId,
        network: 'linea', currency: 'usdc', decimals: 6, chain: 'eip155:59144', token: TOKEN, owner: OWNER, spender, destination: OWNER, units,
        principal: 'key_1', requestId: undefined, nowMs: NOW,
      }),
    )
  return { vault, wallet, hold }
}
const chain = { chain: 'eip155:59144' } as SpendingChain
const says = (allowance: bigint, balance: bigint, reflected: readonly string[] = [], block = 10n) => ({
  standing: { allowance, balance, block }, reflected: new Set(reflected),
})

describe('what is available', () => {
  it('is what allowance and balance both leave', async () => {
    const { vault, wallet, hold } = await scene()
    const left = (allowance: bigint, balance: bigint) => availableIn(vault.read, chain, wallet, says(allowance, balance))
    expect([left(100n, 30n), left(20n, 30n), left(0n, 30n)]).toEqual([30n, 20n, 0n])
    await hold(15n)
    expect([left(100n, 30n), left(20n, 30n), left(10n, 30n)]).toEqual([15n, 5n, 0n])
    // Another spender draws on the balance alone.
    await hold(10n, OTHER_SPENDER)
    expect([left(100n, 30n), left(20n, 30n)]).toEqual([5n, 5n])
    await vault.close()
  })

  it('counts what is under way until the chain says it, and what the chain got after it was read', async () => {
    const { vault, wallet, hold } = await scene()
    const { sendId, spendId } = await hold(40n)
    expect(availableIn(vault.read, chain, wallet, says(100n, 100n))).toBe(60n)
    expect(availableIn(vault.read, chain, wallet, says(60n, 60n, [sendId]))).toBe(60n)
    const change = (state: 'CONFIRMED' | 'SETTLED' | 'FAILED' | 'OPEN', block?: bigint) =>
      vault.commit((tx) => changeSpend(tx, spendId, { state, ...(block === undefined ? {} : { block }) }, NOW))
    await change('CONFIRMED', 11n)
    expect(availableIn(vault.read, chain, wallet, says(100n, 100n, [], 10n))).toBe(60n)
    expect(availableIn(vault.read, chain, wallet, says(60n, 60n, [], 11n))).toBe(60n)
    await change('OPEN')
    expect(availableIn(vault.read, chain, wallet, says(100n, 100n, [], 12n))).toBe(60n)
    await change('FAILED')
    expect(availableIn(vault.read, chain, wallet, says(100n, 100n, [], 12n))).toBe(100n)
    await vault.close()
  })

  it('is told by a reading that asks what is under way after it read the chain', async () => {
    const { vault, wallet, hold } = await scene()
    let duringRead = ''
    const reading = await new Purses().read(vault.read, {
      ...chain,
      standing: async () => {
        duringRead = (await hold(7n)).sendId
        return { allowance: 100n, balance: 100n, block: 10n }
      },
      reflected: async (_standing, sends) => new Set(sends.map(({ sendId }) => sendId)),
    }, wallet)
    // Without a send of that id there is nothing that could be in the chain.
    expect(reading.reflected).toEqual(new Set())
    expect(availableIn(vault.read, chain, wallet, reading)).toBe(93n)
    expect(duringRead).not.toBe('')
    await vault.close()
  })
})

describe('readings', () => {
  it('begin after they are asked for, and are shared by who asks meanwhile', async () => {
    const readings = new FreshReadings<number>()
    let begun = 0
    const question = async () => {
      const mine = ++begun
      await sleep(5)
      return mine
    }
    const first = readings.read('a', question)
    const others = [readings.read('a', question), readings.read('a', question)]
    expect(await Promise.all([first, ...others, readings.read('b', question)])).toEqual([1, 3, 3, 2])
    expect(await readings.read('a', question)).toBe(4)
  })

  it('that fail leave the next its turn', async () => {
    const readings = new FreshReadings<number>()
    const failing = readings.read('a', async () => Promise.reject(new Error('away')))
    const next = readings.read('a', async () => 7)
    await expect(failing).rejects.toThrow('away')
    expect(await next).toBe(7)
  })
})

describe('what was spent', () => {
  it('is found by its request for a day, listed newest first, forgotten long after it was over, and not altered', async () => {
    const { vault, hold } = await scene()
    const [first, second] = [await hold(1n), await hold(2n)]
    const list = (before: bigint) => listStored(vault.read, { project: DEFAULT_PROJECT, userId: ALICE }, before, 10).map(({ units }) => units)
    expect([list(99n), list(second.number), listStored(vault.read, { project: DEFAULT_PROJECT, userId: parseUserId('bob')! }, 99n, 10)]).toEqual([[2n, 1n], [1n], []])
    expect(findSpendByRequest(vault.read, 'key_1', '00000000-0000-4000-8000-000000000000' as never, NOW)).toBeUndefined()
    await vault.commit((tx) => changeSpend(tx, first.spendId, { state: 'FAILED', reason: 'REVERTED' }, NOW))
    const prune = (nowMs: number) => vault.commit((tx) => pruneSpends(tx, nowMs, 10))
    expect([await prune(NOW + 89 * 86_400_000), await prune(NOW + 90 * 86_400_000)]).toEqual([0, 1])
    await vault.close()
    tamper(vault.place.path, (db) => db.exec(`UPDATE spends SET units = '1'`))
    const again = await openVaultAt(vault.place)
    expect(await reasonOf(() => listStored(again.read, { project: DEFAULT_PROJECT, userId: undefined }, 99n, 10))).toBe('VAULT_CORRUPT')
    await again.close()
  })

  it('answers a request that was used, and no other under its id', async () => {
    const { vault, wallet } = await scene()
    const requestId = parseRequestId('00000000-0000-4000-8000-000000000001')!
    const { spendId } = await vault.commit((tx) =>
      insertSpend(tx, {
        sendId: `snd_${'0'.repeat(32)}`, project: DEFAULT_PROJECT, userId: ALICE, externalWalletId: wallet.externalWalletId, network: 'linea',
        currency: 'usdc', decimals: 6, chain: 'eip155:59144', token: TOKEN, owner: OWNER, spender: SPENDER, destination: OWNER, units: 2_500_000n,
        principal: 'key_1', requestId, nowMs: NOW,
      }),
    )
    const needs = { vault, clock: { nowMs: () => NOW } } as unknown as SpendNeeds
    const call = { caller: { principal: 'key_1' }, requestId } as unknown as Call
    const request = {
      userId: 'alice', network: 'linea', region: '', currency: 'usdc', amount: '2.50', destination: OWNER.toLowerCase(), externalWalletId: undefined,
      opensAccount: false,
    }
    expect(await spendDelegation(needs, call, request)).toMatchObject({ spendId, amount: '2.5' })
    for (const other of [{ amount: '2.6' }, { destination: SPENDER }, { userId: 'bob' }, { network: 'ethereum' }, { externalWalletId: 'ext_1' }])
      expect(await reasonOf(() => spendDelegation(needs, call, { ...request, ...other }))).toBe('IDEMPOTENCY_MISMATCH')
    await vault.close()
  })

  it('is an end user’s own to see, and nobody else’s', async () => {
    const { vault, hold } = await scene()
    const { spendId } = await hold(1_500_000n)
    const needs = { vault } as unknown as SpendingNeeds
    const by = (userId: string, projectId: string = DEFAULT_PROJECT) => ({ caller: { kind: 'end_user', userId, projectId } }) as unknown as Call
    expect(getSpend(needs, by('alice'), { spendId })).toMatchObject({ spendId, amount: '1.5', state: 'pending' })
    const everything = { pageSize: 10, cursor: undefined, userId: undefined }
    expect(listSpends(needs, by('alice'), everything).items).toHaveLength(1)
    expect(listSpends(needs, by('bob'), everything).items).toEqual([])
    expect(listSpends(needs, by('bob'), { ...everything, userId: 'alice' }).items).toEqual([])
    expect(await reasonOf(() => getSpend(needs, by('bob'), { spendId }))).toBe('SPEND_NOT_FOUND')
    expect(await reasonOf(() => getSpend(needs, by('alice', 'other'), { spendId }))).toBe('SPEND_NOT_FOUND')
    await vault.close()
  })
})
