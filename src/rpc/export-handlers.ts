/** ExportPrivateKey: from the wire to the use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  ExportPrivateKeyRequest,
  ExportPrivateKeyResponseSchema,
  SealedShareSchema,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import type { ExportedKeyView, ExportRequestArgs, PartyShareView, WalletUseCases } from './use-cases.ts'
import { toWireWallet } from './wire-wallet.ts'
import { nothingChosen, toWireReceipt } from './wire-words.ts'

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

/** The signed statement holds whole milliseconds, so a finer time could not be the one that was signed. */
const readExpiry = ({ expireTime }: ExportPrivateKeyRequest): number => {
  const { seconds, nanos } = expireTime ?? { seconds: 0n, nanos: 0 }
  const ms = Number(seconds) * 1_000 + nanos / 1_000_000
  if (Number.isSafeInteger(ms) && ms >= 0) return ms
  const violations = [{ field: 'expire_time', description: 'is a time in whole milliseconds' }]
  throw failure('INVALID_REQUEST', { violations })
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
    const asked = { recipient: readKey(request), consent: readConsent(request), expireMs: readExpiry(request) }
    return toWireExport(await wallets.exportPrivateKey(call, { walletRef, walletEpoch, nonce, ...asked }))
  }
