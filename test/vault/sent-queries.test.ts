import { expect, it } from 'vitest'
import type { ProjectId, WalletId } from '../../src/domain/ids.ts'
import { listSent, openNetworks, openSent, type SentFilter } from '../../src/vault/sent-queries.ts'
import { changeSent, insertSent, newSendId } from '../../src/vault/sent-transactions.ts'
import { makeVault, NOW } from './fixture.ts'

const project = 'default' as ProjectId
const [a, b] = ['aa', 'bb'].map((byte) => `wal_${byte.repeat(16)}` as WalletId) as [WalletId, WalletId]
const version = { kind: 'ORIGINAL', caller: '{}', principal: 'key', requestId: undefined, bodyHash: new Uint8Array(32), unsigned: new Uint8Array(1), anchor: '', lastValid: undefined } as const

it('lists sends by wallet, by network and by what is open, the newest first; and follows each network by itself', async () => {
  const vault = await makeVault()
  const ids = new Map<string, string>()
  const add = (name: string, walletId: WalletId, network: string) =>
    vault.commit((tx) => {
      const sendId = newSendId()
      ids.set(sendId, name)
      insertSent(tx, {
        sendId, project, walletId, network, chain: network, family: 'SOLANA', sender: walletId, purpose: 'SEND', subject: '', confirmations: 1,
        nonce: undefined, version, nowMs: NOW,
      })
      return sendId
    })
  await add('1', a, 'linea')
  const over = await add('2', a, 'solana')
  await add('3', b, 'linea')
  await add('4', b, 'solana')
  await add('5', a, 'linea')
  const last = await add('6', b, 'base')
  await vault.commit((tx) => [over, last].map((sendId) => changeSent(tx, sendId, { state: 'EXPIRED' }, NOW)))
  const names = (sent: readonly { readonly sendId: string }[]): string => sent.map(({ sendId }) => ids.get(sendId)).join('')
  const list = (filter: Partial<SentFilter>, before = 100n, limit = 10): string =>
    names(listSent(vault.read, { project, wallets: undefined, network: undefined, openOnly: false, ...filter }, before, limit).items)
  expect(list({})).toBe('654321')
  expect(list({}, 5n, 2)).toBe('43')
  expect(list({ wallets: [a] })).toBe('521')
  expect(list({ wallets: [a] }, 5n, 1)).toBe('2')
  expect(list({ wallets: [b, a] })).toBe('654321')
  expect(list({ wallets: [b, a] }, 6n, 2)).toBe('54')
  expect(list({ wallets: [] })).toBe('')
  expect(list({ network: 'linea' })).toBe('531')
  expect(list({ wallets: [b], network: 'linea' })).toBe('3')
  expect(list({ openOnly: true })).toBe('5431')
  expect(list({ openOnly: true, network: 'solana', wallets: [a] })).toBe('')
  expect(list({ project: 'other' as ProjectId })).toBe('')
  expect(openNetworks(vault.read)).toEqual(['linea', 'solana'])
  expect([names(openSent(vault.read, 'linea')), names(openSent(vault.read, 'base'))]).toEqual(['135', ''])
  await vault.close()
})
