import {
  type Address,
  bytesToHex,
  getAddress,
  getTypesForEIP712Domain,
  getTransactionType,
  hashMessage,
  hashTypedData,
  type Hex,
  hexToBytes,
  isAddressEqual,
  keccak256,
  type LocalAccount,
  type Prettify,
  serializeTransaction,
  type SerializeTransactionFn,
  type SignableMessage,
  stringify,
  type TransactionSerializable,
  type TypedDataDefinition,
} from 'viem'
import { publicKeyToAddress, toAccount } from 'viem/accounts'
import { hashAuthorization } from 'viem/utils'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { EvmSignedAuthorization, Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from './countersign-client.ts'
import { AnswerMismatchError, verifySignature } from './verify-signature.ts'

export type CountersignAccount = Prettify<
  LocalAccount<'countersign'> & {
    readonly sign: NonNullable<LocalAccount['sign']>
    readonly signAuthorization: NonNullable<LocalAccount['signAuthorization']>
    readonly walletId: string
  }
>

type SigningClient = Pick<CountersignClient, 'wallets'>
type SigningWallet = Pick<Wallet, 'walletId' | 'address' | 'publicKey' | 'keyType'>
type Signer = { readonly client: SigningClient; readonly walletId: string; readonly address: Address }

/** The content of a SignMessage request for viem's two forms of a message. */
const contentOf = (message: SignableMessage) => {
  if (typeof message === 'string') return { case: 'text' as const, value: message }
  const { raw } = message
  return { case: 'data' as const, value: typeof raw === 'string' ? hexToBytes(raw) : raw }
}

const signMessage = async (signer: Signer, message: SignableMessage): Promise<Hex> => {
  const answer = await signer.client.wallets.signMessage({ wallet: signer.walletId, content: contentOf(message) })
  return (await verifySignature(hashMessage(message), signer.address, answer.signature)).hex
}

/** The JSON of `eth_signTypedData_v4`, EIP712Domain included; integers beyond a number's range as decimal strings. */
const typedDataJson = (definition: TypedDataDefinition): string => {
  const { primaryType } = definition
  const domain = definition.domain ?? {}
  const types = { EIP712Domain: getTypesForEIP712Domain({ domain }), ...definition.types }
  const message = primaryType === 'EIP712Domain' ? {} : definition.message
  return stringify({ types, primaryType, domain, message })
}

const signTypedData = async (signer: Signer, definition: TypedDataDefinition): Promise<Hex> => {
  const hash = hashTypedData(definition)
  const request = { wallet: signer.walletId, typedDataJson: typedDataJson(definition) }
  const answer = await signer.client.wallets.signTypedData(request)
  return (await verifySignature(hash, signer.address, answer.signature)).hex
}

/** A blob transaction is signed, and hashed, without its blobs (EIP-4844, "Networking"). */
const withoutBlobs = (transaction: TransactionSerializable): TransactionSerializable =>
  getTransactionType(transaction) === 'eip4844'
    ? ({ ...transaction, sidecars: false } as TransactionSerializable)
    : transaction

const signTransaction = async (
  signer: Signer,
  transaction: TransactionSerializable,
  serializer: SerializeTransactionFn,
): Promise<Hex> => {
  const body = withoutBlobs(transaction)
  const unsigned = await serializer(body)
  const answer = await signer.client.wallets.signTransaction({
    wallet: signer.walletId,
    transaction: { case: 'evmUnsigned', value: hexToBytes(unsigned) },
  })
  const { r, s, v, yParity } = await verifySignature(keccak256(unsigned), signer.address, answer.signature)
  const signed = await serializer(body, { r, s, v, yParity })
  if (bytesToHex(answer.signedTransaction) !== signed) throw new AnswerMismatchError('it signed another transaction')
  if (answer.transactionHash !== keccak256(signed)) throw new AnswerMismatchError('its transaction hash is another')
  return body === transaction ? signed : serializer(transaction, { r, s, v, yParity })
}

type AuthorizationContent = { readonly address: Address; readonly chainId: number; readonly nonce: number }

const isSameAuthorization = (answer: EvmSignedAuthorization | undefined, asked: AuthorizationContent): boolean =>
  answer !== undefined &&
  isAddressEqual(answer.address as Address, asked.address) &&
  answer.chainId === BigInt(asked.chainId) &&
  answer.nonce === BigInt(asked.nonce)

const signAuthorization = async (signer: Signer, asked: AuthorizationContent) => {
  const { address, chainId, nonce } = asked
  const answer = await signer.client.wallets.signAuthorization({
    wallet: signer.walletId,
    address,
    chainId: BigInt(chainId),
    nonce: BigInt(nonce),
  })
  if (!isSameAuthorization(answer.authorization, asked)) throw new AnswerMismatchError('it authorised something else')
  const { r, s, v, yParity } = await verifySignature(hashAuthorization(asked), signer.address, answer.signature)
  return { address, chainId, nonce, r, s, v, yParity }
}

const sign = async (signer: Signer, hash: Hex): Promise<Hex> => {
  const answer = await signer.client.wallets.signDigest({ wallet: signer.walletId, digest: hexToBytes(hash) })
  return (await verifySignature(hash, signer.address, answer.signature)).hex
}

/** The wallet's address, if it is the address of its public key. */
const checkedAddress = (wallet: SigningWallet): Address => {
  if (wallet.keyType !== KeyType.SECP256K1) throw new TypeError('a viem account needs a secp256k1 wallet')
  if (!/^04[0-9a-f]{128}$/.test(wallet.publicKey)) throw new AnswerMismatchError('the public key is malformed')
  const address = publicKeyToAddress(`0x${wallet.publicKey}`)
  if (getAddress(wallet.address) !== address) throw new AnswerMismatchError('the address is not the public key\'s')
  return address
}

/**
 * A viem account that signs with a Countersign wallet.
 *
 * Every answer is checked here before it is returned: what was signed is computed from the caller's own input, the
 * signature must recover to the wallet's address, and a signed transaction must be the one that was asked for
 * (AnswerMismatchError otherwise). Refusals of the daemon are CountersignErrors.
 *
 * All transaction types of viem are signed, with a custom serializer too as long as it writes one of them: the daemon
 * reads the unsigned bytes and signs nothing it cannot read. `sign` (a bare digest) needs the permission `sign:digest`,
 * `signAuthorization` needs `sign:authorization`. Throws TypeError for a wallet of another key type.
 */
export const toCountersignAccount = (client: SigningClient, wallet: SigningWallet): CountersignAccount => {
  const address = checkedAddress(wallet)
  const signer: Signer = { client, walletId: wallet.walletId, address }
  const account = toAccount({
    address,
    sign: ({ hash }) => sign(signer, hash),
    signMessage: ({ message }) => signMessage(signer, message),
    signTypedData: (definition) => signTypedData(signer, definition as TypedDataDefinition),
    signTransaction: (transaction, options) =>
      signTransaction(
        signer,
        transaction as TransactionSerializable,
        (options?.serializer ?? serializeTransaction) as SerializeTransactionFn,
      ),
    signAuthorization: ({ address: target, contractAddress, chainId, nonce }) =>
      signAuthorization(signer, { address: contractAddress ?? target, chainId, nonce }),
  })
  const publicKey: Hex = `0x${wallet.publicKey}`
  return { ...account, publicKey, source: 'countersign', walletId: wallet.walletId } as CountersignAccount
}
