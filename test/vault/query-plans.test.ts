/** What is asked of tables that grow is found by an index: a query that walks one would hold everybody else up. */
import Database from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import type { DelegateId, GrantId, ProjectId, RequestId, UserId, WalletId } from '../../src/domain/ids.ts'
import { DAEMON_SCHEMA } from '../../src/vault/daemon-schema.ts'
import { accessOfRequest, dueAccess, hasOpenAccess, listDelegatedAccess, openAccessOfGrant } from '../../src/vault/delegated-access.ts'
import { pruneDelegationTokens } from '../../src/vault/delegation-tokens.ts'
import { externalWalletsOf, followedNetworks, watchedOn } from '../../src/vault/external-wallets.ts'
import { listGrants } from '../../src/vault/grants.ts'
import * as sent from '../../src/vault/sent-queries.ts'
import { pruneSent } from '../../src/vault/sent-transactions.ts'
import { oldestAccessesOf } from '../../src/vault/imported-accesses.ts'
import { findSessionKeysByAddress, listSessionKeys } from '../../src/vault/session-keys.ts'
import { confirmedSpends, findSpendByRequest, listSpends, networksConfirmed, pruneSpends, spendsHeld } from '../../src/vault/spends.ts'
import type { SqlParam, Tx } from '../../src/vault/store.ts'
import { findWalletsByAddress, findWalletsByUser, listWallets } from '../../src/vault/wallets.ts'

const db = new Database(':memory:')
for (const { sql } of DAEMON_SCHEMA.migrations) db.exec(sql)

/** The steps of what a query function asks a daemon's tables. */
const planOf = (ask: (reader: Tx) => unknown): string => {
  const steps: string[] = []
  const note = (sql: string, ...params: SqlParam[]): void => {
    for (const { detail } of db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...params) as { detail: string }[]) steps.push(detail)
  }
  const all = (sql: string, ...params: SqlParam[]): never[] => (note(sql, ...params), [])
  ask({ all, one: note } as unknown as Tx)
  return steps.join('; ')
}

const project = 'default' as ProjectId
const userId = 'alice' as UserId
const walletId = `wal_${'ab'.repeat(16)}` as WalletId
const requestId = '00000000-0000-4000-8000-000000000000' as RequestId
const every = { project, wallets: undefined, network: undefined, openOnly: false }
const listSent = (filter: Partial<sent.SentFilter>) => (reader: Tx) => sent.listSent(reader, { ...every, ...filter }, 100n, 10)

describe('is found by an index', () => {
  const queries: readonly (readonly [string, RegExp, (reader: Tx) => unknown])[] = [
    ['networks with open sends', /sent_transactions_open$/, sent.openNetworks],
    ['open sends by network', /sent_transactions_open;/, sent.openByNetwork],
    ['open sends of a network', /sent_transactions_open \(network=\?\)$/, (reader) => sent.openSent(reader, 'linea')],
    ['open sends of a sender', /open_of_sender/, (reader) => sent.countOpen(reader, 'eip155:1', '0x')],
    ['a nonce', /leases/, (reader) => sent.lowestFreeNonce(reader, 'eip155:1', '0x', 0n)],
    ['the send of a request', /by_request/, (reader) => sent.findSentByRequest(reader, 'key', requestId, 0)],
    ['sends of a project', /by_project \(project=\? AND number<\?\)$/, listSent({})],
    ['sends of a wallet', /by_wallet \(wallet_id=\? AND number<\?\)$/, listSent({ wallets: [walletId] })],
    ['sends of wallets', /by_wallet \(wallet_id=\? AND number<\?\)/, listSent({ wallets: [walletId, walletId] })],
    ['sends on a network', /by_network \(project=\? AND network=\? AND number<\?\)$/, listSent({ network: 'linea' })],
    ['open sends', /sent_transactions_open/, listSent({ openOnly: true, wallets: [walletId] })],
    ['old sends', /sent_transactions_over/, (reader) => pruneSent(reader, 0, 10)],
    ['the spend of a request', /by_request/, (reader) => findSpendByRequest(reader, 'key', requestId, 0)],
    ['held amounts', /spends_held.*spends_by_block/, (reader) => spendsHeld(reader, { chain: 'eip155:1', token: '0x', owner: '0x' }, 1n)],
    ['confirmed spends', /spends_confirmed/, (reader) => confirmedSpends(reader, 'linea', 0n, 10)],
    ['networks with confirmed spends', /spends_confirmed/, networksConfirmed],
    ['spends of a project', /by_project/, (reader) => listSpends(reader, { project, userId: undefined }, 1n, 10)],
    ['spends of a user', /by_user/, (reader) => listSpends(reader, { project, userId }, 1n, 10)],
    ['old spends', /spends_over/, (reader) => pruneSpends(reader, 0, 10)],
    ['old delegation tokens', /delegation_tokens_by_end/, (reader) => pruneDelegationTokens(reader, 0, 10)],
    ['external wallets of a user', /by_user/, (reader) => externalWalletsOf(reader, project, userId)],
    ['watched wallets', /by_network/, (reader) => watchedOn(reader, 'linea')],
    ['watched networks', /by_network/, followedNetworks],
    ['the access of a request', /by_request/, (reader) => accessOfRequest(reader, 'key', requestId)],
    ['open access of a link', /by_link/, (reader) => hasOpenAccess(reader, new Uint8Array(16))],
    ['open access of a grant', /by_grant/, (reader) => openAccessOfGrant(reader, 'grant' as GrantId)],
    ['access that is due', /by_expiry/, (reader) => dueAccess(reader, 0, 10)],
    ['access to a wallet', /by_wallet/, (reader) => listDelegatedAccess(reader, { project, walletId, limit: 10 })],
    ['access of a user', /by_user/, (reader) => listDelegatedAccess(reader, { project, userId, openAtMs: 1, limit: 10 })],
    ['access of a delegate', /by_delegate/, (reader) => listDelegatedAccess(reader, { project, delegateId: 'd' as DelegateId, limit: 10 })],
    ['access that a daemon gave', /by_granting/, (reader) => oldestAccessesOf(reader, new Uint8Array(32), 16)],
    ['grants of a user', /grants_by_user/, (reader) => listGrants(reader, { project, userId, nowMs: 0, limit: 10 })],
    ['session keys of a wallet', /by_wallet/, (reader) => listSessionKeys(reader, { project, walletId, limit: 10 })],
    ['session keys of an address', /by_address/, (reader) => findSessionKeysByAddress(reader, project, '0x', walletId)],
    ['wallets of an owner', /by_user/, (reader) => listWallets(reader, { project, owner: userId, limit: 10 })],
    ['wallets of a list', /sqlite_autoindex_wallets_1/, (reader) => listWallets(reader, { project, among: [walletId], limit: 10 })],
    ['wallets of an address', /by_address/, (reader) => findWalletsByAddress(reader, { project, owner: userId }, '0x')],
    ['wallets of a name', /by_user/, (reader) => findWalletsByUser(reader, { project, owner: userId }, userId)],
  ]
  it.each(queries)('%s', (_what, index, ask) => {
    expect(planOf(ask)).toMatch(index)
  })
})
