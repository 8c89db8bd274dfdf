/** Session keys: actions through gRPC, one at a time, many at once and on a stream, beside an empty echo of the same run. */
import { create, toBinary } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { RegistrationOutcome,
  SessionKeyService,
  SessionKeyState,
  SessionScope,
  SignActionStreamRequestSchema,
} from '../gen/countersign/v1/session_key_pb.ts'
import { OwnerType, WalletService } from '../gen/countersign/v1/wallet_pb.ts'
import { Health } from '../gen/grpc/health/v1/health_pb.ts'
import { startBenchDaemon } from './bench-daemon.ts'
import { openItems } from './items.ts'
import { type LoadClient, openLoadClient, runLoad } from './load.ts'
import { median, percentile, report } from './report.ts'

export type SessionSize = { readonly warmUp: number; readonly single: number; readonly count: number; readonly minMs: number }
export const FULL_SESSION: SessionSize = { warmUp: 3_000, single: 3_000, count: 30_000, minMs: 4_000 }
export const QUICK_SESSION: SessionSize = { warmUp: 20, single: 20, count: 100, minMs: 0 }

const CONCURRENCIES = [8, 32, 128] as const
const STREAM_IN_FLIGHT = 128
const DAY_MS = 86_400_000

type Scheme = 'secp256k1' | 'ed25519' | 'hmac'
type Action = { readonly sessionKeyId: string; readonly family: string; readonly actionJson: string }

const HYPERLIQUID_ORDER = {
  type: 'order',
  orders: [{ a: 1, b: true, p: '100', s: '2', r: false, t: { limit: { tif: 'Gtc' } } }],
  grouping: 'na',
}
const ORDERLY_ORDER = {
  symbol: 'PERP_ETH_USDC',
  order_type: 'LIMIT',
  order_price: '2000',
  order_quantity: '1',
  side: 'BUY',
}

const KEYS: { readonly [S in Scheme]: { readonly make: object; readonly family: string; readonly action: object } } = {
  secp256k1: {
    make: { profile: 'hyperliquid', network: 'testnet', scopes: [SessionScope.ORDER] },
    family: 'order',
    action: HYPERLIQUID_ORDER,
  },
  ed25519: {
    make: {
      profile: 'orderly',
      network: 'testnet',
      scopes: [SessionScope.ORDER],
      parameters: { brokerId: 'woofi_pro', chainId: 421614 },
    },
    family: 'order',
    action: ORDERLY_ORDER,
  },
  hmac: {
    make: {
      profile: 'polymarket',
      network: 'polygon',
      scopes: [SessionScope.CANCEL_ORDER],
      extraFamilies: ['read'],
    },
    family: 'read',
    action: { path: '/data/orders' },
  },
}

const CREDENTIALS = { apiKey: 'bench', passphrase: 'bench', secret: Buffer.alloc(32, 7).toString('base64') }

const makeKey = async (client: LoadClient, wallet: string, scheme: Scheme): Promise<Action> => {
  const { make, family, action } = KEYS[scheme]
  const expireTime = timestampFromMs(Date.now() + DAY_MS)
  const { sessionKey } = await client.call(SessionKeyService.method.createSessionKey, { wallet, expireTime, ...make })
  const sessionKeyId = sessionKey?.sessionKeyId ?? ''
  if (sessionKey?.state !== SessionKeyState.ACTIVE) {
    await client.call(SessionKeyService.method.confirmSessionKey, { sessionKeyId, outcome: RegistrationOutcome.ACCEPTED })
  }
  if (scheme === 'hmac') {
    for (const [name, secret] of Object.entries(CREDENTIALS)) {
      await client.call(SessionKeyService.method.putVenueCredential, { sessionKeyId, name, secret: Buffer.from(secret) })
    }
  }
  return { sessionKeyId, family, actionJson: JSON.stringify(action) }
}

const reportUnary = async (client: LoadClient, scheme: Scheme, action: Action, size: SessionSize, echoRps: number) => {
  const sign = client.prepare(SessionKeyService.method.signAction, action)
  await runLoad(sign, { count: size.warmUp, concurrency: 16 })
  const { latenciesMs } = await runLoad(sign, { count: size.single, concurrency: 1 })
  report(`session.${scheme}.c1_p50_ms`, median(latenciesMs), 'ms')
  report(`session.${scheme}.c1_p99_ms`, percentile(latenciesMs, 0.99), 'ms')
  for (const concurrency of CONCURRENCIES) {
    const run = await runLoad(sign, { count: size.count, concurrency, minMs: size.minMs })
    report(`session.${scheme}.c${concurrency}_rps`, run.perSecond, '1/s')
    report(`session.${scheme}.c${concurrency}_p99_ms`, percentile(run.latenciesMs, 0.99), 'ms')
    if (concurrency === 128) report(`session.${scheme}.of_echo`, run.perSecond / echoRps, '1')
  }
}

const reportStream = async (client: LoadClient, scheme: Scheme, action: Action, size: SessionSize, echoRps: number) => {
  const bytes = Buffer.from(
    toBinary(SignActionStreamRequestSchema, create(SignActionStreamRequestSchema, { action })),
  )
  const items = openItems(client, SessionKeyService.method.signActionStream)
  const send = () => items.send(bytes)
  await runLoad(send, { count: size.warmUp, concurrency: 16 })
  const run = await runLoad(send, { count: size.count, concurrency: STREAM_IN_FLIGHT, minMs: size.minMs })
  await items.close()
  report(`session.${scheme}.stream_rps`, run.perSecond, '1/s')
  report(`session.${scheme}.stream_p99_ms`, percentile(run.latenciesMs, 0.99), 'ms')
  report(`session.${scheme}.stream_of_echo`, run.perSecond / echoRps, '1')
}

export const benchSession = async (size: SessionSize): Promise<void> => {
  await using daemon = await startBenchDaemon()
  const client = openLoadClient(daemon)
  try {
    const echo = client.prepare(Health.method.check, { service: '' })
    await runLoad(echo, { count: size.warmUp, concurrency: 16 })
    const { latenciesMs } = await runLoad(echo, { count: size.single, concurrency: 1 })
    report('session.echo_c1_p50_ms', median(latenciesMs), 'ms')
    const { perSecond: echoRps } = await runLoad(echo, { count: size.count, concurrency: 128, minMs: size.minMs })
    report('session.echo_rps', echoRps, '1/s')
    const { wallet } = await client.call(WalletService.method.createWallet, {
      userId: 'bench',
      keyType: KeyType.SECP256K1,
      ownerType: OwnerType.PROJECT,
    })
    for (const scheme of ['secp256k1', 'ed25519', 'hmac'] as const) {
      const action = await makeKey(client, wallet?.walletId ?? '', scheme)
      await reportUnary(client, scheme, action, size, echoRps)
      await reportStream(client, scheme, action, size, echoRps)
    }
  } finally {
    client.close()
  }
}
