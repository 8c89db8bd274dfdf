/** What stands in the accounts of the two token programs (spl-token `Account` and `Mint`; Token-2022 puts extensions behind). */
import { equalBytes } from './bytes.ts'

export type SolanaTokenAccount = {
  /** 32 bytes each. */
  readonly mint: Uint8Array
  readonly owner: Uint8Array
  readonly amount: bigint
  /** Who may move how much beside the owner; undefined where nobody may. */
  readonly delegate: Uint8Array | undefined
  readonly delegatedAmount: bigint
  readonly isFrozen: boolean
}

export type SolanaMint = {
  readonly decimals: number
  /** Why a plain `TransferChecked` does not move what it says of this mint; undefined where it does. */
  readonly oddity: string | undefined
}

const ACCOUNT_BYTES = 165
const MINT_BYTES = 82
/** Behind the bytes of an account: what kind of account it is, then its extensions. */
const KIND_AT = ACCOUNT_BYTES
const KIND_MINT = 1
const KIND_ACCOUNT = 2
const ZERO = new Uint8Array(32)

const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength)

/** Undefined for what is no initialised token account. */
export const decodeTokenAccount = (data: Uint8Array): SolanaTokenAccount | undefined => {
  const isExtended = data.length > ACCOUNT_BYTES && data[KIND_AT] === KIND_ACCOUNT
  if (data.length !== ACCOUNT_BYTES && !isExtended) return undefined
  const view = viewOf(data)
  const [hasDelegate, state] = [view.getUint32(72, true), view.getUint8(108)]
  if (hasDelegate > 1 || (state !== 1 && state !== 2)) return undefined
  return {
    mint: data.slice(0, 32),
    owner: data.slice(32, 64),
    amount: view.getBigUint64(64, true),
    delegate: hasDelegate === 1 ? data.slice(76, 108) : undefined,
    delegatedAmount: hasDelegate === 1 ? view.getBigUint64(121, true) : 0n,
    isFrozen: state === 2,
  }
}

const TRANSFER_FEE_CONFIG = 1
const TRANSFER_FEE_BYTES = 108
const TRANSFER_HOOK = 14
/** Extensions that leave it at what a transfer says: who may close the mint or mint more, metadata, groups, and so on. */
const HARMLESS: ReadonlySet<number> = new Set([
  3, // close authority
  4, // confidential transfers, which a plain one is not
  6, // new accounts are frozen: a transfer fails, and moves nothing
  10, // interest that only what is shown has
  12, // permanent delegate: may take what anybody has, and moves nothing of ours
  16, // the fees of confidential transfers
  18, 19, 20, 21, 22, 23, // metadata, groups, members
  25, // a scale that only what is shown has
  26, // while it is paused a transfer fails
])

/** The fee of a transfer, of this epoch and of the next, in basis points. */
const hasFee = (value: Uint8Array): boolean => {
  const view = viewOf(value)
  return value.length !== TRANSFER_FEE_BYTES || view.getUint16(88, true) !== 0 || view.getUint16(106, true) !== 0
}

const oddityOf = (data: Uint8Array): string | undefined => {
  const view = viewOf(data)
  for (let at = KIND_AT + 1; at + 4 <= data.length; ) {
    const [type, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)]
    if (type === 0) return undefined
    const value = data.subarray(at + 4, at + 4 + length)
    if (value.length !== length) return 'its extensions cannot be read'
    if (type === TRANSFER_FEE_CONFIG && hasFee(value)) return 'its transfers cost a fee in the token'
    if (type === TRANSFER_HOOK && !equalBytes(value.subarray(32), ZERO)) return 'its transfers call a program of their own'
    if (type !== TRANSFER_FEE_CONFIG && type !== TRANSFER_HOOK && !HARMLESS.has(type)) return `it has an extension (${type}) that changes transfers`
    at += 4 + length
  }
  return undefined
}

/** Undefined for what is no initialised mint. */
export const decodeMint = (data: Uint8Array): SolanaMint | undefined => {
  const isExtended = data.length > ACCOUNT_BYTES && data[KIND_AT] === KIND_MINT
  if ((data.length !== MINT_BYTES && !isExtended) || data[45] !== 1) return undefined
  return { decimals: data[44] ?? 0, oddity: isExtended ? oddityOf(data) : undefined }
}
