/** countersign.v1.WalletService: from the wire to a use case and back. */
import type { VerifySignatureRequest } from '../../gen/countersign/v1/wallet_pb.ts'
import { ListWalletsRequestSchema, SignerKind } from '../../gen/countersign/v1/wallet_pb.ts'
import { toWireAuthorization } from './evm-fields.ts'
import { exportPrivateKeyHandler } from './export-handlers.ts'
import { importHandlers } from './import-handlers.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { Handlers } from './pipeline.ts'
import { sendHandlers } from './send-handlers.ts'
import type { SendingUseCases } from './send-use-cases.ts'
import { signStream } from './sign-stream.ts'
import type {
  SigningUseCases,
  VerifiedContent,
  WalletUseCases,
} from './use-cases.ts'
import { ownerTypes, toWireNewWallet, toWireWallet, walletStates } from './wire-wallet.ts'
import { readMessage, readTransaction, toWireSigned, toWireTransaction } from './wire-signing.ts'
import { keyTypes, nothingChosen, orAbsent, toTimestamp, toWireReceipt, toWireSignature } from './wire-words.ts'

const SIGNER_KINDS = {
  eoa: SignerKind.EOA,
  ed25519: SignerKind.ED25519,
  contract: SignerKind.CONTRACT,
  counterfactual: SignerKind.COUNTERFACTUAL,
} as const

const readVerifiedContent = ({ content }: VerifySignatureRequest): VerifiedContent => {
  switch (content.case) {
    case 'text':
      return { kind: 'text', text: content.value }
    case 'data':
      return { kind: 'data', data: content.value }
    case 'typedDataJson':
      return { kind: 'typed_data', json: content.value }
    case 'digest':
      return { kind: 'digest', digest: content.value }
    case undefined:
      throw nothingChosen('content')
  }
}

const readSigner = ({ signer }: VerifySignatureRequest) => {
  switch (signer.case) {
    case 'address':
      return { kind: 'address', address: signer.value } as const
    case 'wallet':
      return { kind: 'wallet', walletRef: signer.value } as const
    case undefined:
      throw nothingChosen('signer')
  }
}

const signingHandlers = (signing: SigningUseCases) =>
  ({
    signMessage: async ({ wallet: walletRef, content: chosen, isFormatted }, call) => {
      const content = readMessage(chosen)
      return toWireSigned(await signing.signMessage(call, { walletRef, content, isFormatted }))
    },
    signTypedData: async ({ wallet: walletRef, typedDataJson: json }, call) =>
      toWireSigned(await signing.signTypedData(call, { walletRef, json })),
    signTransaction: async (request, call) => {
      const transaction = readTransaction(request.transaction)
      const signed = await signing.signTransaction(call, { walletRef: request.wallet, transaction })
      return toWireTransaction(signed)
    },
    signAuthorization: async ({ wallet: walletRef, chainId, address, nonce }, call) => {
      const signed = await signing.signAuthorization(call, { walletRef, chainId, address, nonce })
      return { ...toWireSigned(signed), authorization: toWireAuthorization(signed.authorization) }
    },
    signDigest: async ({ wallet: walletRef, digest }, call) => {
      const { signature, receipt } = await signing.signDigest(call, { walletRef, digest })
      return { signature: toWireSignature(signature), receipt: toWireReceipt(receipt) }
    },
    verifySignature: async (request, call) => {
      const checked = await signing.verifySignature(call, {
        signer: readSigner(request),
        content: readVerifiedContent(request),
        signature: request.signature,
        network: orAbsent(request.network),
      })
      return {
        valid: checked.valid,
        signerKind: SIGNER_KINDS[checked.signerKind],
        recoveredAddress: checked.recoveredAddress ?? '',
        digest: checked.digest,
        blockNumber: checked.block ?? 0n,
      }
    },
  }) satisfies Partial<Handlers<'wallet'>>

export const createWalletService = (
  wallets: WalletUseCases,
  signing: SigningUseCases,
  sending: SendingUseCases,
  tokens: PageTokens,
): Handlers<'wallet'> => ({
  ...signingHandlers(signing),
  ...sendHandlers(sending, tokens),
  createWallet: async (request, call) => {
    const keyType = keyTypes.fromWire(request.keyType)
    if (keyType === undefined) throw nothingChosen('key_type')
    const ownerType = ownerTypes.fromWire(request.ownerType) ?? (call.caller.kind === 'end_user' ? 'end_user' : 'project')
    const { userId, label, walletSecret: proof } = request
    const walletSecret = proof && { publicKey: proof.publicKey, signature: proof.signature }
    const args = { userId, keyType, ownerType, label, walletSecret }
    return toWireNewWallet(await wallets.createWallet(call, args))
  },
  getWallet: async ({ wallet: walletRef, keyType }, call) => ({
    wallet: toWireWallet(await wallets.getWallet(call, { walletRef, keyType: keyTypes.fromWire(keyType) })),
  }),
  listWallets: async (request, call) => {
    const filter = {
      userId: orAbsent(request.userId),
      keyType: keyTypes.fromWire(request.keyType),
      state: walletStates.fromWire(request.state),
    }
    const { items, nextPageToken } = await listPage(tokens, ListWalletsRequestSchema, request, call, (page) =>
      wallets.listWallets(call, { ...page, ...filter }),
    )
    return { wallets: items.map(toWireWallet), nextPageToken }
  },
  signStream,
  exportPrivateKey: exportPrivateKeyHandler(wallets),
  ...importHandlers(wallets),
  warmPresignatures: ({ wallet: walletRef, depth }, call) => wallets.warmPresignatures(call, { walletRef, depth }),
  refreshShares: async ({ wallet: walletRef }, call) => {
    const { wallet, refreshCount, refreshTimeMs, receipt } = await wallets.refreshShares(call, { walletRef })
    return {
      wallet: toWireWallet(wallet),
      refreshCount,
      refreshTime: toTimestamp(refreshTimeMs),
      receipt: toWireReceipt(receipt),
    }
  },
  archiveWallet: async ({ wallet: walletRef }, call) => ({
    wallet: toWireWallet(await wallets.archiveWallet(call, { walletRef })),
  }),
})
