/** T48: a damaged record is found on loading and quarantines the wallet; nothing of it reaches the peer. */
import { describe, expect, test } from 'vitest'
import {
  decodeLinkRecord,
  decodeWalletRecord,
  encodeLinkRecord,
  encodeWalletRecord,
  LINK_RECORD_BYTES,
  type LinkRecord,
  verifyWalletRecord,
  WALLET_RECORD_BYTES,
  WALLET_STATES,
  type WalletRecord,
  type WalletState,
} from '../../src/engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { concatBytes } from '../../src/engine/hash/encoding.ts'
import { taggedHash } from '../../src/engine/hash/tagged-hash.ts'
import { expectFault } from './expect-fault.ts'
import { LINK, makeWallets } from './link-fixtures.ts'

const wallets = makeWallets(2, 'records')
const QUARANTINE = { faultClass: 'B', code: 'wallet_state', consequence: 'quarantine-wallet' } as const

function first(role: 'c' | 's'): WalletRecord {
  const [record] = wallets[role]
  if (record === undefined) throw new Error('no wallet')
  return { ...record, share: record.share.slice() }
}

/** A record with another content whose checksum is right: the damage a checksum cannot see. */
function rechecked(bytes: Uint8Array, offset: number, patch: Uint8Array): Uint8Array {
  const content = bytes.slice(0, -32)
  content.set(patch, offset)
  return concatBytes(content, taggedHash('rec/wallet', content))
}

describe('wallet record', () => {
  test('is 251 bytes and round trips for both roles and every state', () => {
    for (const role of ['c', 's'] as const) {
      for (const state of Object.keys(WALLET_STATES) as WalletState[]) {
        const record = { ...first(role), state, wEpoch: 0x01020304, refreshCount: 513 }
        const bytes = encodeWalletRecord(record)
        expect(bytes.length).toBe(WALLET_RECORD_BYTES)
        expect(decodeWalletRecord(bytes)).toEqual({ ...record, linkId: record.linkId.slice() })
      }
    }
  })

  test('a verdict holds for the bytes it was given on and no others', () => {
    const record = { ...first('c'), state: 'ACTIVE' as const }
    for (let again = 0; again < 2; again++) {
      verifyWalletRecord(record)
      for (const name of ['share', 'pointC', 'pointS', 'publicKey'] as const) {
        const bytes = record[name]
        for (const at of [0, 1, bytes.length - 1]) {
          const changed = { ...record, [name]: bytes.with(at, (bytes[at] ?? 0) ^ 1) }
          expectFault(() => verifyWalletRecord(changed), QUARANTINE)
        }
        expectFault(() => verifyWalletRecord({ ...record, [name]: concatBytes(bytes, bytes) }), QUARANTINE)
      }
      expectFault(() => verifyWalletRecord({ ...record, role: ROLE_S }), QUARANTINE)
    }
    // The same bytes, cut in other places.
    const [share, pointC] = [concatBytes(record.share, record.pointC.subarray(0, 1)), record.pointC.subarray(1)]
    expectFault(() => verifyWalletRecord({ ...record, share, pointC }), QUARANTINE)
  })

  test('fields stand where the layout says', () => {
    const record = { ...first('s'), state: 'ACTIVE' as const, wEpoch: 2, minLinkEpoch: 5, refreshCount: 1 }
    const bytes = encodeWalletRecord(record)
    expect([...bytes.subarray(0, 5)]).toEqual([1, 1, 1, ROLE_S, 1])
    expect(bytes.subarray(5, 21)).toEqual(record.walletId)
    expect(bytes.subarray(21, 37)).toEqual(LINK.linkId)
    expect([...bytes.subarray(37, 45)]).toEqual([2, 0, 0, 0, 5, 0, 0, 0])
    expect(bytes.subarray(45, 77)).toEqual(record.share)
    expect(bytes.subarray(77, 110)).toEqual(record.pointC)
    expect(bytes.subarray(143, 176)).toEqual(record.publicKey)
    expect(bytes[208]).toBe(1)
  })

  test('any flipped bit is found', () => {
    const bytes = encodeWalletRecord(first('c'))
    for (let at = 0; at < bytes.length; at++) {
      const bad = bytes.slice()
      bad[at] = (bad[at] ?? 0) ^ 0x40
      expectFault(() => decodeWalletRecord(bad), QUARANTINE)
    }
    expectFault(() => decodeWalletRecord(bytes.subarray(1)), QUARANTINE)
    expectFault(() => decodeWalletRecord(new Uint8Array(0)), QUARANTINE)
  })

  test('an altered share, point, key or role with a right checksum is found', () => {
    const bytes = encodeWalletRecord(first('c'))
    const [, other] = wallets.c
    if (other === undefined) throw new Error('no wallet')
    const q = Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex').toReversed()
    const damage: readonly (readonly [number, Uint8Array])[] = [
      [45, other.share],
      [45, new Uint8Array(32)],
      [45, q],
      [77, other.pointC],
      [77, new Uint8Array(33)],
      [110, other.pointS],
      [110, new Uint8Array(33).fill(7)],
      [143, other.publicKey],
      [3, Uint8Array.of(ROLE_S)],
      [3, Uint8Array.of(3)],
      [4, Uint8Array.of(10)],
      [4, Uint8Array.of(0)],
      [2, Uint8Array.of(2)],
      [0, Uint8Array.of(2)],
      [1, Uint8Array.of(2)],
      [208, Uint8Array.of(4)],
    ]
    for (const [offset, patch] of damage) {
      expectFault(() => decodeWalletRecord(rechecked(bytes, offset, patch)), QUARANTINE)
    }
  })

  test('a record of the other side is not one of this side', () => {
    const [mine, theirs] = [first('c'), first('s')]
    expectFault(() => decodeWalletRecord(encodeWalletRecord({ ...mine, share: theirs.share })), QUARANTINE)
  })
})

describe('link record', () => {
  const record: LinkRecord = {
    role: ROLE_C,
    state: 'BURNED',
    linkId: LINK.linkId.slice(),
    lEpoch: 9,
    idC: LINK.idC,
    idS: LINK.idS,
    burns: 2,
    strikeAtMs: [1n, 2n, 2n ** 63n],
    relinkGrant: 5,
    eraseDueAtMs: 3n,
    lastEraseAtMs: 4n,
    createdAtMs: 5n,
    renewedAtMs: 6n,
    lastBurnAtMs: 7n,
  }

  test('is 187 bytes and round trips', () => {
    const bytes = encodeLinkRecord(record)
    expect(bytes.length).toBe(LINK_RECORD_BYTES)
    expect(decodeLinkRecord(bytes)).toEqual(record)
    expect([...bytes.subarray(0, 4)]).toEqual([1, 1, ROLE_C, 3])
  })

  test('any flipped bit is found', () => {
    const bytes = encodeLinkRecord(record)
    for (let at = 0; at < bytes.length; at++) {
      const bad = bytes.slice()
      bad[at] = (bad[at] ?? 0) ^ 1
      expectFault(() => decodeLinkRecord(bad), { faultClass: 'B' })
    }
  })

  test('a wallet record is not taken for a link record', () => {
    const bytes = encodeWalletRecord(first('c')).subarray(0, LINK_RECORD_BYTES)
    expectFault(() => decodeLinkRecord(bytes), { faultClass: 'B' })
  })
})
