/** GetImportKeys and ImportPrivateKey: from the wire to the use cases and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ImportKeySchema, ImportPrivateKeyRequest } from '../../gen/countersign/v1/wallet_pb.ts'
import type { Call } from '../domain/call.ts'
import type { ImportKeyView, ImportRequestArgs, WalletUseCases } from './use-cases.ts'
import { ownerTypes, toWireNewWallet } from './wire-wallet.ts'
import { keyTypes, nothingChosen, readExpiry, toTimestamp } from './wire-words.ts'

const toWireKey = ({ expireMs, ...key }: ImportKeyView): MessageInitShape<typeof ImportKeySchema> => ({
  ...key,
  expireTime: toTimestamp(expireMs),
})

const readImport = (request: ImportPrivateKeyRequest): ImportRequestArgs => {
  const keyType = keyTypes.fromWire(request.keyType)
  if (keyType === undefined) throw nothingChosen('key_type')
  const { userId, label, importId, publicKey, chainCode, walletSecret: proof } = request
  return {
    userId,
    keyType,
    label,
    ownerType: ownerTypes.fromWire(request.ownerType) ?? 'project',
    walletSecret: proof && { publicKey: proof.publicKey, signature: proof.signature },
    expireMs: readExpiry(request.expireTime),
    opening: { importId, publicKey, pointC: request.daemonPoint, pointS: request.cosignerPoint, chainCode },
    envelopeC: request.daemonEnvelope,
    envelopeS: request.cosignerEnvelope,
  }
}

export const importHandlers = (wallets: Pick<WalletUseCases, 'getImportKeys' | 'importPrivateKey'>) => ({
  getImportKeys: async (_request: unknown, call: Call) => {
    const { daemon, cosigner } = await wallets.getImportKeys(call)
    return { daemon: toWireKey(daemon), cosigner: toWireKey(cosigner) }
  },
  importPrivateKey: async (request: ImportPrivateKeyRequest, call: Call) =>
    toWireNewWallet(await wallets.importPrivateKey(call, readImport(request))),
})
