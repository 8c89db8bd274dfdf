import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { WalletId } from '../../src/domain/ids.ts'
import type { SigningEffect, SigningFacts, TokenKey } from '../../src/payload/facts.ts'
import type { Decision, DecisionRequest, Usage } from '../../src/policy/decide.ts'
import { decide, permissionsToSign, walletsCovered } from '../../src/policy/decide.ts'
import { parsePermissionGrants } from '../../src/policy/parse-grants.ts'
import type { Permission } from '../../src/policy/permissions.ts'

const W1 = `wal_${'1'.repeat(32)}` as WalletId
const W2 = `wal_${'2'.repeat(32)}` as WalletId
const A = `0x${'a'.repeat(40)}`
const B = `0x${'b'.repeat(40)}`
const T = `0x${'c'.repeat(40)}`
const NATIVE: TokenKey = 'eip155:1/native'
const FEE: TokenKey = 'eip155:1/fee'
const TOKEN = `eip155:1/${T}` as TokenKey

const unused: Usage = () => 0n

const factsOf = (change: Partial<SigningFacts>): SigningFacts => ({
  operation: 'transaction',
  effect: 'transfer',
  chainIds: [1n],
  destinations: [{ role: 'to', address: A }],
  spends: [
    { token: FEE, amount: 10n },
    { token: NATIVE, amount: 100n },
  ],
  delegations: [],
  summary: '',
  ...change,
})

const NOTHING = { chainIds: [], destinations: [], spends: [] }

/** One of every kind of thing that can be signed. */
const SIGNED = {
  transfer: factsOf({}),
  tokenTransfer: factsOf({
    destinations: [
      { role: 'to', address: T },
      { role: 'recipient', address: A },
    ],
    spends: [
      { token: FEE, amount: 10n },
      { token: TOKEN, amount: 50n },
    ],
  }),
  call: factsOf({ effect: 'call' }),
  malformedCall: factsOf({ effect: 'malformed-call' }),
  creation: factsOf({ effect: 'creation', destinations: [] }),
  setCode: factsOf({
    effect: 'delegation',
    destinations: [
      { role: 'to', address: A },
      { role: 'delegate', address: B },
    ],
    delegations: [{ chainId: 1n, delegate: B }],
  }),
  authorization: factsOf({
    operation: 'authorization',
    effect: 'delegation',
    destinations: [{ role: 'delegate', address: B }],
    spends: [],
    delegations: [{ chainId: 1n, delegate: B }],
  }),
  authorizationEverywhere: factsOf({
    operation: 'authorization',
    effect: 'delegation',
    chainIds: [0n],
    destinations: [{ role: 'delegate', address: B }],
    spends: [],
    delegations: [{ chainId: 0n, delegate: B }],
  }),
  permit: factsOf({
    operation: 'typed-data',
    destinations: [
      { role: 'verifying-contract', address: T },
      { role: 'spender', address: A },
    ],
    spends: [{ token: TOKEN, amount: 50n }],
  }),
  typedData: factsOf({
    operation: 'typed-data',
    effect: 'opaque',
    destinations: [{ role: 'verifying-contract', address: A }],
    spends: [],
  }),
  typedDataWithoutChain: factsOf({ operation: 'typed-data', effect: 'opaque', ...NOTHING }),
  message: factsOf({ operation: 'message', effect: 'opaque', ...NOTHING }),
  digest: factsOf({ operation: 'digest', effect: 'opaque', ...NOTHING }),
} as const satisfies Record<string, SigningFacts>

type Kind = keyof typeof SIGNED
const KINDS = Object.keys(SIGNED) as Kind[]

const signing = (facts: SigningFacts, walletId: WalletId = W1): DecisionRequest => ({
  permissions: permissionsToSign(facts),
  walletId,
  facts,
})

/** A key whose signing permissions are all narrowed alike. */
const keyWith = (narrowing: unknown) =>
  parsePermissionGrants(
    ['wallet:sign', 'sign:digest', 'sign:authorization'].map((permission) => ({ permission, narrowing })),
  )

const told = (decision: Decision): string =>
  decision.verdict === 'allow'
    ? 'allow'
    : decision.reason === 'PERMISSION_MISSING'
      ? `missing ${decision.facts.narrowedBy ?? decision.facts.permission}`
      : decision.reason

const verdicts = (narrowing: unknown, usage: Usage = unused) =>
  Object.fromEntries(KINDS.map((kind) => [kind, told(decide(keyWith(narrowing), signing(SIGNED[kind]), usage))]))

const all = (verdict: string) => Object.fromEntries(KINDS.map((kind) => [kind, verdict]))

describe('a key signs', () => {
  it('nothing when nothing is listed', () => {
    for (const kind of KINDS)
      expect(told(decide([], signing(SIGNED[kind]), unused))).toMatch(/^missing (wallet|sign):/)
  })

  it('everything but an authorization for every chain when nothing is narrowed', () => {
    expect(verdicts({})).toEqual({ ...all('allow'), authorizationEverywhere: 'AUTHORIZATION_CHAIN_ZERO' })
  })

  it('with its wallet only', () => {
    const grants = keyWith({ wallets: [W1] })
    for (const kind of KINDS) {
      expect(told(decide(grants, signing(SIGNED[kind], W2), unused))).toBe('missing wallet')
      const { walletId: _none, ...request } = signing(SIGNED[kind])
      expect(told(decide(grants, request, unused))).toBe('missing wallet')
    }
    expect(verdicts({ wallets: [W1] })).toEqual({
      ...all('allow'),
      authorizationEverywhere: 'AUTHORIZATION_CHAIN_ZERO',
    })
  })

  it('on its chain only, and nothing that names no chain', () => {
    expect(verdicts({ chains: ['eip155:1'] })).toEqual({
      ...all('allow'),
      authorizationEverywhere: 'AUTHORIZATION_CHAIN_ZERO',
      typedDataWithoutChain: 'missing chain',
      message: 'missing chain',
      digest: 'missing chain',
    })
    const elsewhere = verdicts({ chains: ['eip155:10', 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'] })
    expect(elsewhere).toEqual({ ...all('missing chain'), authorizationEverywhere: 'AUTHORIZATION_CHAIN_ZERO' })
  })

  it('an authorization for every chain only where chain 0 is named', () => {
    expect(verdicts({ chains: ['eip155:0'] })).toEqual({
      ...all('missing chain'),
      authorizationEverywhere: 'allow',
    })
    expect(verdicts({ chains: ['eip155:0', 'eip155:1'] }).authorizationEverywhere).toBe('allow')
  })

  it('a transaction with an authorization for every chain only where chain 0 is named', () => {
    const facts = factsOf({ ...SIGNED.setCode, chainIds: [1n, 0n], delegations: [{ chainId: 0n, delegate: B }] })
    expect(told(decide(keyWith({}), signing(facts), unused))).toBe('AUTHORIZATION_CHAIN_ZERO')
    expect(told(decide(keyWith({ chains: ['eip155:1'] }), signing(facts), unused))).toBe(
      'AUTHORIZATION_CHAIN_ZERO',
    )
    expect(told(decide(keyWith({ chains: ['eip155:0', 'eip155:1'] }), signing(facts), unused))).toBe('allow')
  })

  it('to its destination only, and nothing whose destination cannot be named', () => {
    expect(verdicts({ destinations: [A] })).toEqual({
      ...all('missing destination'),
      transfer: 'allow',
      call: 'allow',
      authorizationEverywhere: 'AUTHORIZATION_CHAIN_ZERO',
    })
  })

  it('token calls and permits only where contract and recipient are both destinations', () => {
    expect(verdicts({ destinations: [T] })).toMatchObject({
      tokenTransfer: 'missing destination',
      permit: 'missing destination',
    })
    expect(verdicts({ destinations: [A] })).toMatchObject({
      tokenTransfer: 'missing destination',
      permit: 'missing destination',
    })
    expect(verdicts({ destinations: [A, T] })).toMatchObject({ tokenTransfer: 'allow', permit: 'allow' })
  })

  it('delegations only to delegates that are destinations', () => {
    expect(verdicts({ destinations: [A, B] })).toMatchObject({ setCode: 'allow', authorization: 'allow' })
    expect(verdicts({ destinations: [B] })).toMatchObject({
      setCode: 'missing destination',
      authorization: 'allow',
    })
  })

  it('never what is opaque when destinations are narrowed, even to the contract it names', () => {
    expect(verdicts({ destinations: [A, B, T] })).toMatchObject({
      malformedCall: 'missing destination',
      creation: 'missing destination',
      typedData: 'missing destination',
      typedDataWithoutChain: 'missing destination',
      message: 'missing destination',
      digest: 'missing destination',
    })
  })

  const generous = { [NATIVE]: '100', [FEE]: '10', [TOKEN]: '50' }

  it.each(['max_per_transaction', 'max_per_day'])('with %s only what can be counted', (cap) => {
    expect(verdicts({ [cap]: generous })).toEqual({
      ...all('LIMIT_EXCEEDED'),
      transfer: 'allow',
      tokenTransfer: 'allow',
      permit: 'allow',
      authorizationEverywhere: 'AUTHORIZATION_CHAIN_ZERO',
    })
  })

  it('with the permission of the operation', () => {
    const only = (permission: Permission) => parsePermissionGrants([{ permission }])
    const by = (permission: Permission) =>
      KINDS.filter((kind) => decide(only(permission), signing(SIGNED[kind]), unused).verdict === 'allow')
    expect(by('sign:digest')).toEqual(['digest'])
    expect(by('sign:authorization')).toEqual(['authorization'])
    expect(by('wallet:sign')).toEqual(KINDS.filter((kind) => !/digest|authorization|setCode/.test(kind)))
    for (const other of ['admin', 'wallet:admin', 'wallet:send', 'session:unrestricted'] as const)
      expect(by(other)).toEqual([])
  })
})

describe('permissionsToSign', () => {
  it.each<[Kind, Permission[]]>([
    ['transfer', ['wallet:sign']],
    ['message', ['wallet:sign']],
    ['typedData', ['wallet:sign']],
    ['digest', ['sign:digest']],
    ['authorization', ['sign:authorization']],
    ['setCode', ['wallet:sign', 'sign:authorization']],
  ])('%s needs %j', (kind, permissions) => {
    expect(permissionsToSign(SIGNED[kind])).toEqual(permissions)
  })

  it('asks for wallet:send where the daemon broadcasts', () => {
    expect(permissionsToSign(SIGNED.setCode, 'wallet:send')).toEqual(['wallet:send', 'sign:authorization'])
  })
})

describe('caps', () => {
  const spending = (spends: SigningFacts['spends']) => signing(factsOf({ spends }))
  const native = (amount: bigint) => spending([{ token: NATIVE, amount }])

  it('hold to the unit, and say what they saw', () => {
    const grants = keyWith({ max_per_transaction: { [NATIVE]: '100' } })
    expect(decide(grants, native(100n), unused).verdict).toBe('allow')
    expect(decide(grants, native(101n), unused)).toEqual({
      verdict: 'refuse',
      reason: 'LIMIT_EXCEEDED',
      facts: { limit: `wallet:sign max_per_transaction ${NATIVE}`, seen: '101', allowed: '100' },
    })
  })

  it('refuse a token that is not listed, even to move none of it', () => {
    const grants = keyWith({ max_per_transaction: { [NATIVE]: '100' } })
    expect(told(decide(grants, spending([{ token: TOKEN, amount: 0n }]), unused))).toBe('LIMIT_EXCEEDED')
    expect(told(decide(grants, spending([{ token: 'eip155:2/native', amount: 1n }]), unused))).toBe(
      'LIMIT_EXCEEDED',
    )
  })

  it('count what was charged today', () => {
    const grants = keyWith({ max_per_day: { [NATIVE]: '100' } })
    expect(decide(grants, native(40n), () => 60n).verdict).toBe('allow')
    expect(told(decide(grants, native(41n), () => 60n))).toBe('LIMIT_EXCEEDED')
    expect(told(decide(grants, native(0n), () => 101n))).toBe('LIMIT_EXCEEDED')
  })

  it('refuse when today is not known', () => {
    expect(decide(keyWith({ max_per_day: { [NATIVE]: '100' } }), native(1n), () => undefined)).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      facts: { seen: 'unknown' },
    })
  })

  it('keep the fee under a ceiling where it is not listed', () => {
    const fee = (amount: bigint) => spending([{ token: FEE, amount }])
    const coin = 10n ** 18n
    const perTransaction = keyWith({ max_per_transaction: { [NATIVE]: '1' } })
    expect(decide(perTransaction, fee(coin / 10n), unused).verdict).toBe('allow')
    expect(told(decide(perTransaction, fee(coin / 10n + 1n), unused))).toBe('LIMIT_EXCEEDED')
    const perDay = keyWith({ max_per_day: { [NATIVE]: '1' } })
    expect(decide(perDay, fee(coin / 10n), () => coin - coin / 10n).verdict).toBe('allow')
    expect(told(decide(perDay, fee(coin / 10n), () => coin))).toBe('LIMIT_EXCEEDED')
    const listed = keyWith({ max_per_transaction: { [FEE]: '5' } })
    expect(told(decide(listed, fee(6n), unused))).toBe('LIMIT_EXCEEDED')
    expect(decide(keyWith({ max_per_transaction: { [FEE]: coin.toString() } }), fee(coin), unused).verdict).toBe(
      'allow',
    )
  })

  it('charge every token of the grant that allowed, and only where a day is capped', () => {
    const grants = keyWith({ max_per_day: { [NATIVE]: '100', [FEE]: '100' } })
    const decision = decide(grants, signing(SIGNED.transfer), unused)
    expect(decision).toEqual({
      verdict: 'allow',
      charges: [
        { counter: 'wallet:sign#0', token: FEE, amount: 10n },
        { counter: 'wallet:sign#0', token: NATIVE, amount: 100n },
      ],
      rates: [],
    })
    expect(decide(keyWith({ max_per_transaction: { [NATIVE]: '100' } }), native(1n), unused)).toMatchObject({
      charges: [],
    })
  })

  it('never let the day exceed its cap, in whatever order requests come', () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 0n, max: 60n }), { maxLength: 30 }), (amounts) => {
        const grants = keyWith({ max_per_day: { [NATIVE]: '100' } })
        const booked = new Map<string, bigint>()
        const usage: Usage = (counter, token) => booked.get(`${counter} ${token}`) ?? 0n
        for (const amount of amounts) {
          const before = usage('wallet:sign#0', NATIVE) ?? 0n
          const decision = decide(grants, native(amount), usage)
          expect(decision.verdict).toBe(before + amount <= 100n ? 'allow' : 'refuse')
          if (decision.verdict === 'refuse') continue
          for (const charge of decision.charges)
            booked.set(
              `${charge.counter} ${charge.token}`,
              (usage(charge.counter, charge.token) ?? 0n) + charge.amount,
            )
        }
        expect(usage('wallet:sign#0', NATIVE)).toBeLessThanOrEqual(100n)
      }),
      { numRuns: 100, seed: 8 },
    )
  })
})

describe('several grants', () => {
  it('are tried one by one and never pieced together', () => {
    const grants = parsePermissionGrants([
      { permission: 'wallet:sign', narrowing: { wallets: [W1], chains: ['eip155:10'] } },
      { permission: 'wallet:sign', narrowing: { wallets: [W2], chains: ['eip155:1'] } },
    ])
    expect(told(decide(grants, signing(SIGNED.transfer, W1), unused))).toBe('missing chain')
    expect(told(decide(grants, signing(SIGNED.transfer, W2), unused))).toBe('allow')
  })

  it('have counters of their own', () => {
    const grants = parsePermissionGrants([
      { permission: 'wallet:read' },
      { permission: 'wallet:sign', narrowing: { wallets: [W1], max_per_day: { [NATIVE]: '100' } } },
      { permission: 'wallet:sign', narrowing: { wallets: [W2], max_per_day: { [NATIVE]: '100' } } },
    ])
    const usage: Usage = (counter) => (counter === 'wallet:sign#1' ? 100n : 0n)
    expect(told(decide(grants, signing(SIGNED.transfer, W1), usage))).toBe('LIMIT_EXCEEDED')
    expect(told(decide(grants, signing(SIGNED.transfer, W2), usage))).toBe('allow')
  })

  it('tell the refusal that came furthest', () => {
    const grants = parsePermissionGrants([
      { permission: 'wallet:sign', narrowing: { max_per_transaction: { [NATIVE]: '1' } } },
      { permission: 'wallet:sign', narrowing: { wallets: [W2] } },
    ])
    expect(told(decide(grants, signing(SIGNED.transfer), unused))).toBe('LIMIT_EXCEEDED')
  })

  it('must cover every permission a request needs, and are charged each', () => {
    const grants = parsePermissionGrants([
      { permission: 'wallet:sign', narrowing: { requests_per_second: 5 } },
      { permission: 'sign:authorization', narrowing: { destinations: [A], requests_per_second: 1 } },
    ])
    expect(told(decide(grants, signing(SIGNED.setCode), unused))).toBe('missing destination')
    const covered = parsePermissionGrants([
      { permission: 'wallet:sign', narrowing: { requests_per_second: 5 } },
      { permission: 'sign:authorization', narrowing: { destinations: [A, B], requests_per_second: 1 } },
    ])
    expect(decide(covered, signing(SIGNED.setCode), unused)).toEqual({
      verdict: 'allow',
      charges: [],
      rates: [
        { counter: 'wallet:sign#0', requestsPerSecond: 5 },
        { counter: 'sign:authorization#1', requestsPerSecond: 1 },
      ],
    })
  })
})

describe('requests that sign nothing', () => {
  const reading = (request: Partial<DecisionRequest> = {}): DecisionRequest => ({
    permissions: ['wallet:read'],
    ...request,
  })

  it('are held to wallets and session keys', () => {
    const grants = parsePermissionGrants([{ permission: 'wallet:read', narrowing: { wallets: [W1] } }])
    expect(told(decide(grants, reading({ walletId: W1 }), unused))).toBe('allow')
    expect(told(decide(grants, reading({ walletId: W2 }), unused))).toBe('missing wallet')
    expect(told(decide(grants, reading(), unused))).toBe('missing wallet')
    const sessions = parsePermissionGrants([{ permission: 'session:sign', narrowing: { session_keys: ['s1'] } }])
    const asking = (sessionKeyId?: string): DecisionRequest => ({
      permissions: ['session:sign'],
      ...(sessionKeyId !== undefined && { sessionKeyId }),
    })
    expect(told(decide(sessions, asking('s1'), unused))).toBe('allow')
    expect(told(decide(sessions, asking('s2'), unused))).toBe('missing session_key')
    expect(told(decide(sessions, asking(), unused))).toBe('missing session_key')
  })

  it('have nothing to do with chains, destinations and caps', () => {
    const narrowing = { chains: ['eip155:1'], destinations: [A], max_per_day: { [NATIVE]: '1' } }
    const grants = parsePermissionGrants([{ permission: 'wallet:read', narrowing }])
    expect(decide(grants, reading(), unused)).toEqual({ verdict: 'allow', charges: [], rates: [] })
  })

  it('list the wallets that are covered', () => {
    const of = (...narrowings: unknown[]) =>
      walletsCovered(
        parsePermissionGrants(narrowings.map((narrowing) => ({ permission: 'wallet:read', narrowing }))),
        'wallet:read',
      )
    expect(of()).toEqual(new Set())
    expect(of({})).toBe('all')
    expect(of({ wallets: [W1] }, { wallets: [W2] })).toEqual(new Set([W1, W2]))
    expect(of({ wallets: [W1] }, { chains: ['eip155:1'] })).toBe('all')
    expect(of({ session_keys: ['s'] })).toEqual(new Set())
    expect(walletsCovered(parsePermissionGrants([{ permission: 'wallet:sign' }]), 'wallet:read')).toEqual(
      new Set(),
    )
  })

  it('must need something', () => {
    expect(() => decide([], { permissions: [] }, unused)).toThrow('assertion')
  })
})

describe('narrowing', () => {
  const EFFECTS: SigningEffect[] = ['transfer', 'call', 'malformed-call', 'creation', 'delegation', 'opaque']
  const facts = fc.record({
    effect: fc.constantFrom(...EFFECTS),
    chainIds: fc.subarray([0n, 1n, 10n]),
    destinations: fc.subarray([A, B, T]).map((list) => list.map((address) => ({ role: 'to' as const, address }))),
    spends: fc.subarray([NATIVE, FEE, TOKEN]).map((list) => list.map((token) => ({ token, amount: 5n }))),
  })
  const some = <V>(value: fc.Arbitrary<V>) => fc.option(value, { nil: undefined })
  const narrowing = fc.record({
    wallets: some(fc.subarray([W1, W2], { minLength: 1 })),
    chains: some(fc.subarray(['eip155:0', 'eip155:1', 'eip155:10'], { minLength: 1 })),
    destinations: some(fc.subarray([A, B, T], { minLength: 1 })),
    max_per_transaction: some(fc.constantFrom({ [NATIVE]: '5', [FEE]: '5' }, { [TOKEN]: '4' }, { [TOKEN]: '5' })),
    max_per_day: some(fc.constantFrom({ [NATIVE]: '5' }, { [TOKEN]: '9' })),
  })
  const present = (made: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(made).filter(([, value]) => value !== undefined))

  it('only ever takes away, but for chain 0, which has to be named', () => {
    fc.assert(
      fc.property(facts, narrowing, narrowing, (made, first, second) => {
        const request = signing(factsOf(made))
        const wide = decide(keyWith(present(first)), request, unused)
        const narrow = decide(keyWith({ ...present(second), ...present(first) }), request, unused)
        if (wide.verdict === 'refuse') expect(narrow.verdict).toBe('refuse')
      }),
      { numRuns: 2000, seed: 31 },
    )
  })

  it('holds whenever it allows', () => {
    fc.assert(
      fc.property(facts, narrowing, (made, by) => {
        const subject = factsOf(made)
        if (decide(keyWith(present(by)), signing(subject), unused).verdict === 'refuse') return
        if (by.wallets !== undefined) expect(by.wallets).toContain(W1)
        if (by.chains !== undefined) {
          expect(subject.chainIds.length).toBeGreaterThan(0)
          for (const chainId of subject.chainIds) expect(by.chains).toContain(`eip155:${chainId}`)
        }
        if (by.destinations !== undefined) {
          expect(['transfer', 'call', 'delegation']).toContain(subject.effect)
          expect(subject.destinations.length).toBeGreaterThan(0)
          for (const { address } of subject.destinations) expect(by.destinations).toContain(address)
        }
        const caps = by.max_per_transaction ?? by.max_per_day
        if (caps === undefined) return
        expect(subject.effect).toBe('transfer')
        for (const { token } of subject.spends) if (token !== FEE) expect(Object.keys(caps)).toContain(token)
      }),
      { numRuns: 2000, seed: 32 },
    )
  })
})
