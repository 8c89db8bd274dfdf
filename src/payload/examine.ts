import { failure } from '../domain/failure.ts'
import type { Authorization } from './authorization.ts'
import { checkAuthorization, hashAuthorization } from './authorization.ts'
import { toHex } from './bytes.ts'
import { decodeUnsignedTransaction } from './decode-transaction.ts'
import { describeTransaction } from './describe-transaction.ts'
import { checkDigest } from './digest.ts'
import type { SigningFacts } from './facts.ts'
import { tokenKey, totalSpends } from './facts.ts'
import { keccak256 } from './keccak.ts'
import { hashMessage } from './message.ts'
import { readPermit } from './permits.ts'
import type { SigningContent, SigningPayload } from './signing-payload.ts'
import type { EvmTransaction } from './transaction.ts'
import type { TypedData } from './typed-data.ts'
import { hashTypedData, parseTypedData } from './typed-data.ts'

export type Examination = {
  /** The 32 bytes to sign. */
  readonly digest: Uint8Array
  readonly facts: SigningFacts
  /** The decoded transaction, to attach the signature to. */
  readonly transaction?: EvmTransaction
}

const NOTHING = { chainIds: [], destinations: [], spends: [], delegations: [] } as const

const PRINTABLE = /[^\x20-\x7e]/g
const printable = (text: string): string => text.slice(0, 64).replaceAll(PRINTABLE, '?')

/** A message, under either kind of key. */
export const describeMessage = (message: Uint8Array): SigningFacts => ({
  ...NOTHING,
  operation: 'message',
  effect: 'opaque',
  summary: `message of ${message.length} bytes`,
})

const describeTypedData = (typedData: TypedData): SigningFacts => {
  const { domain, primaryType } = typedData
  const name = domain.get('name')
  const chainId = domain.get('chainId')
  const contract = domain.get('verifyingContract')
  const verifyingContract = contract instanceof Uint8Array ? toHex(contract) : undefined
  const permit = readPermit(typedData)
  const chain = typeof chainId === 'bigint' ? chainId : undefined
  return {
    operation: 'typed-data',
    effect: permit === undefined ? 'opaque' : 'transfer',
    chainIds: chain === undefined ? [] : [chain],
    destinations: [
      ...(verifyingContract === undefined
        ? []
        : [{ role: 'verifying-contract' as const, address: verifyingContract }]),
      ...(permit?.reaches ?? []),
    ],
    spends: totalSpends((permit?.allows ?? []).map(({ token, amount }) => [tokenKey(chain ?? 0n, token), amount])),
    delegations: [],
    typedData: {
      primaryType,
      ...(typeof name === 'string' && { domainName: name }),
      ...(chain !== undefined && { chainId: chain }),
      ...(verifyingContract !== undefined && { verifyingContract }),
    },
    summary: [
      `typed data ${printable(primaryType)}`,
      ...(typeof name === 'string' ? [`of ${printable(name)}`] : []),
      ...(chain === undefined ? [] : [`on chain ${chain}`]),
      ...(verifyingContract === undefined ? [] : [`for ${verifyingContract}`]),
    ].join(' '),
  }
}

const describeAuthorization = ({ chainId, address, nonce }: Authorization): SigningFacts => {
  const delegate = toHex(address)
  return {
    operation: 'authorization',
    effect: 'delegation',
    chainIds: [chainId],
    destinations: [{ role: 'delegate', address: delegate }],
    spends: [],
    delegations: [{ chainId, delegate }],
    nonce,
    summary: `authorization of ${delegate} on ${chainId === 0n ? 'every chain' : `chain ${chainId}`}`,
  }
}

const describeDigest = (): SigningFacts => ({
  ...NOTHING,
  operation: 'digest',
  effect: 'opaque',
  summary: 'digest whose meaning is not known',
})

/**
 * Derives what is signed and what it does from the content of a signing payload, strictly: content that is
 * malformed is refused with its own reason (TYPED_DATA_INVALID, TRANSACTION_INVALID, AUTHORIZATION_INVALID,
 * REQUEST_TOO_LARGE), a digest that is zero as a scalar with DIGEST_REFUSED, a Solana message with
 * KEY_TYPE_UNSUPPORTED: this is for secp256k1 wallets, `examineEd25519` for the others. Both parties call this;
 * neither takes the other's digest.
 */
export const examine = (content: SigningContent): Examination => {
  if (content.kind === 'message')
    return { digest: checkDigest(hashMessage(content.message)), facts: describeMessage(content.message) }
  if (content.kind === 'typed-data') {
    const typedData = parseTypedData(content.json)
    return { digest: checkDigest(hashTypedData(typedData)), facts: describeTypedData(typedData) }
  }
  if (content.kind === 'transaction') {
    const transaction = decodeUnsignedTransaction(content.unsigned)
    const digest = checkDigest(keccak256(content.unsigned))
    return { digest, facts: describeTransaction(transaction), transaction }
  }
  if (content.kind === 'authorization') {
    const authorization = checkAuthorization(content)
    return { digest: checkDigest(hashAuthorization(authorization)), facts: describeAuthorization(authorization) }
  }
  if (content.kind === 'solana-message') {
    const operation = 'signing a Solana transaction'
    throw failure('KEY_TYPE_UNSUPPORTED', { keyType: 'KEY_TYPE_SECP256K1', operation })
  }
  return { digest: checkDigest(content.digest), facts: describeDigest() }
}

/** The 32 bytes that a payload asks to sign. Refuses as `examine`. */
export const digestOf = (payload: SigningPayload): Uint8Array => examine(payload.content).digest

/** What a payload asks to sign, for decisions and the audit row. Refuses as `examine`. */
export const describe = (payload: SigningPayload): SigningFacts => examine(payload.content).facts
