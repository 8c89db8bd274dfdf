import { encodeBase58 } from '../domain/base58.ts'
import type { Destination, SigningEffect } from './facts.ts'
import {
  ASSOCIATED_TOKEN_PROGRAM,
  COMPUTE_BUDGET_PROGRAM,
  MEMO_PROGRAMS,
  SYSTEM_PROGRAM,
  TOKEN_2022_PROGRAM,
  TOKEN_PROGRAM,
} from './solana-programs.ts'

/**
 * What one instruction does. Instructions of the programs that hold money are read by their exact layout or not at
 * all: the runtime tolerates bytes behind what it reads, we do not.
 */
export type InstructionReading = {
  /**
   * `system.transfer`, `token.transferChecked`, …; the program's address when it is not one of those that are
   * read.
   */
  readonly name: string
  readonly effect: Exclude<SigningEffect, 'opaque' | 'creation' | 'unresolved'>
  readonly reaches: readonly Destination[]
  /** What is counted: `native`, a mint's address, or `unknown` where the instruction does not name the mint. */
  readonly spends: readonly (readonly [what: string, amount: bigint])[]
}

export type ReadableInstruction = {
  readonly program: string
  /** Addresses in base58; something that is no address where the account is looked up. */
  readonly accounts: readonly string[]
  readonly data: Uint8Array
}

type Reading = Omit<InstructionReading, 'name'>
type Shape = {
  readonly name: string
  /** Bytes of the data; undefined where the reader checks them itself. */
  readonly length?: number
  readonly accounts: number
  /** Undefined when the instruction is not well-formed. */
  readonly read: (instruction: ReadableInstruction) => Reading | undefined
}

export const UNKNOWN_MINT = 'unknown'

const NOTHING: Reading = { effect: 'transfer', reaches: [], spends: [] }

const u32At = (data: Uint8Array, at: number): number =>
  new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(at, true)

const u64At = (data: Uint8Array, at: number): bigint =>
  new DataView(data.buffer, data.byteOffset, data.byteLength).getBigUint64(at, true)

const keyAt = (data: Uint8Array, at: number): string => encodeBase58(data.subarray(at, at + 32))

const reach = (role: Destination['role'], address: string | undefined): readonly Destination[] =>
  address === undefined ? [] : [{ role, address }]

const pays = (to: string | undefined, lamports: bigint): Reading => ({
  effect: 'transfer',
  reaches: reach('recipient', to),
  spends: [['native', lamports]],
})

/** Control over an account with all that it holds passes to somebody. */
const handsOver = (to: string): Reading => ({ effect: 'delegation', reaches: reach('delegate', to), spends: [] })

/** A new account's lamports are at the mercy of the program that owns it. */
const creates = (account: string | undefined, lamports: bigint, owner: string): Reading => ({
  effect: 'transfer',
  reaches: [...reach('recipient', account), ...(owner === SYSTEM_PROGRAM ? [] : reach('delegate', owner))],
  spends: [['native', lamports]],
})

/** The bytes that a seed at an offset takes with its u64 length; undefined when it is longer than seeds are. */
const seedBytesAt = (data: Uint8Array, at: number): number | undefined => {
  if (data.length < at + 8) return undefined
  const length = u64At(data, at)
  return length <= 32n ? 8 + Number(length) : undefined
}

const readCreateWithSeed = ({ accounts, data }: ReadableInstruction): Reading | undefined => {
  const seed = seedBytesAt(data, 36)
  if (seed === undefined || data.length !== 36 + seed + 48) return undefined
  return creates(accounts[1], u64At(data, 36 + seed), keyAt(data, 36 + seed + 16))
}

const readTransferWithSeed = ({ accounts, data }: ReadableInstruction): Reading | undefined => {
  const seed = seedBytesAt(data, 12)
  return seed === undefined || data.length !== 12 + seed + 32 ? undefined : pays(accounts[2], u64At(data, 4))
}

/** solana-system-interface, `SystemInstruction` in bincode: u32 index, then the fields. */
const SYSTEM_INSTRUCTIONS: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [
    0,
    {
      name: 'createAccount',
      length: 52,
      accounts: 2,
      read: ({ accounts, data }) => creates(accounts[1], u64At(data, 4), keyAt(data, 20)),
    },
  ],
  [1, { name: 'assign', length: 36, accounts: 1, read: ({ data }) => handsOver(keyAt(data, 4)) }],
  [
    2,
    { name: 'transfer', length: 12, accounts: 2, read: ({ accounts, data }) => pays(accounts[1], u64At(data, 4)) },
  ],
  [3, { name: 'createAccountWithSeed', accounts: 2, read: readCreateWithSeed }],
  [4, { name: 'advanceNonceAccount', length: 4, accounts: 3, read: () => NOTHING }],
  [
    5,
    {
      name: 'withdrawNonceAccount',
      length: 12,
      accounts: 5,
      read: ({ accounts, data }) => pays(accounts[1], u64At(data, 4)),
    },
  ],
  [6, { name: 'initializeNonceAccount', length: 36, accounts: 3, read: ({ data }) => handsOver(keyAt(data, 4)) }],
  [7, { name: 'authorizeNonceAccount', length: 36, accounts: 2, read: ({ data }) => handsOver(keyAt(data, 4)) }],
  [11, { name: 'transferWithSeed', accounts: 3, read: readTransferWithSeed }],
])

/** A token account as destination, with what it takes to tell whose associated account it is. */
const tokenAccount = (
  { program, accounts }: ReadableInstruction,
  accountAt: number,
  mintAt: number | undefined,
): readonly Destination[] => {
  const address = accounts[accountAt]
  const mint = mintAt === undefined ? undefined : accounts[mintAt]
  if (address === undefined) return []
  return [
    { role: 'recipient', address, ...(mint !== undefined && { tokenAccount: { mint, tokenProgram: program } }) },
  ]
}

type AmountShape = {
  readonly name: string
  readonly checked: boolean
  readonly accounts: number
  readonly mintAt?: number
  readonly reaches: (instruction: ReadableInstruction) => readonly Destination[]
}

/** Instructions that begin with an amount; the checked ones go on with the mint's decimals. */
const ofAmount = ({ name, checked, accounts, mintAt, reaches }: AmountShape): Shape => ({
  name,
  length: checked ? 10 : 9,
  accounts,
  read: (instruction) => ({
    effect: 'transfer',
    reaches: reaches(instruction),
    spends: [
      [
        (mintAt === undefined ? undefined : instruction.accounts[mintAt]) ?? UNKNOWN_MINT,
        u64At(instruction.data, 1),
      ],
    ],
  }),
})

const burn = (checked: boolean): Shape =>
  ofAmount({
    name: checked ? 'burnChecked' : 'burn',
    checked,
    accounts: 3,
    mintAt: 1,
    reaches: ({ accounts }) => reach('token', accounts[1]),
  })

const mintTo = (checked: boolean): Shape =>
  ofAmount({
    name: checked ? 'mintToChecked' : 'mintTo',
    checked,
    accounts: 3,
    mintAt: 0,
    reaches: (instruction) => tokenAccount(instruction, 1, 0),
  })

/** Without a new authority nobody is reached but the account or mint that loses the old one. */
const readSetAuthority = ({ accounts, data }: ReadableInstruction): Reading | undefined => {
  if (data.length === 35 && data[2] === 1) return handsOver(keyAt(data, 3))
  if (data.length !== 3 || data[2] !== 0) return undefined
  return { effect: 'delegation', reaches: reach('token', accounts[0]), spends: [] }
}

/** spl-token, `TokenInstruction`: u8 index, then the fields. Token-2022 begins with the same. */
const TOKEN_INSTRUCTIONS: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [
    3,
    ofAmount({
      name: 'transfer',
      checked: false,
      accounts: 3,
      reaches: (given) => tokenAccount(given, 1, undefined),
    }),
  ],
  [
    4,
    ofAmount({
      name: 'approve',
      checked: false,
      accounts: 3,
      reaches: ({ accounts }) => reach('spender', accounts[1]),
    }),
  ],
  [5, { name: 'revoke', length: 1, accounts: 2, read: () => NOTHING }],
  [6, { name: 'setAuthority', accounts: 2, read: readSetAuthority }],
  [7, mintTo(false)],
  [8, burn(false)],
  // All the lamports of the account go, and how many those are stands nowhere.
  [
    9,
    {
      name: 'closeAccount',
      length: 1,
      accounts: 3,
      read: ({ accounts }) => ({ effect: 'call', reaches: reach('recipient', accounts[1]), spends: [] }),
    },
  ],
  [
    12,
    ofAmount({
      name: 'transferChecked',
      checked: true,
      accounts: 4,
      mintAt: 1,
      reaches: (given) => tokenAccount(given, 2, 1),
    }),
  ],
  [
    13,
    ofAmount({
      name: 'approveChecked',
      checked: true,
      accounts: 4,
      mintAt: 1,
      reaches: ({ accounts }) => reach('spender', accounts[2]),
    }),
  ],
  [14, mintTo(true)],
  [15, burn(true)],
  [17, { name: 'syncNative', length: 1, accounts: 1, read: () => NOTHING }],
])

/**
 * The rent that a new token account takes from its payer; whoever closes the account gets it. The message does not
 * say it: (128 + bytes) × 6960 lamports, for the 165 bytes of a token account, and for 1 KiB of a Token-2022 one,
 * which has room for every extension that a mint can ask for.
 */
export const TOKEN_ACCOUNT_RENT = (128n + 165n) * 6960n
export const TOKEN_2022_ACCOUNT_RENT = (128n + 1024n) * 6960n

/** spl-associated-token-account: no data or 0 is Create, 1 is CreateIdempotent. The program enforces the owner. */
const readAssociatedToken = ({ accounts, data }: ReadableInstruction): InstructionReading | undefined => {
  const [, , owner, , system, tokenProgram] = accounts
  const kind = data[0] ?? 0
  if (data.length > 1 || kind > 1 || accounts.length < 6 || system !== SYSTEM_PROGRAM) return undefined
  if (tokenProgram !== TOKEN_PROGRAM && tokenProgram !== TOKEN_2022_PROGRAM) return undefined
  const rent = tokenProgram === TOKEN_PROGRAM ? TOKEN_ACCOUNT_RENT : TOKEN_2022_ACCOUNT_RENT
  return { name: `associatedToken.${kind === 0 ? 'create' : 'createIdempotent'}`, ...pays(owner, rent) }
}

/** Bytes of each compute budget instruction, by its index. */
const COMPUTE_BUDGET_LENGTHS: ReadonlyMap<number, number> = new Map([
  [1, 5],
  [2, 5],
  [3, 9],
  [4, 5],
])
const SET_COMPUTE_UNIT_LIMIT = 2
const SET_COMPUTE_UNIT_PRICE = 3

export type ComputeBudget = {
  readonly unitLimit?: number
  /** Micro-lamports a compute unit. */
  readonly unitPrice?: bigint
}

/** What a compute budget instruction sets of the fee; undefined when it is not well-formed. */
export const readComputeBudget = (data: Uint8Array): ComputeBudget | undefined => {
  const index = data[0] ?? 0
  if (data.length !== COMPUTE_BUDGET_LENGTHS.get(index)) return undefined
  if (index === SET_COMPUTE_UNIT_LIMIT) return { unitLimit: u32At(data, 1) }
  return index === SET_COMPUTE_UNIT_PRICE ? { unitPrice: u64At(data, 1) } : {}
}

const readShape = (
  prefix: string,
  shape: Shape | undefined,
  instruction: ReadableInstruction,
): InstructionReading | undefined => {
  const { data, accounts } = instruction
  if (shape === undefined || accounts.length < shape.accounts) return undefined
  if (shape.length !== undefined && data.length !== shape.length) return undefined
  const reading = shape.read(instruction)
  return reading === undefined ? undefined : { name: `${prefix}.${shape.name}`, ...reading }
}

const readSystem = (instruction: ReadableInstruction): InstructionReading | undefined => {
  const { data } = instruction
  return data.length < 4 ? undefined : readShape('system', SYSTEM_INSTRUCTIONS.get(u32At(data, 0)), instruction)
}

const readToken = (instruction: ReadableInstruction): InstructionReading | undefined =>
  readShape('token', TOKEN_INSTRUCTIONS.get(instruction.data[0] ?? -1), instruction)

/** Accounts beyond those of the shape are handed to the mint's transfer hook, a program of anybody's. */
const readToken2022 = (instruction: ReadableInstruction): InstructionReading | undefined => {
  const shape = TOKEN_INSTRUCTIONS.get(instruction.data[0] ?? -1)
  return instruction.accounts.length === shape?.accounts ? readShape('token2022', shape, instruction) : undefined
}

const readKnown = (instruction: ReadableInstruction): InstructionReading | 'unknown program' | undefined => {
  const { program, data } = instruction
  if (program === SYSTEM_PROGRAM) return readSystem(instruction)
  if (program === TOKEN_PROGRAM) return readToken(instruction)
  if (program === TOKEN_2022_PROGRAM) return readToken2022(instruction)
  if (program === ASSOCIATED_TOKEN_PROGRAM) return readAssociatedToken(instruction)
  if (program === COMPUTE_BUDGET_PROGRAM)
    return readComputeBudget(data) === undefined ? undefined : { name: 'computeBudget', ...NOTHING }
  return MEMO_PROGRAMS.has(program) ? { name: 'memo', ...NOTHING } : 'unknown program'
}

/**
 * Reads one instruction. A program that is not known is a `call` that reaches the program: it may do anything
 * with the accounts and the signatures it is given. An instruction of a known program that does not have the
 * exact layout of one that is read here (a batch, a confidential transfer, extra accounts for a transfer hook)
 * is a `malformed-call`: what it moves is hidden.
 */
export const readInstruction = (instruction: ReadableInstruction): InstructionReading => {
  const reading = readKnown(instruction)
  if (reading !== undefined && reading !== 'unknown program') return reading
  const effect = reading === undefined ? 'malformed-call' : 'call'
  return { name: instruction.program, effect, reaches: reach('to', instruction.program), spends: [] }
}
