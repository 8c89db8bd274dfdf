/** Which wallets the signing script signs with, and how a request names one of them. */
import type { Caller } from '../domain/call.ts'
import type { ProjectId, WalletId } from '../domain/ids.ts'
import type { SigningContent, SigningMethod } from '../payload/signing-payload.ts'
import type { Reader } from '../vault/store.ts'
import { getWallet, type KeyType, type Wallet } from '../vault/wallets.ts'
import { resolveWallet, resolveWalletOfKind } from './resolve-wallet.ts'

export type WalletRequest = {
  readonly walletRef: string
  readonly method: SigningMethod
  readonly content: SigningContent
  /** Only wallets of this kind count, where the request decides it. */
  readonly keyType?: KeyType
}

export type SigningWallets = {
  /** The one that the request names, within the caller's reach. */
  readonly find: (reader: Reader, caller: Caller, request: WalletRequest) => Wallet
  /** As it is now. */
  readonly get: (reader: Reader, walletId: WalletId) => Wallet | undefined
  /** The project that the other party is told; absent, the wallet's own. */
  readonly payloadProject?: ProjectId
}

/** Where the RPC's name does not say which kind of key it takes. */
const OPERATIONS: { readonly [K in SigningContent['kind']]?: string } = {
  transaction: 'signing an EVM transaction',
  'solana-message': 'signing a Solana transaction',
}

/** What a request that decides the kind of key asks for, in words. */
export const operationOf = ({ method, content }: WalletRequest): string => OPERATIONS[content.kind] ?? method

/** Refuses as `resolveWallet` and `resolveWalletOfKind`. */
export const OWN_WALLETS: SigningWallets = {
  find: (reader, caller, request) => {
    const { walletRef, keyType } = request
    if (keyType === undefined) return resolveWallet(reader, caller, walletRef)
    return resolveWalletOfKind(reader, caller, walletRef, { keyType, operation: operationOf(request) })
  },
  get: getWallet,
}
