/** Every RPC that signs, called with something simple: what must hold of all of them is tested on all of them. */
import { create } from '@bufbuild/protobuf'
import type { CallOptions } from '@connectrpc/connect'
import type { Receipt, Signature } from '../../gen/countersign/v1/common_pb.ts'
import { EvmTransactionSchema } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { sha256 } from './callers.ts'
import { bytesOf, transactions, transferFields, unsignedBytes } from './transactions.ts'

export type SignedAnswer = { readonly signature?: Signature | undefined; readonly receipt?: Receipt | undefined }

export type AskToSign = {
  readonly wallet: string
  /** Makes what is signed differ from that of another seed. */
  readonly seed?: string
  readonly requestId?: string
}

type SigningCall = (client: CountersignClient, ask: AskToSign, options?: CallOptions) => Promise<SignedAnswer>

const typedDataOf = (seed: string): string =>
  JSON.stringify({
    types: { Note: [{ name: 'text', type: 'string' }] },
    primaryType: 'Note',
    domain: { name: 'Notes', chainId: 1 },
    message: { text: seed },
  })

const request = ({ wallet, requestId = '' }: AskToSign) => ({ wallet, requestId })

/** A number below 2^32 out of a seed. */
const numberOf = (seed: string): bigint => BigInt(Buffer.from(sha256(seed)).readUInt32BE())

const legacyTransaction = (seed: string): Uint8Array => {
  const anyone = { chainId: 1n, address: '0x', nonce: 0n, yParity: 0, r: bytesOf(''), s: bytesOf('') }
  const { legacy } = transactions(anyone)
  if (legacy === undefined) throw new Error('no legacy transaction')
  return unsignedBytes({ ...legacy.viem, nonce: Number(numberOf(seed)) })
}

export const SIGNING_CALLS: Readonly<Record<string, SigningCall>> = {
  'SignMessage text': (client, ask, options) =>
    client.wallets.signMessage({ ...request(ask), content: { case: 'text', value: ask.seed ?? 'x' } }, options),
  'SignMessage bytes': (client, ask, options) =>
    client.wallets.signMessage({ ...request(ask), content: { case: 'data', value: sha256(ask.seed ?? 'x') } }, options),
  'SignMessage is_formatted': (client, ask, options) => {
    const content = { case: 'data', value: sha256(ask.seed ?? 'x') } as const
    return client.wallets.signMessage({ ...request(ask), content, isFormatted: true }, options)
  },
  SignTypedData: (client, ask, options) =>
    client.wallets.signTypedData({ ...request(ask), typedDataJson: typedDataOf(ask.seed ?? 'x') }, options),
  'SignTransaction from fields': (client, ask, options) => {
    const value = create(EvmTransactionSchema, { ...transferFields(), nonce: numberOf(ask.seed ?? 'x') })
    return client.wallets.signTransaction({ ...request(ask), transaction: { case: 'evm', value } }, options)
  },
  'SignTransaction from bytes': (client, ask, options) => {
    const value = legacyTransaction(ask.seed ?? 'x')
    return client.wallets.signTransaction({ ...request(ask), transaction: { case: 'evmUnsigned', value } }, options)
  },
  SignAuthorization: (client, ask, options) => {
    const address = '0x11E9CA82A3a762b4B5bd264d4173a242e7a77064'
    const nonce = numberOf(ask.seed ?? 'x')
    return client.wallets.signAuthorization({ ...request(ask), chainId: 1n, address, nonce }, options)
  },
  SignDigest: (client, ask, options) =>
    client.wallets.signDigest({ ...request(ask), digest: sha256(ask.seed ?? 'x') }, options),
}

export const SIGNING_NAMES = Object.keys(SIGNING_CALLS)

export const signAs = (name: string, client: CountersignClient, ask: AskToSign, options?: CallOptions) => {
  const call = SIGNING_CALLS[name]
  if (call === undefined) throw new Error(name)
  return call(client, ask, options)
}
