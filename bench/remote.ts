/**
 * `npm run bench -- --remote`: a cosigner of its own process, over mutual TLS on this machine, at no distance and through
 * a proxy that holds every byte back 5 ms each way.
 */
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType, WalletService } from '../gen/countersign/v1/wallet_pb.ts'
import { type BenchPair, startBenchPair } from './bench-pair.ts'
import { inTurn, type Load, type LoadClient, type LoadSize, openLoadClient, type PreparedCall, runLoad } from './load.ts'
import { countPresignatures, fillPools } from './pools.ts'
import { median, percentile, report } from './report.ts'

export type RemoteSize = {
  readonly wallets: number
  readonly warmUp: number
  readonly single: number
  readonly many: number
  readonly sustainedMs: number
  /** Presignatures a session, at most. */
  readonly batches: readonly number[]
}
export const FULL_REMOTE: RemoteSize = {
  wallets: 8,
  warmUp: 400,
  single: 1_000,
  many: 6_000,
  sustainedMs: 10_000,
  batches: [16, 64],
}
export const QUICK_REMOTE: RemoteSize = { wallets: 2, warmUp: 4, single: 8, many: 16, sustainedMs: 0, batches: [] }

const CONCURRENCY = 64
const DELAYS_MS = [0, 5] as const
/** No presignature is made before somebody asks for it, and there is room for every pool that is filled on request. */
const WARM = ['--presignatures-low-water', '0', '--presignatures-high-water', '1', '--presignatures-capacity', '65536']

type Parties = { readonly client: LoadClient; readonly wallets: readonly string[]; readonly sign: PreparedCall }

const openParties = async (pair: BenchPair, count: number): Promise<Parties> => {
  const client = openLoadClient(pair.daemon)
  const wallets: string[] = []
  for (let i = 0; i < count; i++) {
    const request = { userId: `remote-${i}`, keyType: KeyType.SECP256K1, ownerType: OwnerType.PROJECT }
    const { wallet } = await client.call(WalletService.method.createWallet, request)
    wallets.push(wallet?.walletId ?? '')
  }
  const content = { case: 'text', value: 'a message of an ordinary length, to be signed' } as const
  const sign = inTurn(wallets.map((wallet) => client.prepare(WalletService.method.signMessage, { wallet, content })))
  return { client, wallets, sign }
}

/** As many as the wallets can give in turn. Answers how many a second. */
const fill = async ({ client, wallets }: Parties, count: number): Promise<number> => {
  const startMs = performance.now()
  const before = await countPresignatures(client)
  await fillPools(client, wallets, Math.ceil(count / wallets.length) + 1)
  return (((await countPresignatures(client)) - before) / (performance.now() - startMs)) * 1_000
}

const measure = async (name: string, pair: BenchPair, sign: PreparedCall, size: LoadSize): Promise<Load> => {
  const [daemonBefore, cosignerBefore] = await Promise.all([pair.daemon.read(), pair.cosigner.read()])
  const load = await runLoad(sign, size)
  const [daemon, cosigner] = await Promise.all([pair.daemon.read(), pair.cosigner.read()])
  report(`remote.${name}_p50_ms`, median(load.latenciesMs), 'ms')
  report(`remote.${name}_p99_ms`, percentile(load.latenciesMs, 0.99), 'ms')
  if (size.concurrency > 1) report(`remote.${name}_rps`, load.perSecond, '1/s')
  report(`remote.${name}_daemon_cpu_ms`, (daemon.cpuMs - daemonBefore.cpuMs) / load.count, 'ms')
  report(`remote.${name}_cosigner_cpu_ms`, (cosigner.cpuMs - cosignerBefore.cpuMs) / load.count, 'ms')
  return load
}

/** From pools that were filled before and are not refilled meanwhile. */
const benchWarm = async (size: RemoteSize): Promise<void> => {
  await using pair = await startBenchPair(WARM)
  const parties = await openParties(pair, size.wallets)
  const rates: number[] = []
  const alone: number[] = []
  try {
    for (const delayMs of DELAYS_MS) {
      await pair.setDelay(delayMs)
      report(`remote.delay${delayMs}.fill_rps`, await fill(parties, size.warmUp + size.single + size.many), '1/s')
      await runLoad(parties.sign, { count: size.warmUp, concurrency: 8 })
      const one = await measure(`delay${delayMs}.c1`, pair, parties.sign, { count: size.single, concurrency: 1 })
      const many = await measure(`delay${delayMs}.c64`, pair, parties.sign, { count: size.many, concurrency: CONCURRENCY })
      alone.push(median(one.latenciesMs))
      rates.push(many.perSecond)
    }
    const [here = NaN, away = NaN] = alone
    report('remote.round_trips', (away - here) / (2 * DELAYS_MS[1]), '1')
    report('remote.delayed_to_direct', (rates[1] ?? NaN) / (rates[0] ?? NaN), '1')
  } finally {
    parties.client.close()
  }
}

/** For longer than the pools last, with the settings of a daemon but for the size of a session: as fast as they are refilled. */
const benchSustained = async (size: RemoteSize): Promise<void> => {
  for (const batch of size.batches) {
    await using pair = await startBenchPair(['--presignatures-batch', String(batch)])
    const parties = await openParties(pair, size.wallets)
    try {
      for (const delayMs of DELAYS_MS) {
        await pair.setDelay(delayMs)
        await runLoad(parties.sign, { count: size.warmUp, concurrency: CONCURRENCY, minMs: size.sustainedMs / 2 })
        const run = { count: size.warmUp, concurrency: CONCURRENCY, minMs: size.sustainedMs }
        await measure(`delay${delayMs}.sustained.b${batch}`, pair, parties.sign, run)
      }
    } finally {
      parties.client.close()
    }
  }
}

export const benchRemote = async (size: RemoteSize): Promise<void> => {
  await benchWarm(size)
  await benchSustained(size)
}
