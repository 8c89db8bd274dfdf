/** Session keys of a running daemon: made, confirmed, and asked to sign. */
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CreateSessionKeyRequestSchema, CreateSessionKeyResponse, SessionKey } from '../../gen/countersign/v1/session_key_pb.ts'
import { RegistrationOutcome, SessionScope } from '../../gen/countersign/v1/session_key_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { newWallet } from '../e2e/callers.ts'

export const inMs = (ms: number) => timestampFromMs(Date.now() + ms)
export const HOUR_MS = 3_600_000

type Request = Omit<MessageInitShape<typeof CreateSessionKeyRequestSchema>, '$typeName'>

export const createKey = async (client: CountersignClient, request: Partial<Request> = {}): Promise<CreateSessionKeyResponse> =>
  client.sessionKeys.createSessionKey({
    wallet: request.wallet ?? (await newWallet(client)).walletId,
    profile: 'hyperliquid',
    network: 'testnet',
    scopes: [SessionScope.ORDER, SessionScope.CANCEL_ORDER],
    expireTime: inMs(HOUR_MS),
    ...request,
  })

/** ACTIVE: the venue is said to have taken it. */
export const activeKey = async (client: CountersignClient, request: Partial<Request> = {}): Promise<SessionKey> => {
  const { sessionKey } = await createKey(client, request)
  if (sessionKey === undefined) throw new Error('no session key in the answer')
  if (sessionKey.state === 2) return sessionKey
  const { sessionKeyId } = sessionKey
  const confirmed = await client.sessionKeys.confirmSessionKey({ sessionKeyId, outcome: RegistrationOutcome.ACCEPTED })
  if (confirmed.sessionKey === undefined) throw new Error('no session key in the answer')
  return confirmed.sessionKey
}

export const hlOrder = (changes: Record<string, unknown> = {}, many = 1): string =>
  JSON.stringify({
    type: 'order',
    orders: Array.from({ length: many }, () => ({
      a: 1,
      b: true,
      p: '100',
      s: '2',
      r: false,
      t: { limit: { tif: 'Gtc' } },
      ...changes,
    })),
    grouping: 'na',
  })

export const hlCancel = (order = 1): string => JSON.stringify({ type: 'cancel', cancels: [{ a: 1, o: order }] })

export const ddxOrder = (changes: Record<string, unknown> = {}): string =>
  JSON.stringify({
    symbol: 'ETHP',
    strategy: 'main',
    side: 'Bid',
    orderType: 'Limit',
    amount: '1',
    price: '2000',
    stopPrice: '0',
    ...changes,
  })
