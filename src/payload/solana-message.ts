import { failure, isFailure } from '../domain/failure.ts'
import { concatBytes, equalBytes } from './bytes.ts'

/**
 * Solana transaction messages, the bytes that every signer of a transaction signs: legacy, and version 0 with
 * address lookup tables. The rules are those by which a validator takes a message apart and refuses it
 * (`Message::sanitize` and `v0::Message::sanitize` of solana-message), plus one: no account key stands twice,
 * since such a transaction is never executed.
 */
export type SolanaInstruction = {
  /** Into `staticKeys`; never 0, the fee payer. */
  readonly programIndex: number
  /** Indexes into the static keys, then the writable looked-up ones, then the read-only ones. */
  readonly accountIndexes: Uint8Array
  readonly data: Uint8Array
}

export type SolanaLookup = {
  readonly table: Uint8Array
  readonly writableIndexes: Uint8Array
  readonly readonlyIndexes: Uint8Array
}

export type SolanaMessage = {
  readonly version: 'legacy' | 0
  /** The first so many static keys sign; the first of all pays. */
  readonly requiredSignatures: number
  /** How many of the signers, counted from the last, are not written. */
  readonly readonlySigned: number
  /** How many of the other static keys, counted from the last, are not written. */
  readonly readonlyUnsigned: number
  /** 32 bytes each. */
  readonly staticKeys: readonly Uint8Array[]
  /** A recent blockhash, or the value of a durable nonce; 32 bytes. */
  readonly blockhash: Uint8Array
  readonly instructions: readonly SolanaInstruction[]
  readonly lookups: readonly SolanaLookup[]
}

/** What a validator takes from the network: 1280 bytes of IPv6 less the headers. */
const MAX_TRANSACTION_BYTES = 1232
/** SIMD-0385 messages (version 1) may be larger; they are recognised and never signed. */
const MAX_V1_BYTES = 4096
const VERSION_FLAG = 0x80
const MAX_ACCOUNTS = 256
const SIGNATURE_BYTES = 64

const refuse = (field: string, why: string) =>
  failure('TRANSACTION_INVALID', { field: `solana_message.${field}`, why })

/** Reads forward and refuses to read beyond the end. */
type Cursor = {
  readonly byte: (field: string) => number
  readonly bytes: (length: number, field: string) => Uint8Array
  readonly compactU16: (field: string) => number
}

const createCursor = (source: Uint8Array): Cursor => {
  let at = 0
  const bytes = (length: number, field: string): Uint8Array => {
    if (source.length - at < length) throw refuse(field, 'is truncated')
    at += length
    return source.slice(at - length, at)
  }
  const byte = (field: string): number => bytes(1, field)[0] ?? 0
  const compactU16 = (field: string): number => {
    let value = 0
    for (let shift = 0; shift < 21; shift += 7) {
      const next = byte(field)
      value |= (next & 0x7f) << shift
      if (next < VERSION_FLAG && value <= 0xffff) return value
    }
    throw refuse(field, 'is not a compact-u16')
  }
  return { byte, bytes, compactU16 }
}

const encodeCompactU16 = (value: number): Uint8Array => {
  const bytes: number[] = []
  for (let rest = value; ; rest >>= 7) {
    if (rest < VERSION_FLAG) return Uint8Array.from([...bytes, rest])
    bytes.push((rest & 0x7f) | VERSION_FLAG)
  }
}

const readList = <T>(cursor: Cursor, field: string, readItem: (field: string) => T): readonly T[] => {
  const items: T[] = []
  for (let left = cursor.compactU16(field); left > 0; left--) items.push(readItem(`${field}[${items.length}]`))
  return items
}

const readBytes = (cursor: Cursor, field: string): Uint8Array => cursor.bytes(cursor.compactU16(field), field)

const readVersion = (cursor: Cursor, first: number): { version: 'legacy' | 0; requiredSignatures: number } => {
  if (first < VERSION_FLAG) return { version: 'legacy', requiredSignatures: first }
  if (first !== VERSION_FLAG) throw refuse('version', 'is neither legacy nor 0')
  return { version: 0, requiredSignatures: cursor.byte('header') }
}

/** The message that some bytes begin with, whatever follows it. */
const readMessage = (bytes: Uint8Array): SolanaMessage => {
  const cursor = createCursor(bytes)
  const { version, requiredSignatures } = readVersion(cursor, cursor.byte('header'))
  const readonlySigned = cursor.byte('header')
  const readonlyUnsigned = cursor.byte('header')
  const staticKeys = readList(cursor, 'account_keys', (field) => cursor.bytes(32, field))
  const blockhash = cursor.bytes(32, 'recent_blockhash')
  const instructions = readList(cursor, 'instructions', (field) => ({
    programIndex: cursor.byte(field),
    accountIndexes: readBytes(cursor, field),
    data: readBytes(cursor, field),
  }))
  const readLookup = (field: string): SolanaLookup => ({
    table: cursor.bytes(32, field),
    writableIndexes: readBytes(cursor, field),
    readonlyIndexes: readBytes(cursor, field),
  })
  const lookups = version === 0 ? readList(cursor, 'address_table_lookups', readLookup) : []
  const header = { version, requiredSignatures, readonlySigned, readonlyUnsigned }
  return { ...header, staticKeys, blockhash, instructions, lookups }
}

/** How many accounts the lookup tables add: those written, and all of them. */
export const countLookedUp = ({ lookups }: SolanaMessage): { readonly writable: number; readonly all: number } => {
  let [writable, all] = [0, 0]
  for (const { writableIndexes, readonlyIndexes } of lookups) {
    writable += writableIndexes.length
    all += writableIndexes.length + readonlyIndexes.length
  }
  return { writable, all }
}

const checkMessage = (message: SolanaMessage): void => {
  const { requiredSignatures, readonlySigned, readonlyUnsigned, staticKeys, instructions, lookups } = message
  if (readonlySigned >= requiredSignatures) throw refuse('header', 'has no fee payer that can be written')
  if (requiredSignatures + readonlyUnsigned > staticKeys.length)
    throw refuse('header', 'counts more keys than there are')
  const accounts = staticKeys.length + countLookedUp(message).all
  if (accounts > MAX_ACCOUNTS) throw refuse('account_keys', `are more than ${MAX_ACCOUNTS}`)
  for (const [index, { programIndex, accountIndexes }] of instructions.entries()) {
    const field = `instructions[${index}]`
    if (programIndex === 0) throw refuse(field, 'calls the fee payer')
    if (programIndex >= staticKeys.length) throw refuse(field, 'calls a program that is not a static key')
    if (accountIndexes.some((account) => account >= accounts))
      throw refuse(field, 'names an account beyond the last')
  }
  for (const [index, { writableIndexes, readonlyIndexes }] of lookups.entries())
    if (writableIndexes.length + readonlyIndexes.length === 0)
      throw refuse(`address_table_lookups[${index}]`, 'looks nothing up')
}

const maxMessageBytes = ({ requiredSignatures }: SolanaMessage): number =>
  MAX_TRANSACTION_BYTES - encodeCompactU16(requiredSignatures).length - SIGNATURE_BYTES * requiredSignatures

const hasRepeatedKey = (keys: readonly Uint8Array[]): boolean =>
  new Set(keys.map((key) => Buffer.from(key).toString('latin1'))).size !== keys.length

/** The one encoding of a message: `decodeSolanaMessage` inverts it. */
export const encodeSolanaMessage = (message: SolanaMessage): Uint8Array => {
  const { version, requiredSignatures, readonlySigned, readonlyUnsigned } = message
  const header = Uint8Array.of(requiredSignatures, readonlySigned, readonlyUnsigned)
  const prefixed = (bytes: Uint8Array) => [encodeCompactU16(bytes.length), bytes]
  return concatBytes(
    ...(version === 0 ? [Uint8Array.of(VERSION_FLAG)] : []),
    header,
    encodeCompactU16(message.staticKeys.length),
    ...message.staticKeys,
    message.blockhash,
    encodeCompactU16(message.instructions.length),
    ...message.instructions.flatMap(({ programIndex, accountIndexes, data }) => [
      Uint8Array.of(programIndex),
      ...prefixed(accountIndexes),
      ...prefixed(data),
    ]),
    ...(version === 0 ? [encodeCompactU16(message.lookups.length)] : []),
    ...message.lookups.flatMap(({ table, writableIndexes, readonlyIndexes }) => [
      table,
      ...prefixed(writableIndexes),
      ...prefixed(readonlyIndexes),
    ]),
  )
}

/**
 * A Solana transaction message, legacy or version 0, from its one encoding. Refuses (TRANSACTION_INVALID, naming
 * the field) other versions; truncated or trailing bytes; lengths that are not shortest compact-u16; a header
 * that counts more keys than there are or leaves no writable fee payer; a program that is the fee payer or
 * looked up; indexes beyond the last account; empty lookups; repeated keys; more than 256 accounts; and what
 * would not fit, with its signatures, into the 1232 bytes of a packet. What is kept is copied.
 */
export const decodeSolanaMessage = (bytes: Uint8Array): SolanaMessage => {
  if (bytes.length > MAX_TRANSACTION_BYTES) throw refuse('size', `is over ${MAX_TRANSACTION_BYTES} bytes`)
  const message = readMessage(bytes)
  checkMessage(message)
  if (bytes.length > maxMessageBytes(message)) throw refuse('size', 'does not fit a packet with its signatures')
  if (hasRepeatedKey(message.staticKeys)) throw refuse('account_keys', 'holds a key twice')
  if (!equalBytes(encodeSolanaMessage(message), bytes))
    throw refuse('encoding', 'has trailing bytes or a length that is not the shortest')
  return message
}

/** SIMD-0385: version 129, header, mask u32, blockhash, counts, keys, config values, then the instructions. */
const readV1 = (bytes: Uint8Array): void => {
  const cursor = createCursor(bytes)
  cursor.byte('version')
  const header = cursor.bytes(3, 'header')
  const [requiredSignatures = 0, readonlySigned = 0, readonlyUnsigned = 0] = header
  const mask = cursor.bytes(4, 'config')[0] ?? 0
  cursor.bytes(32, 'recent_blockhash')
  const [instructions = 0, keys = 0] = cursor.bytes(2, 'counts')
  if (readonlySigned >= requiredSignatures || requiredSignatures + readonlyUnsigned > keys)
    throw refuse('header', 'does not fit the keys')
  cursor.bytes(32 * keys, 'account_keys')
  const values = ((mask & 3) === 0 ? 0 : 8) + [4, 8, 16].filter((bit) => (mask & bit) !== 0).length * 4
  cursor.bytes(values, 'config')
  const heads = cursor.bytes(4 * instructions, 'instructions')
  for (let at = 0; at < heads.length; at += 4)
    cursor.bytes((heads[at + 1] ?? 0) + (heads[at + 2] ?? 0) + 256 * (heads[at + 3] ?? 0), 'instructions')
}

/**
 * Whether bytes that somebody wants signed as a message could pass for a Solana transaction: they begin with a
 * message of any version that exists (legacy, 0, 1), whether or not it is canonical and whatever follows it, so
 * that no lenient reader sees a transaction in what was signed as a message. Printable text never does: its
 * first bytes would count more keys than a transaction can hold.
 */
export const looksLikeSolanaMessage = (bytes: Uint8Array): boolean => {
  const isV1 = bytes[0] === VERSION_FLAG + 1
  if (bytes.length > (isV1 ? MAX_V1_BYTES : MAX_TRANSACTION_BYTES)) return false
  try {
    if (isV1) readV1(bytes)
    else checkMessage(readMessage(bytes))
    return true
  } catch (error) {
    if (isFailure(error)) return false
    throw error
  }
}

/** Whether the account of an index signs. */
export const isSigner = ({ requiredSignatures }: SolanaMessage, index: number): boolean =>
  index < requiredSignatures

/** Whether the message asks to write the account of an index. */
export const isWritable = (message: SolanaMessage, index: number): boolean => {
  const { requiredSignatures, readonlySigned, readonlyUnsigned, staticKeys } = message
  if (index < requiredSignatures) return index < requiredSignatures - readonlySigned
  if (index < staticKeys.length) return index < staticKeys.length - readonlyUnsigned
  return index < staticKeys.length + countLookedUp(message).writable
}
