/** What becomes of a spend follows what becomes of its transfer, in the same transaction, and both ways. */
import { expect, it } from 'vitest'
import { followSpend, type SettleCursors, type SettleNeeds, settleSpends } from '../../src/delegation/settle-spends.ts'
import { failure } from '../../src/domain/failure.ts'
import { parseUserId } from '../../src/domain/ids.ts'
import { registerExternalWallet } from '../../src/vault/external-wallets.ts'
import { insertSent, type SentState, type SentTransaction } from '../../src/vault/sent-transactions.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { changeSpend, getSpend, insertSpend } from '../../src/vault/spends.ts'
import type { Tx } from '../../src/vault/store.ts'
import { makeVault, newWallet, NOW } from '../vault/fixture.ts'

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

it('is settled whatever cannot be read before it, on its network or another', async () => {
  const vault = await makeVault()
  const wallet = await vault.commit((tx) =>
    registerExternalWallet(tx, {
      project: DEFAULT_PROJECT, userId: parseUserId('alice')!, network: 'linea', currency: 'usdc', address: ADDRESS, tokenAddress: ADDRESS,
      decimals: 6, spender: ADDRESS, limitUnits: 1n, transactionHash: HASH, replaces: undefined, nowMs: NOW,
    }),
  )
  const confirmed = (tx: Tx, index: number, network: string): string => {
    const sendId = `snd_${String(index).padStart(32, '0')}`
    const { spendId } = insertSpend(tx, {
      sendId, project: DEFAULT_PROJECT, userId: parseUserId('alice')!, externalWalletId: wallet.externalWalletId, network, currency: 'usdc',
      decimals: 6, chain: 'eip155:59144', token: ADDRESS, owner: ADDRESS, spender: ADDRESS, destination: ADDRESS, units: 1n, principal: 'key_1',
      requestId: undefined, nowMs: NOW,
    })
    changeSpend(tx, spendId, { state: 'CONFIRMED', block: 7n, transactionHash: HASH }, NOW)
    return sendId
  }
  await vault.commit((tx) => {
    // What was sent for these is not there any more.
    for (let index = 0; index < 25; index++) confirmed(tx, index, index < 20 ? 'ethereum' : 'linea')
    for (const [index, network] of [[25, 'ethereum'], [26, 'linea']] as const) {
      insertSent(tx, {
        sendId: confirmed(tx, index, network), project: DEFAULT_PROJECT, walletId: newWallet().walletId, network, chain: 'eip155:59144', family: 'EVM',
        sender: ADDRESS, purpose: 'SPEND', subject: wallet.externalWalletId, confirmations: 1, nonce: BigInt(index), nowMs: NOW,
        version: {
          kind: 'ORIGINAL', caller: '{}', principal: 'key_1', requestId: undefined, bodyHash: new Uint8Array(32), unsigned: new Uint8Array(1),
          anchor: '', lastValid: undefined,
        },
      })
    }
  })
  const asked: string[] = []
  const evm = (network: string): never => {
    asked.push(network)
    throw failure('CHAIN_NOT_CONFIGURED', { network })
  }
  const chains = { evm, networks: ['ethereum', 'linea'], familyOf: () => 'evm' }
  const needs = { vault, chains, clock: { nowMs: () => NOW } } as unknown as SettleNeeds
  const cursors: SettleCursors = new Map()
  for (let turn = 0; turn < 3; turn++) await settleSpends(needs, new AbortController().signal, cursors)
  expect(asked.toSorted()).toEqual(['ethereum', 'linea', 'linea', 'linea'])
  await vault.close()
})
