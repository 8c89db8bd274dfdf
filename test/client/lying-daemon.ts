import { createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { ServiceImpl } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { hashMessage, hashTypedData, hexToBytes, keccak256, parseSignature, parseTransaction } from 'viem'
import { serializeTransaction, type Hex, type TransactionSerializable, type TypedDataDefinition } from 'viem'
import { generatePrivateKey, privateKeyToAccount, sign } from 'viem/accounts'
import { hashAuthorization } from 'viem/utils'
import { AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { KeyType, type SignatureSchema } from '../../gen/countersign/v1/common_pb.ts'
import { WalletSchema, WalletService } from '../../gen/countersign/v1/wallet_pb.ts'

type SignatureInit = MessageInitShape<typeof SignatureSchema> & { r: Uint8Array; s: Uint8Array; hex: Hex; yParity: number }
type Implementation = {
  readonly wallets?: Partial<ServiceImpl<typeof WalletService>>
  readonly audit?: Partial<ServiceImpl<typeof AuditService>>
}

/** A gRPC server that is no daemon: it answers whatever a test tells it to. */
export const startLyingDaemon = async ({ wallets = {}, audit = {} }: Implementation) => {
  const handler = connectNodeAdapter({
    routes: (router) => {
      router.service(WalletService, wallets)
      router.service(AuditService, audit)
    },
  })
  const server = createServer(handler)
  const sessions = new Set<{ destroy: () => void }>()
  server.on('session', (session) => sessions.add(session))
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
}

/** A signature in every form of the contract. */
export const signatureOf = async (hash: Hex, privateKey: Hex): Promise<SignatureInit> => {
  const hex = await sign({ hash, privateKey, to: 'hex' })
  const { r, s, yParity } = parseSignature(hex)
  return { r: hexToBytes(r), s: hexToBytes(s), v: 27 + yParity, yParity, raw: hexToBytes(hex), hex }
}

const digestOf = (typedDataJson: string): Hex => hashTypedData(JSON.parse(typedDataJson) as TypedDataDefinition)

/** Honest answers from one private key, and the wallet they belong to: what a lie is then cut from. */
export const createHonestWallet = (privateKey: Hex = generatePrivateKey()) => {
  const { address, publicKey } = privateKeyToAccount(privateKey)
  const walletId = `wal_${'0'.repeat(32)}`
  const wallet = create(WalletSchema, { walletId, address, publicKey: publicKey.slice(2), keyType: KeyType.SECP256K1 })
  const signed = async (hash: Hex) => ({ signature: await signatureOf(hash, privateKey), digest: hexToBytes(hash) })
  const answers = {
    signMessage: ({ content }) =>
      signed(hashMessage(content.case === 'text' ? content.value : { raw: content.value ?? new Uint8Array() })),
    signTypedData: ({ typedDataJson }) => signed(digestOf(typedDataJson)),
    signDigest: ({ digest }) => signed(`0x${Buffer.from(digest).toString('hex')}`),
    signTransaction: async ({ transaction }) => {
      const unsigned: Hex = `0x${Buffer.from(transaction.value as Uint8Array).toString('hex')}`
      const fields: TransactionSerializable = parseTransaction(unsigned)
      const { signature } = await signed(keccak256(unsigned))
      const raw = serializeTransaction(fields, parseSignature(signature.hex))
      return { signedTransaction: hexToBytes(raw), transactionHash: keccak256(raw), signature }
    },
    signAuthorization: async ({ chainId, address: target, nonce }) => {
      const asked = { chainId: Number(chainId), address: target as Hex, nonce: Number(nonce) }
      const answer = await signed(hashAuthorization(asked))
      const { r, s, yParity } = answer.signature
      return { ...answer, authorization: { chainId, address: target, nonce, yParity, r, s } }
    },
  } satisfies Partial<ServiceImpl<typeof WalletService>>
  return { wallet, privateKey, answers }
}
