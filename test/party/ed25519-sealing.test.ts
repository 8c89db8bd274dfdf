/** An Ed25519 record keeps its place in the sealed row: the same envelope, 248 bytes inside. */
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { encodeWalletRecord } from '../../src/engine/dkls23/records.ts'
import { openRecord, sealRecord, ShareSeal } from '../../src/party/share-sealing.ts'
import { sealShare } from '../../src/vault/sealed-record.ts'
import type { StoredShare } from '../../src/vault/wallet-shares.ts'
import { expectFault } from '../engine/expect-fault.ts'
import { first, makeEdWallets } from '../engine/ed-fixtures.ts'

const seal = new ShareSeal(randomBytes(32), randomBytes(16))
const wallets = makeEdWallets(2, 'sealing')
const record = first(wallets.c)

const stored = (share: ReturnType<typeof sealRecord>): StoredShare => ({
  ...share,
  slot: 'current',
  linkId: record.linkId,
  state: 'ACTIVE',
  lastUsedEpoch: 0,
  pendingSid: undefined,
})

it('a sealed Ed25519 record opens as it was', () => {
  const sealed = sealRecord(seal, record, 1n)
  expect(openRecord(seal, stored(sealed))).toEqual({ ...record, linkId: record.linkId.slice() })
  expect(openRecord(seal, { ...stored(sealed), state: 'SUSPENDED' }).state).toBe('SUSPENDED')
})

it('a record of another wallet, a damaged row and a row of another key are quarantined', () => {
  const quarantined = { faultClass: 'B', consequence: 'quarantine-wallet' } as const
  const sealed = sealRecord(seal, record, 1n)
  const other = encodeWalletRecord(wallets.c[1] ?? record)
  const { walletId, wEpoch } = record
  const place = { vaultId: seal.vaultId, walletId, wEpoch, recordVersion: 1n, header: sealed.header }
  expectFault(() => openRecord(seal, stored(sealShare(seal.shareKey, place, other))), quarantined)
  expectFault(() => openRecord(new ShareSeal(randomBytes(32), seal.vaultId), stored(sealed)), quarantined)
  expectFault(() => openRecord(seal, { ...stored(sealed), recordVersion: 2n }), quarantined)
})
