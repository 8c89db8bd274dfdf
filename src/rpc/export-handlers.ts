/** ExportPrivateKey: from the wire to the use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  ExportPrivateKeyRequest,
  ExportPrivateKeyResponseSchema,
  SealedShareSchema,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { Call } from '../domain/call.ts'
import type { ExportedKeyView, ExportRequestArgs, PartyShareView, WalletUseCases } from './use-cases.ts'
import { toWireWallet } from './wire-wallet.ts'
import { nothingChosen, readExpiry, toWireReceipt } from './wire-words.ts'

const readKey = ({ exportKey }: ExportPrivateKeyRequest): ExportRequestArgs['recipient'] => {
  if (exportKey.case === undefined) throw nothingChosen('export_key')
  return { kind: exportKey.case, key: exportKey.value }
}

const readConsent = ({ consent }: ExportPrivateKeyRequest): ExportRequestArgs['consent'] => {
  if (consent.case === undefined) throw nothingChosen('consent')
  if (consent.case === 'approvalId') return { kind: 'operator', approvalId: consent.value }
  const { secretId, signature } = consent.value
  return { kind: 'wallet_secret', secretId, signature }
}

const toWireShare = ({ partyId, point, envelope }: PartyShareView): MessageInitShape<typeof SealedShareSchema> => ({
  partyId,
  publicShare: point,
  envelope,
})

const toWireExport = (exported: ExportedKeyView): MessageInitShape<typeof ExportPrivateKeyResponseSchema> => ({
  wallet: toWireWallet(exported.wallet),
  daemonShare: toWireShare(exported.daemonShare),
  cosignerShare: toWireShare(exported.cosignerShare),
  receipt: toWireReceipt(exported.receipt),
})

export const exportPrivateKeyHandler =
  (wallets: Pick<WalletUseCases, 'exportPrivateKey'>) => async (request: ExportPrivateKeyRequest, call: Call) => {
    const { wallet: walletRef, walletEpoch, nonce } = request
    const asked = { recipient: readKey(request), consent: readConsent(request), expireMs: readExpiry(request.expireTime) }
    return toWireExport(await wallets.exportPrivateKey(call, { walletRef, walletEpoch, nonce, ...asked }))
  }
