import { encodeBase58 } from '../domain/base58.ts'
import type { SigningEffect, SigningFacts, TokenKey } from './facts.ts'
import { totalSpends } from './facts.ts'
import type { InstructionReading, ReadableInstruction } from './solana-instructions.ts'
import { readComputeBudget, readInstruction } from './solana-instructions.ts'
import type { SolanaMessage } from './solana-message.ts'
import { isSigner, isWritable } from './solana-message.ts'
import { COMPUTE_BUDGET_PROGRAM, SIGNATURE_PROGRAMS, SOLANA_CHAIN } from './solana-programs.ts'

export const LAMPORTS_PER_SIGNATURE = 5000n
const UNITS_PER_INSTRUCTION = 200_000n
/** Of one transaction. */
export const MAX_UNITS = 1_400_000n
export const MICRO_LAMPORTS = 1_000_000n

const SUMMARY_CHARACTERS = 400

/** From the one that says least to the one that says all. A message is worth its worst instruction. */
const EFFECTS = [
  'unresolved',
  'malformed-call',
  'delegation',
  'call',
  'transfer',
] as const satisfies SigningEffect[]

/** Looked-up accounts get a name that is no address, so that it equals nothing anybody lists. */
const readableInstructions = (message: SolanaMessage): readonly ReadableInstruction[] => {
  const keys = message.staticKeys.map(encodeBase58)
  const account = (index: number): string => keys[index] ?? `looked-up #${index - keys.length}`
  return message.instructions.map(({ programIndex, accountIndexes, data }) => ({
    program: account(programIndex),
    accounts: Array.from(accountIndexes, account),
    data,
  }))
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/**
 * The most that the fee payer pays, in lamports: 5000 a signature, those that programs check included, and the
 * priority fee for all the compute units that are asked for, or that are given where none are.
 */
const maxFee = ({ requiredSignatures }: SolanaMessage, instructions: readonly ReadableInstruction[]): bigint => {
  let [signatures, unitPrice] = [BigInt(requiredSignatures), 0n]
  let unitLimit: bigint | undefined
  for (const { program, data } of instructions) {
    if (SIGNATURE_PROGRAMS.has(program)) signatures += BigInt(data[0] ?? 0)
    if (program !== COMPUTE_BUDGET_PROGRAM) continue
    const budget = readComputeBudget(data)
    if (budget?.unitLimit !== undefined) unitLimit = BigInt(budget.unitLimit)
    if (budget?.unitPrice !== undefined) unitPrice = budget.unitPrice
  }
  const units = least(unitLimit ?? UNITS_PER_INSTRUCTION * BigInt(instructions.length), MAX_UNITS)
  return signatures * LAMPORTS_PER_SIGNATURE + (unitPrice * units + MICRO_LAMPORTS - 1n) / MICRO_LAMPORTS
}

const keyOf = (what: string): TokenKey => `${SOLANA_CHAIN}/${what}` as TokenKey

const summarize = (message: SolanaMessage, readings: readonly InstructionReading[]): string => {
  const lines = readings.map(({ name, reaches, spends }) => {
    const amounts = spends.map(([what, amount]) => ` of ${amount} ${what === 'native' ? 'lamports' : what}`)
    const reached = reaches.map(({ role, address }) => `${role} ${address}`)
    return `${name}${amounts.join('')}${reached.length === 0 ? '' : `, ${reached.join(', ')}`}`
  })
  const version = message.version === 'legacy' ? 'legacy' : `v${message.version}`
  const tables = message.lookups.length === 0 ? '' : ` with ${message.lookups.length} address lookup tables`
  return `Solana ${version} transaction${tables}: ${lines.join('; ')}`.slice(0, SUMMARY_CHARACTERS)
}

/**
 * The facts of a Solana message. Every instruction counts, whoever signs for it: a message may have other signers,
 * but what leaves their accounts cannot be told from what leaves the wallet's. It is a `transfer` when every
 * instruction is read and counted, and takes the worst of their effects otherwise. Accounts in lookup tables stand
 * in no message, so a message that looks any up is `unresolved`.
 *
 * Recipients of tokens are token accounts; `tokenAccount` says what it takes to recognise the associated account
 * of an owner. A plain token transfer or approval does not name the mint and is counted under `…/unknown`, which
 * no cap can list. Amounts are lamports and token base units; the rent of new associated accounts counts at a
 * bound. The fee counts at its maximum. The message does not name its cluster: see `SOLANA_CHAIN`.
 */
export const describeSolanaMessage = (message: SolanaMessage): SigningFacts => {
  const { version, staticKeys, lookups } = message
  const instructions = readableInstructions(message)
  const readings = instructions.map(readInstruction)
  const effects = new Set<SigningEffect>(readings.map(({ effect }) => effect))
  if (lookups.length > 0) effects.add('unresolved')
  const keys = staticKeys.map(encodeBase58)
  const fee = [keyOf('fee'), maxFee(message, instructions)] as const
  return {
    operation: 'transaction',
    effect: EFFECTS.find((effect) => effects.has(effect)) ?? 'transfer',
    chainIds: [],
    destinations: readings.flatMap(({ reaches }) => reaches),
    spends: totalSpends([
      fee,
      ...readings.flatMap(({ spends }) => spends.map(([what, amount]) => [keyOf(what), amount] as const)),
    ]),
    delegations: [],
    transactionType: version === 'legacy' ? 'solana-legacy' : 'solana-v0',
    solana: {
      chain: SOLANA_CHAIN,
      blockhash: encodeBase58(message.blockhash),
      durableNonce: readings[0]?.name === 'system.advanceNonceAccount',
      feePayer: keys[0] ?? '',
      signers: keys.filter((_key, index) => isSigner(message, index)),
      writable: keys.filter((_key, index) => isWritable(message, index)),
      programs: [...new Set(instructions.map(({ program }) => program))],
      instructions: readings.map(({ name }) => name),
      lookupTables: lookups.map(({ table }) => encodeBase58(table)),
    },
    summary: summarize(message, readings),
  }
}
