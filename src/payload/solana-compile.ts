/** Solana messages out of instructions. What is built here is read back by `decodeSolanaMessage` before it is used. */
import { decodeSolanaMessage, encodeSolanaMessage, type SolanaMessage } from './solana-message.ts'

export type SolanaAccountMeta = {
  /** 32 bytes. */
  readonly key: Uint8Array
  readonly signs?: boolean
  readonly isWritten?: boolean
}

export type NewSolanaInstruction = {
  /** 32 bytes. */
  readonly program: Uint8Array
  readonly accounts: readonly SolanaAccountMeta[]
  readonly data: Uint8Array
}

export type NewSolanaMessage = {
  /** Signs first and pays the fee. */
  readonly payer: Uint8Array
  readonly blockhash: Uint8Array
  readonly instructions: readonly NewSolanaInstruction[]
}

type Held = { readonly key: Uint8Array; signs: boolean; isWritten: boolean }

const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')

/** Every account once, with the most that any instruction asks of it; the payer first. */
const collectAccounts = ({ payer, instructions }: NewSolanaMessage): readonly Held[] => {
  const accounts = new Map<string, Held>()
  const hold = ({ key, signs = false, isWritten = false }: SolanaAccountMeta): void => {
    const known = accounts.get(textOf(key))
    if (known === undefined) accounts.set(textOf(key), { key, signs, isWritten })
    else [known.signs, known.isWritten] = [known.signs || signs, known.isWritten || isWritten]
  }
  hold({ key: payer, signs: true, isWritten: true })
  for (const { accounts: metas, program } of instructions) [...metas, { key: program }].forEach(hold)
  return [...accounts.values()]
}

const placeOf = ({ signs, isWritten }: Held): number => (signs ? 0 : 2) + (isWritten ? 0 : 1)

/**
 * The legacy message of some instructions, the first of them first. Refuses (TRANSACTION_INVALID) what does not fit a
 * packet, or has more accounts than a message holds.
 */
export const compileSolanaMessage = (asked: NewSolanaMessage): Uint8Array => {
  // The sort is stable, and the payer is a written signer: it stays the first.
  const held = collectAccounts(asked).toSorted((one, other) => placeOf(one) - placeOf(other))
  const indexes = new Map(held.map(({ key }, index) => [textOf(key), index]))
  const indexOf = (key: Uint8Array): number => indexes.get(textOf(key)) ?? 0
  const message: SolanaMessage = {
    version: 'legacy',
    requiredSignatures: held.filter(({ signs }) => signs).length,
    readonlySigned: held.filter(({ signs, isWritten }) => signs && !isWritten).length,
    readonlyUnsigned: held.filter(({ signs, isWritten }) => !signs && !isWritten).length,
    staticKeys: held.map(({ key }) => key),
    blockhash: asked.blockhash,
    instructions: asked.instructions.map(({ program, accounts, data }) => ({
      programIndex: indexOf(program),
      accountIndexes: Uint8Array.from(accounts, ({ key }) => indexOf(key)),
      data,
    })),
    lookups: [],
  }
  const bytes = encodeSolanaMessage(message)
  decodeSolanaMessage(bytes)
  return bytes
}

/**
 * The same message with instructions in front of its own, and with another blockhash. Only instructions without accounts,
 * as those of the compute budget are: what the message's own instructions do is not touched. Refuses as
 * `compileSolanaMessage`.
 */
export const prependInstructions = (
  message: SolanaMessage,
  instructions: readonly Pick<NewSolanaInstruction, 'program' | 'data'>[],
  blockhash: Uint8Array,
): Uint8Array => {
  const known = new Set(message.staticKeys.map(textOf))
  const added = instructions.map(({ program }) => program).filter((key) => !known.has(textOf(key)) && known.add(textOf(key)))
  const staticKeys = [...message.staticKeys, ...added]
  // Looked-up accounts are counted on behind the keys of the message.
  const moved = (index: number): number => (index < message.staticKeys.length ? index : index + added.length)
  const indexOf = (key: Uint8Array): number => staticKeys.findIndex((one) => textOf(one) === textOf(key))
  const bytes = encodeSolanaMessage({
    ...message,
    blockhash,
    staticKeys,
    readonlyUnsigned: message.readonlyUnsigned + added.length,
    instructions: [
      ...instructions.map(({ program, data }) => ({ programIndex: indexOf(program), accountIndexes: new Uint8Array(), data })),
      ...message.instructions.map((one) => ({ ...one, accountIndexes: Uint8Array.from(one.accountIndexes, moved) })),
    ],
  })
  decodeSolanaMessage(bytes)
  return bytes
}
