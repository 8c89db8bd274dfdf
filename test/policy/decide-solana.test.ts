import { type Address } from '@solana/kit'
import { findAssociatedTokenPda } from '@solana-program/token'
import { describe, expect, it } from 'vitest'
import { decodeBase58 } from '../../src/domain/base58.ts'
import { describeSolanaMessage } from '../../src/payload/solana-facts.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import {
  ASSOCIATED_TOKEN_PROGRAM,
  COMPUTE_BUDGET_PROGRAM,
  SOLANA_CHAIN,
  SYSTEM_PROGRAM,
  TOKEN_2022_PROGRAM,
  TOKEN_PROGRAM,
} from '../../src/payload/solana-programs.ts'
import type { Decision, Usage } from '../../src/policy/decide.ts'
import { decide, permissionsToSign } from '../../src/policy/decide.ts'
import { parsePermissionGrants, parseTokenKey } from '../../src/policy/parse-grants.ts'
import { addressOf, buildMessage, instruction, u32, u64 } from '../payload/solana-cases.ts'

const WALLET = addressOf(1)
const OWNER = addressOf(2)
const OTHER = addressOf(3)
const MINT = addressOf(4)
const PROGRAM = addressOf(5)
const SOURCE = addressOf(6)
const DEVNET = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'
const NATIVE = `${SOLANA_CHAIN}/native`
const FEE = `${SOLANA_CHAIN}/fee`
const TOKEN = `${SOLANA_CHAIN}/${MINT}`
const MILLION = '1000000000'

const ataOf = async (owner: Address, tokenProgram: string, mint = MINT): Promise<Address> =>
  (await findAssociatedTokenPda({ owner, mint, tokenProgram: tokenProgram as Address }))[0]
const OWNER_ATA = await ataOf(OWNER, TOKEN_PROGRAM)
const OWNER_ATA_2022 = await ataOf(OWNER, TOKEN_2022_PROGRAM)
const OTHER_ATA = await ataOf(OTHER, TOKEN_PROGRAM)
const OTHER_MINT_ATA = await ataOf(OWNER, TOKEN_PROGRAM, addressOf(44))

const PROGRAMS: readonly string[] = [SYSTEM_PROGRAM, TOKEN_PROGRAM, TOKEN_2022_PROGRAM]
const flagsOf = (account: string) => (account === WALLET ? 'ws' : PROGRAMS.includes(account) ? '' : 'w')

const keyBytes = (key: string): number[] => [...(decodeBase58(key) ?? [])]
const of = (program: string, data: readonly number[], ...accounts: string[]) =>
  instruction(
    program as Address,
    data,
    accounts.map((account) => [account as Address, flagsOf(account)] as const),
  )
const pay = (to: string, lamports = 7n) => of(SYSTEM_PROGRAM, [...u32(2), ...u64(lamports)], WALLET, to)
const send = (to: string, program = TOKEN_PROGRAM, mint: string = MINT) =>
  of(program, [12, ...u64(5n), 6], SOURCE, mint, to, WALLET)
const open = (owner: string, account: string) =>
  of(ASSOCIATED_TOKEN_PROGRAM, [1], WALLET, account, owner, MINT, SYSTEM_PROGRAM, TOKEN_PROGRAM)

const factsOf = (instructions: ReturnType<typeof of>[], tables?: Record<Address, Address[]>) =>
  describeSolanaMessage(
    decodeSolanaMessage(buildMessage({ payer: WALLET, instructions, ...(tables && { tables }) })),
  )

const unused: Usage = () => 0n
const judge = (narrowing: object, facts: ReturnType<typeof factsOf>, usage = unused): Decision =>
  decide(
    parsePermissionGrants([{ permission: 'wallet:sign', narrowing }]),
    { permissions: permissionsToSign(facts), facts },
    usage,
  )
const refusalIn = (decision: Decision) =>
  decision.verdict === 'allow' ? 'allow' : { reason: decision.reason, ...decision.facts }

/** One of every kind of transaction. */
const SIGNED = {
  transfer: factsOf([pay(OWNER)]),
  tokens: factsOf([send(OWNER_ATA)]),
  plainTokens: factsOf([of(TOKEN_PROGRAM, [3, ...u64(5n)], SOURCE, OWNER_ATA, WALLET)]),
  opened: factsOf([open(OWNER, OWNER_ATA), send(OWNER_ATA)]),
  approval: factsOf([of(TOKEN_PROGRAM, [13, ...u64(5n), 6], SOURCE, MINT, OWNER, WALLET)]),
  close: factsOf([of(TOKEN_PROGRAM, [9], SOURCE, OWNER, WALLET)]),
  handOver: factsOf([of(TOKEN_PROGRAM, [6, 2, 1, ...keyBytes(OWNER)], SOURCE, WALLET)]),
  assign: factsOf([of(SYSTEM_PROGRAM, [...u32(1), ...keyBytes(OWNER)], WALLET)]),
  call: factsOf([of(PROGRAM, [1], WALLET)]),
  callAndTransfer: factsOf([pay(OWNER), of(PROGRAM, [1], WALLET)]),
  notRead: factsOf([pay(OWNER), of(SYSTEM_PROGRAM, [...u32(8), ...u64(1n)], WALLET)]),
  batch: factsOf([of(TOKEN_PROGRAM, [255, 3, 9, 3, ...u64(5n)], SOURCE, OWNER_ATA, WALLET)]),
  lookedUp: factsOf([pay(OWNER)], { [addressOf(40)]: [OWNER] }),
  nothing: factsOf([]),
}
type Name = keyof typeof SIGNED
const allowed = (narrowing: object): Name[] =>
  (Object.keys(SIGNED) as Name[]).filter((name) => judge(narrowing, SIGNED[name]).verdict === 'allow')
const ALL = Object.keys(SIGNED)

describe('an unnarrowed permission', () => {
  it('signs every Solana transaction', () => {
    expect(allowed({})).toEqual(ALL)
    expect(permissionsToSign(SIGNED.assign)).toEqual(['wallet:sign'])
  })
})

describe('chains', () => {
  it('count a message, which names no cluster, as mainnet’s', () => {
    expect(allowed({ chains: [SOLANA_CHAIN] })).toEqual(ALL)
    expect(allowed({ chains: [DEVNET] })).toEqual([])
    expect(allowed({ chains: ['eip155:1', 'eip155:0', DEVNET] })).toEqual([])
    expect(refusalIn(judge({ chains: ['eip155:1'] }, SIGNED.transfer))).toEqual({
      reason: 'PERMISSION_MISSING',
      permission: 'wallet:sign',
      narrowedBy: 'chain',
    })
  })
})

describe('destinations', () => {
  it('cover an owner, its associated accounts, and what is handed to it', () => {
    expect(allowed({ destinations: [OWNER] })).toEqual([
      'transfer',
      'tokens',
      'opened',
      'approval',
      'close',
      'handOver',
      'assign',
    ])
    expect(allowed({ destinations: [OTHER, WALLET, MINT, SOURCE] })).toEqual([])
  })

  it('cover what is not read only by the program, and never what is hidden', () => {
    expect(allowed({ destinations: [PROGRAM] })).toEqual(['call'])
    expect(allowed({ destinations: [PROGRAM, OWNER] })).toContain('callAndTransfer')
    const everyone = [OWNER, OWNER_ATA, WALLET, SOURCE, MINT, PROGRAM, SYSTEM_PROGRAM, TOKEN_PROGRAM]
    const hidden = ['notRead', 'batch', 'lookedUp', 'nothing']
    expect(allowed({ destinations: everyone })).toEqual(ALL.filter((name) => !hidden.includes(name)))
  })

  it('cover a token account that is itself listed, with or without a mint', () => {
    expect(allowed({ destinations: [OWNER_ATA] })).toEqual(['tokens', 'plainTokens'])
  })

  it.each([
    ['the account of another owner', send(OTHER_ATA)],
    ['any other token account', send(addressOf(30))],
    ['the owner’s account for another mint', send(OTHER_MINT_ATA)],
    ['the owner’s account under the other token program', send(OWNER_ATA_2022)],
    ['the owner’s account, said to be under Token-2022', send(OWNER_ATA, TOKEN_2022_PROGRAM)],
    ['an account opened for another', open(OTHER, OTHER_ATA)],
    ['an account opened for another at the owner’s address', open(OTHER, OWNER_ATA)],
    ['an approval for another', of(TOKEN_PROGRAM, [13, ...u64(5n), 6], SOURCE, MINT, OTHER, WALLET)],
    // An approval names whoever spends: an account that only follows from a listed owner does not.
    [
      'an approval for the owner’s account',
      of(TOKEN_PROGRAM, [13, ...u64(5n), 6], SOURCE, MINT, OWNER_ATA, WALLET),
    ],
    ['lamports for the owner’s token account', pay(OWNER_ATA)],
    ['a burn', of(TOKEN_PROGRAM, [15, ...u64(5n), 6], SOURCE, MINT, WALLET)],
  ])('do not cover %s', (_name, given) => {
    expect(refusalIn(judge({ destinations: [OWNER] }, factsOf([given])))).toMatchObject({
      narrowedBy: 'destination',
    })
    expect(refusalIn(judge({ destinations: [OWNER] }, factsOf([pay(OWNER), given])))).toMatchObject({
      narrowedBy: 'destination',
    })
  })

  it('cover the associated account of a Token-2022 mint, among many owners', () => {
    const many = Array.from({ length: 40 }, (_, index) => addressOf(100 + index))
    const facts = factsOf([send(OWNER_ATA_2022, TOKEN_2022_PROGRAM)])
    expect(judge({ destinations: [...many, OWNER] }, facts).verdict).toBe('allow')
    expect(judge({ destinations: many }, facts).verdict).toBe('refuse')
    expect(judge({ destinations: [`0x${'a'.repeat(40)}`] }, facts).verdict).toBe('refuse')
  })
})

describe('caps', () => {
  const caps = (...listed: [string, string][]) => Object.fromEntries(listed)

  it('count what is read, and refuse the rest', () => {
    const all = caps([NATIVE, MILLION], [TOKEN, MILLION])
    const countable = ['transfer', 'tokens', 'opened', 'approval', 'nothing']
    expect(allowed({ max_per_transaction: all })).toEqual(countable)
    expect(allowed({ max_per_day: all })).toEqual(countable)
    expect(allowed({ max_per_transaction: caps([TOKEN, MILLION]) })).toEqual(['tokens', 'approval', 'nothing'])
    expect(refusalIn(judge({ max_per_transaction: all }, SIGNED.plainTokens))).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      allowed: 'not listed',
    })
  })

  it('hold to the lamport', () => {
    const cap = { max_per_transaction: caps([NATIVE, '10']) }
    expect(judge(cap, factsOf([pay(OWNER, 4n), pay(OTHER, 6n)])).verdict).toBe('allow')
    expect(refusalIn(judge(cap, factsOf([pay(OWNER, 5n), pay(OTHER, 6n)])))).toEqual({
      reason: 'LIMIT_EXCEEDED',
      limit: `wallet:sign max_per_transaction ${NATIVE}`,
      seen: '11',
      allowed: '10',
    })
  })

  it('of other chains and clusters do not cover it', () => {
    for (const chain of ['eip155:1', DEVNET])
      expect(judge({ max_per_transaction: caps([`${chain}/native`, MILLION]) }, SIGNED.transfer).verdict).toBe(
        'refuse',
      )
  })

  it('charge the day', () => {
    const cap = { max_per_day: caps([TOKEN, '100'], [FEE, '20000']) }
    expect(judge(cap, SIGNED.tokens, () => 95n)).toMatchObject({
      verdict: 'allow',
      charges: [
        { token: FEE, amount: 5000n },
        { token: TOKEN, amount: 5n },
      ],
    })
    expect(judge(cap, SIGNED.tokens, () => 96n).verdict).toBe('refuse')
    expect(judge(cap, SIGNED.tokens, () => undefined).verdict).toBe('refuse')
  })

  it('that do not name the fee allow a tenth of a SOL of it', () => {
    const price = (microLamports: bigint) => [
      of(COMPUTE_BUDGET_PROGRAM, [2, ...u32(1_000_000)]),
      of(COMPUTE_BUDGET_PROGRAM, [3, ...u64(microLamports)]),
      pay(OWNER),
    ]
    const cap = { max_per_transaction: caps([NATIVE, MILLION]) }
    expect(judge(cap, factsOf(price(99_995_000n))).verdict).toBe('allow')
    expect(refusalIn(judge(cap, factsOf(price(99_995_001n))))).toMatchObject({
      seen: '100000001',
      allowed: '100000000',
    })
    const listed = { max_per_transaction: caps([NATIVE, MILLION], [FEE, '200000000']) }
    expect(judge(listed, factsOf(price(99_995_001n))).verdict).toBe('allow')
  })
})

describe('token keys on Solana', () => {
  it('keep their letters', () => {
    for (const key of [NATIVE, FEE, TOKEN]) expect(parseTokenKey(key)).toBe(key)
  })

  it.each([
    `${SOLANA_CHAIN}/unknown`,
    `${SOLANA_CHAIN}/Native`,
    `${SOLANA_CHAIN}/${MINT}1111`,
    `${SOLANA_CHAIN}/0x${'a'.repeat(40)}`,
    `${SOLANA_CHAIN.toLowerCase()}0/native`,
    `solana:mainnet/native`,
    `${SOLANA_CHAIN}/`,
    `eip155:1/${MINT}`,
  ])('%s is none', (key) => {
    expect(parseTokenKey(key)).toBeUndefined()
  })
})
