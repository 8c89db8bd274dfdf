/** Callers of a test daemon: clients, keys, wallets and the refusals they meet. */
import { createHash, randomUUID } from 'node:crypto'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { CreateApiKeyRequestSchema } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType, PermissionSchema } from '../../gen/countersign/v1/common_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import { type CountersignClient, createCountersignClient } from '../../src/client/countersign-client.ts'
import { CountersignError } from '../../src/client/countersign-error.ts'
import { triesBefore } from './fresh.ts'
import type { Endpoints } from './start-daemon.ts'

export type Narrowed = MessageInitShape<typeof PermissionSchema>

export const connect = (daemon: { readonly endpoints: Endpoints }, apiKey: string): CountersignClient =>
  createCountersignClient({ endpoint: daemon.endpoints.grpc, apiKey })

export const newWallet = async (
  client: CountersignClient,
  userId: string = `user-${randomUUID()}`,
  label = '',
  keyType: KeyType = KeyType.SECP256K1,
): Promise<Wallet> => {
  const made = client.wallets.createWallet({ userId, keyType, label })
  const { wallet } = triesBefore() === 0 ? await made : await made.catch((error: unknown) => leftBehind(client, userId, error))
  if (wallet === undefined) throw new Error('no wallet in the answer')
  return wallet
}

/** The wallet that the last try of this test made. */
const leftBehind = async (client: CountersignClient, userId: string, error: unknown) => {
  if (!(error instanceof CountersignError) || error.reason !== 'WALLET_ALREADY_EXISTS') throw error
  return client.wallets.getWallet({ wallet: userId })
}

export type NewKey = { readonly apiKeyId: string; readonly secret: string }

export const newKey = async (
  admin: CountersignClient,
  permissions: readonly Narrowed[],
  rest: Omit<MessageInitShape<typeof CreateApiKeyRequestSchema>, 'permissions' | '$typeName'> = {},
): Promise<NewKey> => {
  const { apiKey, secret } = await admin.admin.createApiKey({
    name: 'test',
    permissions: permissions.map((permission) => create(PermissionSchema, permission)),
    ...rest,
  })
  return { apiKeyId: apiKey?.apiKeyId ?? '', secret }
}

/** How a call was refused; fails the test when it was not, or not by the daemon. */
export const refusalOf = async (call: Promise<unknown>): Promise<CountersignError> => {
  const error: unknown = await call.then(
    () => new Error('the call was answered'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof CountersignError && error.reason !== undefined) return error
  throw error
}

export const reasonOf = async (call: Promise<unknown>): Promise<string | undefined> => (await refusalOf(call)).reason

/** `signed`, the reason why not, or `lost: …` where the answer was not the daemon's. */
export const outcomeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'signed',
    (error: unknown) => (error instanceof CountersignError ? (error.reason ?? `lost: ${error.code} ${error.message}`) : String(error)),
  )

/** As `outcomeOf`, asked again while a loaded machine's chain does not answer in time: what is told besides is still told. */
export const settledOutcomeOf = async (call: () => Promise<unknown>): Promise<string> => {
  for (let turn = 1; ; turn++) {
    const outcome = await outcomeOf(call())
    if (outcome !== 'CHAIN_UNAVAILABLE' || turn === 10) return outcome
  }
}

export const hex = (bytes: Uint8Array): `0x${string}` => `0x${Buffer.from(bytes).toString('hex')}`

export const sha256 = (data: Uint8Array | string): Uint8Array => new Uint8Array(createHash('sha256').update(data).digest())
