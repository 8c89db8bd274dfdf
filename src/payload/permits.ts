import { toHex } from './bytes.ts'
import type { Destination } from './facts.ts'
import { UNLIMITED } from './token-calls.ts'
import type { TypedData } from './typed-data.ts'
import type { StructValue } from './typed-data-values.ts'

/**
 * Typed data that lets somebody move tokens, known by its exact type: ERC-2612, DAI's older permit, ERC-3009, and
 * Permit2. Everything else that is typed is opaque.
 */
export type Permit = {
  readonly reaches: readonly Destination[]
  /** Token contracts in lower case, with what may be moved of each. */
  readonly allows: readonly { readonly token: string; readonly amount: bigint }[]
}

/** The one address at which Permit2 is deployed on most chains; elsewhere its types mean nothing known. */
const PERMIT2 = '0x000000000022d473030f116ddee9f6b43ac78ba3'
const DETAILS = 'PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)'
const PERMISSIONS = 'TokenPermissions(address token,uint256 amount)'
const TRANSFER_TERMS = 'address spender,uint256 nonce,uint256 deadline'
const TRANSFER_FIELDS =
  '(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)'

const addressAt = (struct: StructValue, name: string): string => toHex(struct.get(name) as Uint8Array)
const amountAt = (struct: StructValue, name: string): bigint => struct.get(name) as bigint

type ReadPermit = (message: StructValue, contract: string) => Permit

const ofContract =
  (role: 'spender' | 'recipient', who: string, readAmount: (message: StructValue) => bigint): ReadPermit =>
  (message, contract) => ({
    reaches: [{ role, address: addressAt(message, who) }],
    allows: [{ token: contract, amount: readAmount(message) }],
  })

const ofPermit2 =
  (member: string): ReadPermit =>
  (message) => {
    const listed = message.get(member) as StructValue | readonly StructValue[]
    const entries = listed instanceof Map ? [listed as StructValue] : (listed as readonly StructValue[])
    const allows = entries.map((entry) => ({
      token: addressAt(entry, 'token'),
      amount: amountAt(entry, 'amount'),
    }))
    const tokens = allows.map(({ token }) => ({ role: 'token' as const, address: token }))
    return { reaches: [{ role: 'spender', address: addressAt(message, 'spender') }, ...tokens], allows }
  }

const value = (message: StructValue) => amountAt(message, 'value')
const unlimitedIfAllowed = (message: StructValue) => (message.get('allowed') === true ? UNLIMITED : 0n)

const ON_TOKEN: ReadonlyMap<string, ReadPermit> = new Map([
  [
    'Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)',
    ofContract('spender', 'spender', value),
  ],
  [
    'Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)',
    ofContract('spender', 'spender', unlimitedIfAllowed),
  ],
  [`TransferWithAuthorization${TRANSFER_FIELDS}`, ofContract('recipient', 'to', value)],
  [`ReceiveWithAuthorization${TRANSFER_FIELDS}`, ofContract('recipient', 'to', value)],
])

const ON_PERMIT2: ReadonlyMap<string, ReadPermit> = new Map([
  [`PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)${DETAILS}`, ofPermit2('details')],
  [`PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline)${DETAILS}`, ofPermit2('details')],
  [
    `PermitTransferFrom(TokenPermissions permitted,${TRANSFER_TERMS})${PERMISSIONS}`,
    ofPermit2('permitted'),
  ],
  [
    `PermitBatchTransferFrom(TokenPermissions[] permitted,${TRANSFER_TERMS})${PERMISSIONS}`,
    ofPermit2('permitted'),
  ],
])

/**
 * What a permit allows, or undefined when the typed data is none: its type is not exactly one of the known, or its
 * domain lacks the chain or the contract that give it its meaning.
 */
export const readPermit = (typedData: TypedData): Permit | undefined => {
  const { domain, message, primaryType, types } = typedData
  const contract = domain.get('verifyingContract')
  if (!(contract instanceof Uint8Array) || domain.get('chainId') === undefined) return undefined
  const address = toHex(contract)
  const known = address === PERMIT2 ? ON_PERMIT2 : ON_TOKEN
  return known.get(types.encodeType.get(primaryType) ?? '')?.(message, address)
}
