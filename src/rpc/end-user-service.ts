/** countersign.v1.EndUserService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CosignerOrder as WireOrder, WalletSecretSchema } from '../../gen/countersign/v1/end_user_pb.ts'
import type { CosignerOrder, EndUserUseCases, WalletSecretView } from './end-user-use-cases.ts'
import type { Handlers } from './pipeline.ts'
import { signInHandlers } from './sign-in-handlers.ts'
import { fromTimestamp, readExpiry, toTimestamp } from './wire-words.ts'

const toWireSecret = (secret: WalletSecretView): MessageInitShape<typeof WalletSecretSchema> => ({
  walletSecretId: secret.walletSecretId,
  publicKey: secret.publicKey,
  validUntil: toTimestamp(secret.validUntilMs),
  createTime: toTimestamp(secret.createTimeMs),
})

const readOrder = (order: WireOrder | undefined): CosignerOrder | undefined =>
  order && { signedBy: order.signedBy, signature: order.signature, nonce: order.nonce, expireMs: readExpiry(order.expireTime) }

export const createEndUserService = (endUsers: EndUserUseCases): Handlers<'endUser'> => ({
  ...signInHandlers(endUsers),
  registerWalletSecret: async ({ walletSecretId, publicKey, validUntil, cosignerOrder: order }, call) => {
    // The message's rules require it.
    const validUntilMs = fromTimestamp(validUntil) ?? 0
    const secret = await endUsers.registerWalletSecret(call, { walletSecretId, publicKey, validUntilMs, cosignerOrder: readOrder(order) })
    return { walletSecret: toWireSecret(secret) }
  },
  listWalletSecrets: async (_request, call) => ({
    walletSecrets: (await endUsers.listWalletSecrets(call)).map(toWireSecret),
  }),
  revokeWalletSecret: async ({ walletSecretId, cosignerOrder: order }, call) => ({
    walletSecret: toWireSecret(await endUsers.revokeWalletSecret(call, { walletSecretId, cosignerOrder: readOrder(order) })),
  }),
})
