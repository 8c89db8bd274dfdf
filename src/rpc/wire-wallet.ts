/** Wallets on the wire. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { WalletSchema } from '../../gen/countersign/v1/wallet_pb.ts'
import {
  OwnerType as WireOwnerType,
  WalletOrigin as WireOrigin,
  WalletState as WireState,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { NewWalletView, OwnerType, WalletOrigin, WalletState, WalletView } from './use-cases.ts'
import { bothWays, keyTypes, optionalTimestamp, toTimestamp } from './wire-words.ts'

export const ownerTypes = bothWays<OwnerType, WireOwnerType>({
  project: WireOwnerType.PROJECT,
  end_user: WireOwnerType.END_USER,
})

export const walletStates = bothWays<WalletState, WireState>({
  pending: WireState.PENDING,
  active: WireState.ACTIVE,
  suspended: WireState.SUSPENDED,
  archived: WireState.ARCHIVED,
})

const origins = bothWays<WalletOrigin, WireOrigin>({
  generated: WireOrigin.GENERATED,
  imported: WireOrigin.IMPORTED,
})

export const toWireWallet = (wallet: WalletView): MessageInitShape<typeof WalletSchema> => ({
  walletId: wallet.walletId,
  userId: wallet.userId,
  projectId: wallet.projectId,
  keyType: keyTypes.toWire(wallet.keyType),
  ownerType: ownerTypes.toWire(wallet.ownerType),
  label: wallet.label,
  address: wallet.address,
  publicKey: wallet.publicKeyHex,
  state: walletStates.toWire(wallet.state),
  origin: origins.toWire(wallet.origin),
  createTime: toTimestamp(wallet.createTimeMs),
  walletEpoch: wallet.walletEpoch,
  ...optionalTimestamp('exportTime', wallet.exportTimeMs),
})

/** A wallet that was just made; an end user's with the cosigner's word on whose it is. */
export const toWireNewWallet = ({ ownerWord, ...wallet }: NewWalletView) => ({
  wallet: toWireWallet(wallet),
  ...(ownerWord && { ownerStatement: { ...ownerWord, secretIds: [...ownerWord.secretIds] } }),
})
