/** The daemon over gRPC on TCP: a process of its own with both vaults on disk, and the load made here. */
import { setTimeout as sleep } from 'node:timers/promises'
import { AdminService } from '../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType, WalletService } from '../gen/countersign/v1/wallet_pb.ts'
import { Health } from '../gen/grpc/health/v1/health_pb.ts'
import { type BenchDaemon, startBenchDaemon } from './bench-daemon.ts'
import { type LoadClient, openLoadClient, runLoad } from './load.ts'
import { median, percentile, report } from './report.ts'

const ECHO_CALLS = 40_000
const ECHO_IN_FLIGHT = 128
const WALLETS = 200
const SIGN_WARM_UP = 300
const SIGN_CALLS = 1_000
const SIGN_CALLS_C32 = 2_500
/** All signatures that are made are paid for in advance. */
const POOL = 3_900
const POLL_MS = 100
const WARM_MAX_MS = 60_000

const newWallet = (userId: string) => ({ userId, keyType: KeyType.SECP256K1, ownerType: OwnerType.PROJECT })

/** With the settings that a daemon has by itself. */
const benchDefaults = async (): Promise<void> => {
  await using daemon = await startBenchDaemon()
  const client = openLoadClient(daemon)
  try {
    const echo = client.prepare(Health.method.check, { service: '' })
    await runLoad(echo, { count: ECHO_CALLS / 4, concurrency: ECHO_IN_FLIGHT })
    report('rpc.echo_rps', (await runLoad(echo, { count: ECHO_CALLS, concurrency: ECHO_IN_FLIGHT })).perSecond, '1/s')
    const createMs: number[] = []
    daemon.resetLoop()
    for (let i = 0; i < WALLETS; i++) {
      const startMs = performance.now()
      await client.call(WalletService.method.createWallet, newWallet(`bench-${i}`))
      createMs.push(performance.now() - startMs)
    }
    report('rpc.create_wallet_p50_ms', median(createMs), 'ms')
  } finally {
    client.close()
  }
}

const poolSize = async (client: LoadClient): Promise<number> => {
  const { status } = await client.call(AdminService.method.getStatus, {})
  return Number(status?.presignatureCount ?? 0n)
}

/** Signs from a full pool; before that, watches the event loop while the pool is being filled. */
const benchSigning = async (): Promise<void> => {
  const pool = ['--presignatures-low-water', '1', '--presignatures-high-water', '2']
  await using daemon = await startBenchDaemon({ options: pool })
  const client = openLoadClient(daemon)
  try {
    const { wallet } = await client.call(WalletService.method.createWallet, newWallet('bench'))
    const warm = { wallet: wallet?.walletId ?? '', depth: POOL }
    await reportLoop(daemon, 'filling', () => client.call(WalletService.method.warmPresignatures, warm))
    const deadlineMs = Date.now() + WARM_MAX_MS
    while ((await poolSize(client)) < POOL) {
      if (Date.now() > deadlineMs) throw new Error('the pool is not filled in time')
      await sleep(POLL_MS)
    }

    const content = { case: 'text', value: 'a message of an ordinary length, to be signed' } as const
    const sign = client.prepare(WalletService.method.signMessage, { wallet: wallet?.walletId ?? '', content })
    await runLoad(sign, { count: SIGN_WARM_UP, concurrency: 4 })
    await reportLoop(daemon, 'signing', () => reportSigning(sign, SIGN_CALLS, 1, ''))
    await reportSigning(sign, SIGN_CALLS_C32, 32, '.c32')
  } finally {
    client.close()
  }
}

const reportSigning = async (
  sign: () => Promise<Buffer>,
  count: number,
  concurrency: number,
  suffix: string,
): Promise<void> => {
  const { perSecond, latenciesMs } = await runLoad(sign, { count, concurrency })
  report(`rpc.sign_message_rps${suffix}`, perSecond, '1/s')
  report(`rpc.sign_message_p50_ms${suffix}`, median(latenciesMs), 'ms')
  report(`rpc.sign_message_p99_ms${suffix}`, percentile(latenciesMs, 0.99), 'ms')
}

/** How long the daemon's main thread was kept from its event loop while `work` ran. */
const reportLoop = async (daemon: BenchDaemon, during: string, work: () => Promise<unknown>): Promise<void> => {
  daemon.resetLoop()
  await work()
  const { maxMs, p99Ms } = await daemon.read()
  report(`rpc.loop_max_ms.${during}`, maxMs, 'ms')
  report(`rpc.loop_p99_ms.${during}`, p99Ms, 'ms')
}

export const benchRpc = async (): Promise<void> => {
  await benchDefaults()
  await benchSigning()
}
