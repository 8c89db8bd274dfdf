/** What a Solana node's answers must look like to be answers, as texts that can be compared. */
import { decodeBase58 } from '../domain/base58.ts'

type Fields = { readonly [name: string]: unknown }

const KEY_BYTES = 32
const MAX_INSTRUCTIONS = 256
/** Of one account; what is asked for is less. */
const MAX_ACCOUNT_CHARACTERS = 16_384
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const refuse = (): never => {
  throw new Error('a field that is not what it should be')
}

const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : refuse())

const listOf = (value: unknown, most: number): readonly unknown[] => (Array.isArray(value) && value.length <= most ? value : refuse())

/** Node writes u64 as JSON numbers; those that a double does not hold exactly are not read. */
export const readCount = (value: unknown): number => (Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : refuse())

const readKey = (value: unknown): string =>
  typeof value === 'string' && value.length <= 44 && decodeBase58(value)?.length === KEY_BYTES ? value : refuse()

const readBase64 = (value: unknown, most: number): string => {
  const [text, encoding] = listOf(value, 2)
  if (encoding !== 'base64' || typeof text !== 'string' || text.length > most || !BASE64.test(text)) return refuse()
  return text
}

/** An answer with the slot that it is of. */
export type AtSlot<T> = { readonly slot: number; readonly value: T }

/** What stands in `value` behind the context that such answers carry. */
export const readAtSlot =
  <T>(read: (value: unknown) => T) =>
  (result: unknown): AtSlot<T> => {
    const { context, value } = fieldsOf(result)
    return { slot: readCount(fieldsOf(context)['slot']), value: read(value) }
  }

const readAccount = (value: unknown) => {
  if (value === null) return null
  // Not the lamports: those of a busy account are others in every slot.
  const { owner, data } = fieldsOf(value)
  return [readKey(owner), readBase64(data, MAX_ACCOUNT_CHARACTERS)] as const
}

export type SolanaAccount = { readonly owner: string; readonly data: Uint8Array }

/** getMultipleAccounts. */
export const readAccounts =
  (count: number) =>
  (value: unknown): string => {
    const accounts = listOf(value, count).map(readAccount)
    return accounts.length === count ? JSON.stringify(accounts) : refuse()
  }

export const parseAccounts = (text: string): readonly (SolanaAccount | undefined)[] =>
  (JSON.parse(text) as (readonly [string, string] | null)[]).map((account) =>
    account === null ? undefined : { owner: account[0], data: new Uint8Array(Buffer.from(account[1], 'base64')) },
  )

const readInnerInstruction = (value: unknown) => {
  const { programIdIndex, accounts, data } = fieldsOf(value)
  if (typeof data !== 'string') return refuse()
  return [readCount(programIdIndex), listOf(accounts, 256).map(readCount), data] as const
}

const readInner = (value: unknown) => {
  const { index, instructions } = fieldsOf(value)
  return [readCount(index), listOf(instructions, MAX_INSTRUCTIONS).map(readInnerInstruction)] as const
}

/** getTransaction, in base64. */
export const readTransaction = (result: unknown): string => {
  if (result === null) return 'null'
  const { slot, meta, transaction } = fieldsOf(result)
  const { err, innerInstructions, loadedAddresses } = fieldsOf(meta)
  if (err === undefined) return refuse()
  const { writable, readonly } = loadedAddresses === undefined || loadedAddresses === null ? { writable: [], readonly: [] } : fieldsOf(loadedAddresses)
  const loaded = [...listOf(writable, 256), ...listOf(readonly, 256)].map(readKey)
  const inner = innerInstructions === null || innerInstructions === undefined ? [] : listOf(innerInstructions, MAX_INSTRUCTIONS).map(readInner)
  return JSON.stringify([readCount(slot), err === null, readBase64(transaction, 4_096), loaded, inner])
}

export type SolanaTransactionAnswer = {
  readonly slot: number
  readonly succeeded: boolean
  readonly wire: Uint8Array
  /** Addresses out of lookup tables, those written first. */
  readonly loaded: readonly string[]
  readonly inner: readonly (readonly [index: number, readonly (readonly [program: number, accounts: readonly number[], data: string])[]])[]
}

export const parseTransaction = (text: string): SolanaTransactionAnswer | undefined => {
  if (text === 'null') return undefined
  const [slot, succeeded, wire, loaded, inner] = JSON.parse(text) as [number, boolean, string, string[], SolanaTransactionAnswer['inner']]
  return { slot, succeeded, wire: new Uint8Array(Buffer.from(wire, 'base64')), loaded, inner }
}

export const SOLANA_COMMITMENTS = ['processed', 'confirmed', 'finalized'] as const
export type SolanaCommitment = (typeof SOLANA_COMMITMENTS)[number]

/** `unknown`: no block that the node knows has it. */
export type SolanaStatus =
  | { readonly state: 'unknown' }
  | { readonly state: SolanaCommitment; readonly succeeded: boolean; readonly slot: bigint }

const readStatus = (status: unknown): SolanaStatus => {
  if (status === null) return { state: 'unknown' }
  const { slot, err, confirmationStatus } = fieldsOf(status)
  const state = SOLANA_COMMITMENTS.find((one) => one === confirmationStatus)
  if (state === undefined || err === undefined) return refuse()
  return { state, succeeded: err === null, slot: BigInt(readCount(slot)) }
}

/** getSignatureStatuses. */
export const readStatuses =
  (count: number) =>
  (value: unknown): readonly SolanaStatus[] => {
    const statuses = listOf(value, count).map(readStatus)
    return statuses.length === count ? statuses : refuse()
  }

/** getLatestBlockhash. */
export const readBlockhash = (value: unknown): { readonly blockhash: string; readonly lastValidBlockHeight: number } => {
  const { blockhash, lastValidBlockHeight } = fieldsOf(value)
  return { blockhash: readKey(blockhash), lastValidBlockHeight: readCount(lastValidBlockHeight) }
}

/** simulateTransaction: the units that it used; why it fails a node says in words of its own, which go nowhere. */
export const readSimulation = (value: unknown): { readonly units: number } | 'fails' => {
  const { err, unitsConsumed } = fieldsOf(value)
  if (err === undefined) return refuse()
  if (err !== null) return 'fails'
  return { units: unitsConsumed === undefined ? 0 : readCount(unitsConsumed) }
}

/** getRecentPrioritizationFees: what was paid a compute unit, in micro-lamports. */
export const readPriorityFees = (result: unknown): readonly number[] =>
  listOf(result, 1_000).map((one) => readCount(fieldsOf(one)['prioritizationFee']))

/** sendTransaction. */
export const readSent = (signature: string) => (result: unknown): true => (result === signature ? true : refuse())
