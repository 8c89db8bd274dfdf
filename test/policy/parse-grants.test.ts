import { describe, expect, it } from 'vitest'
import {
  formatPermissionGrants,
  MAX_GRANTS,
  MAX_LISTED,
  parsePermissionGrants,
} from '../../src/policy/parse-grants.ts'
import { PERMISSIONS } from '../../src/policy/permissions.ts'
import { refusalOf } from '../payload/refusal.ts'

const WALLET = `wal_${'0'.repeat(32)}`
const ADDRESS = '0x11E9CA82A3a762b4B5bd264d4173a242e7a77064'
const SOLANA = '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d'
const TOKEN = `eip155:1/${ADDRESS.toLowerCase()}`

const full = [
  { permission: 'wallet:read', narrowing: {} },
  {
    permission: 'wallet:sign',
    narrowing: {
      wallets: [WALLET],
      session_keys: ['ses_1'],
      chains: ['eip155:1', 'eip155:0', 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'],
      destinations: [ADDRESS.toLowerCase(), SOLANA],
      max_per_transaction: {
        'eip155:1/native': '1',
        'eip155:1/fee': '0',
        [TOKEN]: ((1n << 256n) - 1n).toString(),
      },
      max_per_day: { [TOKEN]: '5' },
      requests_per_second: 10,
    },
  },
]

/** The field that is to blame when this narrowing is parsed. */
const blamed = (narrowing: unknown): unknown => {
  const refusal = refusalOf(() => parsePermissionGrants([{ permission: 'wallet:sign', narrowing }]))
  if (refusal === undefined) return undefined
  expect(refusal.reason).toBe('INVALID_REQUEST')
  const [violation] = refusal.facts['violations'] as { field: string }[]
  return violation?.field.replace('permissions[0].narrowing', '')
}

describe('parsePermissionGrants', () => {
  it('reads back what it writes', () => {
    expect(formatPermissionGrants(parsePermissionGrants(full))).toEqual(full)
    const text = JSON.stringify(formatPermissionGrants(parsePermissionGrants(full)))
    expect(parsePermissionGrants(JSON.parse(text))).toEqual(parsePermissionGrants(full))
  })

  it('knows the whole vocabulary, and narrows nothing by default', () => {
    const grants = parsePermissionGrants(PERMISSIONS.map((permission) => ({ permission })))
    expect(grants).toEqual(PERMISSIONS.map((permission) => ({ permission, narrowing: {} })))
  })

  it('compares addresses and tokens in lower case', () => {
    const [grant] = parsePermissionGrants([
      {
        permission: 'wallet:sign',
        narrowing: { destinations: [ADDRESS], max_per_day: { [`EIP155:1/${ADDRESS}`]: '1' } },
      },
    ])
    expect([...(grant?.narrowing.destinations ?? [])]).toEqual([ADDRESS.toLowerCase()])
    expect([...(grant?.narrowing.maxPerDay ?? [])]).toEqual([[TOKEN, 1n]])
  })

  it.each<[string, unknown]>([
    ['no list', {}],
    ['null', null],
    ['text', 'wallet:sign'],
    ['a permission as text', ['wallet:sign']],
    ['an unknown permission', [{ permission: 'wallet:steal' }]],
    ['a permission in capitals', [{ permission: 'WALLET:SIGN' }]],
    ['a permission of Object.prototype', [{ permission: 'constructor' }]],
    ['a wildcard', [{ permission: 'wallet:*' }]],
    ['no permission', [{ narrowing: {} }]],
    ['an unknown member', [{ permission: 'wallet:sign', allow: true }]],
    ['narrowing as a list', [{ permission: 'wallet:sign', narrowing: [] }]],
    ['too many', Array.from({ length: MAX_GRANTS + 1 }, () => ({ permission: 'wallet:sign' }))],
  ])('refuses %s', (_what, json) => {
    expect(refusalOf(() => parsePermissionGrants(json))?.reason).toBe('INVALID_REQUEST')
  })

  it.each<[unknown, string]>([
    [{ wallet: [WALLET] }, '.wallet'],
    [JSON.parse('{"__proto__": []}'), '.__proto__'],
    [{ wallets: WALLET }, '.wallets'],
    [{ wallets: [] }, '.wallets'],
    [{ wallets: null }, '.wallets'],
    [{ wallets: [WALLET, WALLET] }, '.wallets[1]'],
    [{ wallets: [WALLET.toUpperCase()] }, '.wallets[0]'],
    [{ wallets: ['*'] }, '.wallets[0]'],
    [{ wallets: [1] }, '.wallets[0]'],
    [{ session_keys: [''] }, '.session_keys[0]'],
    [{ session_keys: ['a b'] }, '.session_keys[0]'],
    [{ chains: ['1'] }, '.chains[0]'],
    [{ chains: [1] }, '.chains[0]'],
    [{ chains: ['eip155:01'] }, '.chains[0]'],
    [{ chains: ['eip155:1', 'eip155:1'] }, '.chains[1]'],
    [{ chains: ['eip155:'] }, '.chains[0]'],
    [{ chains: ['eip155:1\n'] }, '.chains[0]'],
    [{ destinations: [ADDRESS.slice(2)] }, '.destinations[0]'],
    [{ destinations: [ADDRESS, ADDRESS.toLowerCase()] }, '.destinations[1]'],
    [{ destinations: ['vitalik.eth'] }, '.destinations[0]'],
    [
      { destinations: Array.from({ length: MAX_LISTED + 1 }, (_, n) => `0x${n.toString(16).padStart(40, '0')}`) },
      '.destinations',
    ],
    [{ max_per_transaction: {} }, '.max_per_transaction'],
    [{ max_per_transaction: [] }, '.max_per_transaction'],
    [{ max_per_transaction: { native: '1' } }, '.max_per_transaction'],
    [{ max_per_transaction: { 'eip155:0/native': '1' } }, '.max_per_transaction'],
    [{ max_per_transaction: { [TOKEN]: '1', [TOKEN.toUpperCase()]: '2' } }, '.max_per_transaction'],
    [{ max_per_day: { [TOKEN]: 1 } }, `.max_per_day.${TOKEN}`],
    [{ max_per_day: { [TOKEN]: '-1' } }, `.max_per_day.${TOKEN}`],
    [{ max_per_day: { [TOKEN]: '01' } }, `.max_per_day.${TOKEN}`],
    [{ max_per_day: { [TOKEN]: '1.5' } }, `.max_per_day.${TOKEN}`],
    [{ max_per_day: { [TOKEN]: '' } }, `.max_per_day.${TOKEN}`],
    [{ max_per_day: { [TOKEN]: (1n << 256n).toString() } }, `.max_per_day.${TOKEN}`],
    [{ requests_per_second: 0 }, '.requests_per_second'],
    [{ requests_per_second: 1.5 }, '.requests_per_second'],
    [{ requests_per_second: '5' }, '.requests_per_second'],
    [{ requests_per_second: Infinity }, '.requests_per_second'],
  ])('refuses %j and names the field', (narrowing, field) => {
    expect(blamed(narrowing)).toBe(field)
  })
})
