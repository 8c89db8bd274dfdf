/** What becomes of a spend follows what becomes of its transfer, in the same transaction, and both ways. */
import { expect, it } from 'vitest'
import { followSpend } from '../../src/delegation/settle-spends.ts'
import { parseUserId } from '../../src/domain/ids.ts'
import type { SentState, SentTransaction } from '../../src/vault/sent-transactions.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { getSpend, insertSpend } from '../../src/vault/spends.ts'
import { makeVault, NOW } from '../vault/fixture.ts'

const SEND_ID = `snd_${'ab'.repeat(16)}`
const HASH = `0x${'cd'.repeat(32)}`
const ADDRESS = '0x52908400098527886E0F7030069857D2E4169EE7'

const scene = async () => {
  const vault = await makeVault()
  const { spendId } = await vault.commit((tx) =>
    insertSpend(tx, {
      sendId: SEND_ID, project: DEFAULT_PROJECT, userId: parseUserId('alice')!, externalWalletId: `ext_${'0'.repeat(32)}`, network: 'linea',
      currency: 'usdc', decimals: 6, chain: 'eip155:59144', token: ADDRESS, owner: ADDRESS, spender: ADDRESS, destination: ADDRESS,
      units: 1_500_000n, principal: 'key_1', requestId: undefined, nowMs: NOW,
    }),
  )
  const becomes = async (state: SentState, changes: Partial<SentTransaction> = {}) => {
    const versions = [{ version: 1, hash: HASH }] as unknown as SentTransaction['versions']
    const sent = { sendId: SEND_ID, purpose: 'SPEND', state, reason: '', block: 7n, minedVersion: 1, versions, updateMs: NOW + 1, ...changes }
    await vault.commit((tx) => followSpend(tx, sent as SentTransaction))
    const { state: now, reason, block, transactionHash } = getSpend(vault.read, spendId)!
    return [now, reason, block, transactionHash]
  }
  const kinds = () => vault.read.all<{ kind: string }>(`SELECT kind FROM audit WHERE subject_id = ? ORDER BY sequence`, spendId).map(({ kind }) => kind)
  return { vault, becomes, kinds }
}

it('is held until the chain has it, and held again where the chain takes it back', async () => {
  const { vault, becomes, kinds } = await scene()
  expect(await becomes('CONFIRMED')).toEqual(['CONFIRMED', '', 7n, HASH])
  expect(await becomes('BROADCAST', { block: undefined, minedVersion: undefined })).toEqual(['OPEN', '', undefined, ''])
  expect(await becomes('CONFIRMED', { block: 9n })).toEqual(['CONFIRMED', '', 9n, HASH])
  expect(kinds()).toEqual(['spend.reopened'])
  await vault.close()
})

it.each<[SentState, string, string]>([
  ['FAILED', 'REVERTED', 'REVERTED'],
  ['REPLACED', 'CANCELLED', 'CANCELLED'],
  ['EXPIRED', '', 'EXPIRED'],
])('is let go of when its transfer is %s', async (state, reason, told) => {
  const { vault, becomes, kinds } = await scene()
  expect(await becomes(state, { reason })).toEqual(['FAILED', told, undefined, HASH])
  expect(kinds()).toEqual(['spend.failed'])
  await vault.close()
})

it('is none of a send that somebody asked for themselves', async () => {
  const { vault, becomes } = await scene()
  expect(await becomes('FAILED', { purpose: 'SEND' })).toEqual(['OPEN', '', undefined, ''])
  await vault.close()
})
