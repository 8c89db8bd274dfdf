import type { Address, Instruction } from '@solana/kit'
import { describe, expect, it } from 'vitest'
import { decodeBase58 } from '../../src/domain/base58.ts'
import { formatFacts } from '../../src/payload/facts.ts'
import { describeSolanaMessage } from '../../src/payload/solana-facts.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import {
  ASSOCIATED_TOKEN_PROGRAM,
  COMPUTE_BUDGET_PROGRAM,
  MEMO_PROGRAMS,
  SOLANA_CHAIN,
  SYSTEM_PROGRAM,
  TOKEN_2022_PROGRAM,
  TOKEN_PROGRAM,
} from '../../src/payload/solana-programs.ts'
import { addressOf, BLOCKHASH, buildMessage, instruction, u32, u64 } from './solana-cases.ts'

const PAYER = addressOf(1)
const [A, B, C, D, E] = [2, 3, 4, 5, 6].map(addressOf) as [Address, Address, Address, Address, Address]
const keyBytes = (key: string): number[] => [...(decodeBase58(key) ?? [])]

const system = (data: readonly number[], ...accounts: Address[]) =>
  instruction(
    SYSTEM_PROGRAM as Address,
    data,
    accounts.map((account) => [account, 'w'] as const),
  )
const token = (data: readonly number[], ...accounts: Address[]) =>
  instruction(
    TOKEN_PROGRAM as Address,
    data,
    accounts.map((account) => [account, 'w'] as const),
  )
const token2022 = (data: readonly number[], ...accounts: Address[]) =>
  instruction(
    TOKEN_2022_PROGRAM as Address,
    data,
    accounts.map((account) => [account, 'w'] as const),
  )
const ata = (data: readonly number[], ...accounts: string[]) =>
  instruction(
    ASSOCIATED_TOKEN_PROGRAM as Address,
    data,
    accounts.map((account) => [account as Address] as const),
  )

const factsOf = (...instructions: Instruction[]) =>
  describeSolanaMessage(decodeSolanaMessage(buildMessage({ payer: PAYER, instructions })))

const recipient = (address: string) => ({ role: 'recipient', address })
const delegate = (address: string) => ({ role: 'delegate', address })
const seed = [...u64(4n), ...Buffer.from('seed')]

const READ: [string, Instruction, string, object[], [string, bigint][]][] = [
  ['system.transfer', system([...u32(2), ...u64(7n)], PAYER, A), 'transfer', [recipient(A)], [['native', 7n]]],
  [
    'system.transfer',
    system([...u32(2), ...u64(7n)], PAYER, A, B, C),
    'transfer',
    [recipient(A)],
    [['native', 7n]],
  ],
  [
    'system.createAccount',
    system([...u32(0), ...u64(7n), ...u64(165n), ...keyBytes(C)], PAYER, A),
    'transfer',
    [recipient(A), delegate(C)],
    [['native', 7n]],
  ],
  [
    'system.createAccount',
    system([...u32(0), ...u64(7n), ...u64(0n), ...keyBytes(SYSTEM_PROGRAM)], PAYER, A),
    'transfer',
    [recipient(A)],
    [['native', 7n]],
  ],
  [
    'system.createAccountWithSeed',
    system([...u32(3), ...keyBytes(PAYER), ...seed, ...u64(9n), ...u64(1n), ...keyBytes(C)], PAYER, A),
    'transfer',
    [recipient(A), delegate(C)],
    [['native', 9n]],
  ],
  [
    'system.transferWithSeed',
    system([...u32(11), ...u64(8n), ...seed, ...keyBytes(C)], A, PAYER, B),
    'transfer',
    [recipient(B)],
    [['native', 8n]],
  ],
  ['system.assign', system([...u32(1), ...keyBytes(C)], PAYER), 'delegation', [delegate(C)], []],
  ['system.advanceNonceAccount', system(u32(4), A, B, PAYER), 'transfer', [], []],
  [
    'system.withdrawNonceAccount',
    system([...u32(5), ...u64(6n)], A, B, C, D, PAYER),
    'transfer',
    [recipient(B)],
    [['native', 6n]],
  ],
  ['system.initializeNonceAccount', system([...u32(6), ...keyBytes(C)], A, B, D), 'delegation', [delegate(C)], []],
  ['system.authorizeNonceAccount', system([...u32(7), ...keyBytes(C)], A, PAYER), 'delegation', [delegate(C)], []],
  ['token.transfer', token([3, ...u64(5n)], A, B, PAYER), 'transfer', [recipient(B)], [['unknown', 5n]]],
  [
    'token.transferChecked',
    token([12, ...u64(5n), 6], A, C, B, PAYER),
    'transfer',
    [{ ...recipient(B), tokenAccount: { mint: C, tokenProgram: TOKEN_PROGRAM } }],
    [[C, 5n]],
  ],
  [
    'token2022.transferChecked',
    token2022([12, ...u64(5n), 6], A, C, B, PAYER),
    'transfer',
    [{ ...recipient(B), tokenAccount: { mint: C, tokenProgram: TOKEN_2022_PROGRAM } }],
    [[C, 5n]],
  ],
  [
    'token.approve',
    token([4, ...u64(5n)], A, B, PAYER),
    'transfer',
    [{ role: 'spender', address: B }],
    [['unknown', 5n]],
  ],
  [
    'token.approveChecked',
    token([13, ...u64(5n), 6], A, C, B, PAYER),
    'transfer',
    [{ role: 'spender', address: B }],
    [[C, 5n]],
  ],
  ['token.revoke', token([5], A, PAYER), 'transfer', [], []],
  ['token.syncNative', token([17], A), 'transfer', [], []],
  ['token.setAuthority', token([6, 2, 1, ...keyBytes(C)], A, PAYER), 'delegation', [delegate(C)], []],
  ['token.setAuthority', token([6, 3, 0], A, PAYER), 'delegation', [{ role: 'token', address: A }], []],
  [
    'token.mintTo',
    token([7, ...u64(5n)], C, B, PAYER),
    'transfer',
    [{ ...recipient(B), tokenAccount: { mint: C, tokenProgram: TOKEN_PROGRAM } }],
    [[C, 5n]],
  ],
  [
    'token.mintToChecked',
    token([14, ...u64(5n), 6], C, B, PAYER),
    'transfer',
    [{ ...recipient(B), tokenAccount: { mint: C, tokenProgram: TOKEN_PROGRAM } }],
    [[C, 5n]],
  ],
  ['token.burn', token([8, ...u64(5n)], A, C, PAYER), 'transfer', [{ role: 'token', address: C }], [[C, 5n]]],
  [
    'token.burnChecked',
    token([15, ...u64(5n), 6], A, C, PAYER),
    'transfer',
    [{ role: 'token', address: C }],
    [[C, 5n]],
  ],
  ['token.closeAccount', token([9], A, B, PAYER), 'call', [recipient(B)], []],
  [
    'associatedToken.create',
    ata([], PAYER, A, B, C, SYSTEM_PROGRAM, TOKEN_PROGRAM),
    'transfer',
    [recipient(B)],
    [['native', 2_039_280n]],
  ],
  [
    'associatedToken.createIdempotent',
    ata([1], PAYER, A, B, C, SYSTEM_PROGRAM, TOKEN_2022_PROGRAM),
    'transfer',
    [recipient(B)],
    [['native', 8_017_920n]],
  ],
  ['computeBudget', instruction(COMPUTE_BUDGET_PROGRAM as Address, [2, ...u32(9)], []), 'transfer', [], []],
  ...[...MEMO_PROGRAMS].map((memo): (typeof READ)[number] => [
    'memo',
    instruction(memo as Address, Buffer.from('hello\n'), [[PAYER, 's']]),
    'transfer',
    [],
    [],
  ]),
]

describe('an instruction that is read', () => {
  it.each(READ)('%s', (name, given, effect, destinations, spends) => {
    const facts = factsOf(given)
    expect(facts).toMatchObject({ operation: 'transaction', effect, chainIds: [], delegations: [] })
    expect(facts.solana?.instructions).toEqual([name])
    expect(facts.destinations).toEqual(destinations)
    const counted = facts.spends.slice(1).map(({ token, amount }) => [token, amount])
    expect(counted).toEqual(spends.map(([what, amount]) => [`${SOLANA_CHAIN}/${what}`, amount]))
  })

  /** Whatever is not exactly the layout hides what it moves; memos may say anything. */
  const strict = READ.filter(([name]) => name !== 'memo')

  it.each(strict)('%s is not, with a byte more or less, or without its accounts', (_name, given) => {
    const data = given.data ?? new Uint8Array()
    const broken: Instruction[] = [
      { ...given, data: Uint8Array.from([...data, 0]) },
      { ...given, data: Uint8Array.from([...data, 0, 0]) },
    ]
    // An associated account is opened with no data as well as with a zero.
    if (data.length > 1) broken.push({ ...given, data: data.slice(0, -1) })
    if ((given.accounts?.length ?? 0) > 0) broken.push({ ...given, accounts: [] })
    for (const item of broken) {
      const isOtherCreate = item.programAddress === ASSOCIATED_TOKEN_PROGRAM && (item.data?.length ?? 0) === 1
      if (isOtherCreate && (item.accounts?.length ?? 0) > 0) continue
      const facts = factsOf(item)
      expect(facts.effect).toBe('malformed-call')
      expect(facts.destinations).toEqual([{ role: 'to', address: given.programAddress }])
    }
  })
})

describe('an instruction of a known program that is not read', () => {
  it.each([
    ['system.allocate', system([...u32(8), ...u64(1n)], PAYER)],
    ['system.assignWithSeed', system([...u32(10), ...keyBytes(PAYER), ...seed, ...keyBytes(C)], A, PAYER)],
    ['an unknown system index', system(u32(99), PAYER)],
    ['a system instruction without index', system([2, 0], PAYER, A)],
    [
      'a seed that is too long',
      system([...u32(11), ...u64(8n), ...u64(33n), ...Array(33).fill(97), ...keyBytes(C)], A, PAYER, B),
    ],
    [
      'a seed longer than the data',
      system([...u32(11), ...u64(8n), ...u64(1n << 60n), ...keyBytes(C)], A, PAYER, B),
    ],
    ['token.initializeAccount3', token([18, ...keyBytes(C)], A, B)],
    ['a batch of token instructions', token([255, 3, 9, 3, ...u64(5n)], A, B, PAYER)],
    ['token.unwrapLamports', token([45, 0], A, B, PAYER)],
    ['no data', token([], A, B, PAYER)],
    ['set authority with a tag of 2', token([6, 2, 2, ...keyBytes(C)], A, PAYER)],
    ['set authority to none, padded', token([6, 2, 0, ...keyBytes(C)], A, PAYER)],
    ['a Token-2022 transfer with accounts for a hook', token2022([12, ...u64(5n), 6], A, C, B, PAYER, D)],
    ['a Token-2022 transfer with fee', token2022([26, 1, ...u64(5n), 6, ...u64(1n)], A, C, B, PAYER)],
    ['an associated account under another token program', ata([1], PAYER, A, B, C, SYSTEM_PROGRAM, E)],
    ['an associated account under another system program', ata([1], PAYER, A, B, C, E, TOKEN_PROGRAM)],
    ['recovery of a nested associated account', ata([2], A, B, C, D, E, PAYER, TOKEN_PROGRAM)],
    [
      'the old compute budget request',
      instruction(COMPUTE_BUDGET_PROGRAM as Address, [0, ...u32(9), ...u32(9)], []),
    ],
  ])('%s', (_name, given) => {
    expect(factsOf(given)).toMatchObject({
      effect: 'malformed-call',
      destinations: [{ role: 'to', address: given.programAddress }],
    })
  })
})

describe('a Solana transaction', () => {
  const pay = system([...u32(2), ...u64(7n)], PAYER, A)
  const unknown = instruction(E, [1], [[PAYER, 'ws']])

  it('is a call when it runs a program that is not known', () => {
    expect(factsOf(pay, unknown)).toMatchObject({
      effect: 'call',
      destinations: [recipient(A), { role: 'to', address: E }],
    })
  })

  it('is worth its worst instruction', () => {
    const assign = system([...u32(1), ...keyBytes(C)], PAYER)
    const allocate = system([...u32(8), ...u64(1n)], PAYER)
    expect(factsOf(pay, pay).effect).toBe('transfer')
    expect(factsOf(unknown, assign, pay).effect).toBe('delegation')
    expect(factsOf(pay, allocate, unknown, assign).effect).toBe('malformed-call')
  })

  it('adds up what it moves', () => {
    expect(factsOf(pay, pay, system([...u32(2), ...u64(1n)], PAYER, B)).spends).toEqual([
      { token: `${SOLANA_CHAIN}/fee`, amount: 5000n },
      { token: `${SOLANA_CHAIN}/native`, amount: 15n },
    ])
  })

  it('is unresolved when any account is looked up', () => {
    const tables = { [addressOf(40)]: [A] }
    const message = buildMessage({ payer: PAYER, instructions: [pay], tables })
    const facts = describeSolanaMessage(decodeSolanaMessage(message))
    expect(facts).toMatchObject({ effect: 'unresolved', solana: { lookupTables: [addressOf(40)] } })
    expect(facts.destinations).toEqual([{ role: 'recipient', address: 'looked-up #0' }])
    expect(facts.summary).toContain('1 address lookup tables')
  })

  it('counts the fee at its maximum', () => {
    const budget = (...data: number[]) => instruction(COMPUTE_BUDGET_PROGRAM as Address, data, [])
    const fee = (...instructions: Instruction[]) => factsOf(...instructions).spends[0]?.amount
    expect(fee()).toBe(5000n)
    expect(
      fee(
        instruction(
          E,
          [],
          [
            [A, 's'],
            [B, 'ws'],
          ],
        ),
      ),
    ).toBe(15_000n)
    expect(fee(budget(3, ...u64(1n)))).toBe(5001n)
    expect(fee(budget(3, ...u64(1_000_000n)), budget(2, ...u32(7)))).toBe(5007n)
    expect(fee(budget(2, ...u32(7)), budget(3, ...u64(1_000_000n)))).toBe(5007n)
    expect(fee(budget(3, ...u64(1_000_000n)), budget(2, ...u32(2_000_000)))).toBe(1_405_000n)
    expect(fee(budget(3, ...u64(1_000_000n)), ...Array.from({ length: 9 }, () => pay))).toBe(1_405_000n)
    const verify = instruction('Ed25519SigVerify111111111111111111111111111' as Address, [3, 0], [])
    expect(fee(verify)).toBe(20_000n)
  })

  it('says what else there is to know', () => {
    const advance = system(u32(4), A, B, PAYER)
    expect(factsOf(advance, pay).solana).toMatchObject({ durableNonce: true })
    expect(factsOf(pay, advance).solana).toEqual({
      chain: SOLANA_CHAIN,
      blockhash: BLOCKHASH,
      durableNonce: false,
      feePayer: PAYER,
      signers: [PAYER],
      writable: [PAYER, A, B],
      programs: [SYSTEM_PROGRAM],
      instructions: ['system.transfer', 'system.advanceNonceAccount'],
      lookupTables: [],
    })
  })

  it('has a summary in one printable line of at most 400 characters, and facts that are JSON', () => {
    const memo = instruction([...MEMO_PROGRAMS][0] as Address, Buffer.from('line\nline\u001b[2J'), [])
    const facts = factsOf(pay, memo, unknown, ...Array.from({ length: 12 }, () => pay))
    expect(facts.summary).toMatch(
      /^Solana v0 transaction: system\.transfer of 7 lamports, recipient [\x20-\x7e]+$/,
    )
    expect(facts.summary.length).toBeLessThanOrEqual(400)
    expect(JSON.parse(formatFacts(facts))).toMatchObject({ solana: { feePayer: PAYER } })
  })
})
