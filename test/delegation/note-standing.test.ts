/** What a chain says of an external wallet is told once, when it is news, in the audit chain and by webhook. */
import { expect, it } from 'vitest'
import { isNews, noteCurrent } from '../../src/delegation/note-standing.ts'
import { parseUserId } from '../../src/domain/ids.ts'
import { getExternalWallet, registerExternalWallet } from '../../src/vault/external-wallets.ts'
import { findSeen } from '../../src/vault/followed.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { insertWebhook } from '../../src/vault/webhooks.ts'
import { makeVault, NOW } from '../vault/fixture.ts'

const ADDRESS = '0x52908400098527886E0F7030069857D2E4169EE7'
const NEW = {
  project: DEFAULT_PROJECT, userId: parseUserId('alice')!, network: 'linea', currency: 'usdc', address: ADDRESS, tokenAddress: ADDRESS, decimals: 6,
  spender: ADDRESS, limitUnits: 5_000_000n, transactionHash: `0x${'12'.repeat(32)}`, replaces: undefined, nowMs: NOW,
}

const scene = async () => {
  const vault = await makeVault()
  const { externalWalletId: id } = await vault.commit((tx) => {
    insertWebhook(tx, { project: DEFAULT_PROJECT, name: '', url: 'https://receiver.example/', format: 'COUNTERSIGN', subscriptions: ['external_wallet.*'], nowMs: NOW })
    return registerExternalWallet(tx, NEW)
  })
  const says = async (allowance: bigint, block: bigint, isReorganised = false): Promise<boolean> => {
    const noted = { standing: { allowance, balance: 9_000_000n, block }, isReorganised, nowMs: NOW }
    const news = isNews(vault.read, getExternalWallet(vault.read, id)!, noted)
    await vault.commit((tx) => noteCurrent(tx, id, noted))
    return news
  }
  const told = () =>
    vault.read
      .all<{ type: string; data: string }>('SELECT type, data FROM webhook_events ORDER BY number')
      .map(({ type, data }) => [type, (JSON.parse(data) as { allowance: string }).allowance])
  const kinds = () =>
    vault.read.all<{ kind: string }>(`SELECT kind FROM audit WHERE kind LIKE 'external_wallet.%' ORDER BY sequence`).map(({ kind }) => kind)
  return { vault, id, says, told, kinds }
}

it('is told when it changes: less, nothing, something again; and not twice', async () => {
  const { vault, id, says, told, kinds } = await scene()
  expect(await says(5_000_000n, 10n)).toBe(true)
  expect(await says(5_000_000n, 11n)).toBe(false)
  expect(told()).toEqual([])
  for (const [at, allowance] of [4_500_000n, 0n, 0n, 2_000_000n].entries()) await says(allowance, 12n + BigInt(at))
  expect(told()).toEqual([['external_wallet.limit_changed', '4.5'], ['external_wallet.revoked', '0'], ['external_wallet.approved_again', '2']])
  expect(kinds()).toEqual(told().map(([type]) => type))
  expect(getExternalWallet(vault.read, id)?.state).toBe('ACTIVE')
  await vault.close()
})

it('of an older block says nothing, unless the newer one is gone', async () => {
  const { vault, id, says, told } = await scene()
  await says(5_000_000n, 10n)
  expect(await says(0n, 9n)).toBe(false)
  expect([told(), getExternalWallet(vault.read, id)?.state]).toEqual([[], 'ACTIVE'])
  await says(0n, 9n, true)
  expect(told()).toEqual([['external_wallet.revoked', '0']])
  await vault.close()
})

it('of a wallet that was replaced since says nothing', async () => {
  const { vault, id, says, told } = await scene()
  await says(5_000_000n, 10n)
  expect(findSeen(vault.read, id)).toBeDefined()
  await vault.commit((tx) => registerExternalWallet(tx, NEW))
  await says(0n, 11n)
  expect(told()).toEqual([])
  // Nor is it remembered what was seen of it.
  expect(findSeen(vault.read, id)).toBeUndefined()
  await vault.close()
})
