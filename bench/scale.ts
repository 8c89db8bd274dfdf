/** `npm run bench -- --scale`: the same data directory with 10, then 1 000, then 100 000 wallets in it. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType, WalletService } from '../gen/countersign/v1/wallet_pb.ts'
import { createDataDir } from '../src/commands/create-data-dir.ts'
import { rootKeyProviders } from '../src/commands/root-keys.ts'
import { dataDirPaths, loadConfig } from '../src/config/load-config.ts'
import { openCosignerVault } from '../src/vault/cosigner-vault.ts'
import { openDaemonVault } from '../src/vault/daemon-vault.ts'
import { type BenchDaemon, startBenchDaemon } from './bench-daemon.ts'
import { inTurn, type LoadClient, openLoadClient, runLoad } from './load.ts'
import { median, report } from './report.ts'
import { type Seeded, seedWallets } from './seed-wallets.ts'

export type ScaleSizes = {
  readonly counts: readonly number[]
  /** Of which the median is told. */
  readonly starts: number
  readonly lookUps: number
  readonly creations: number
}

export const FULL_SCALE: ScaleSizes = { counts: [10, 1_000, 100_000], starts: 3, lookUps: 1_000, creations: 20 }
export const QUICK_SCALE: ScaleSizes = { counts: [3, 70], starts: 1, lookUps: 5, creations: 2 }

const MB = 1e6

const { getWallet, listWallets, createWallet, signMessage } = WalletService.method

type Place = { readonly dataDir: string; readonly config: ReturnType<typeof loadConfig>['config'] }

const seed = async ({ config, dataDir }: Place, from: number, to: number): Promise<readonly Seeded[]> => {
  const paths = dataDirPaths(dataDir)
  const secrets = { rootKeyPassphrase: undefined, cosignerRootKeyPassphrase: undefined, smtpPassword: undefined, chainEndpoints: new Map(), delegationWebhooks: [] }
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  await using daemon = await openDaemonVault({ path: paths.daemonVault, provider: providers.daemon, nowMs })
  await using cosigner = await openCosignerVault({ path: paths.cosignerVault, provider: providers.cosigner, nowMs })
  return await seedWallets({ daemon, cosigner }, from, to)
}

const reportLookUps = async (name: string, client: LoadClient, seeded: readonly Seeded[], count: number): Promise<void> => {
  const by = (reference: keyof Seeded) => inTurn(seeded.map((one) => client.prepare(getWallet, { wallet: one[reference] })))
  const [id, address, user] = [by('walletId'), by('address'), by('userId')]
  await runLoad(id, { count, concurrency: 1 })
  for (const [what, call] of [['id', id], ['address', address], ['user', user]] as const)
    report(`${name}.look_up_by_${what}_p50_ms`, median((await runLoad(call, { count, concurrency: 1 })).latenciesMs), 'ms')
  const page = client.prepare(listWallets, { pageSize: 50 })
  report(`${name}.list_page_p50_ms`, median((await runLoad(page, { count: Math.ceil(count / 10), concurrency: 1 })).latenciesMs), 'ms')
}

const reportServing = async (
  name: string,
  daemon: BenchDaemon,
  seeded: readonly Seeded[],
  { lookUps, creations }: ScaleSizes,
): Promise<void> => {
  report(`${name}.resident_mb`, (await daemon.read()).rssBytes / MB, 'MB')
  const client = openLoadClient(daemon)
  await reportLookUps(name, client, seeded, lookUps)
  let number = 0
  const create = () =>
    client.call(createWallet, {
      userId: `${name}-${number++}`,
      keyType: KeyType.SECP256K1,
      ownerType: OwnerType.PROJECT,
    })
  report(`${name}.create_wallet_p50_ms`, median((await runLoad(create, { count: creations, concurrency: 1 })).latenciesMs), 'ms')
  const content = { case: 'text', value: 'a seeded wallet signs like any other' } as const
  const signs = inTurn(seeded.map(({ walletId: wallet }) => client.prepare(signMessage, { wallet, content })))
  await runLoad(signs, { count: Math.min(20, seeded.length), concurrency: 1 })
  report(`${name}.resident_after_mb`, (await daemon.read()).rssBytes / MB, 'MB')
  client.close()
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

const benchCount = async (place: Place, from: number, count: number, sizes: ScaleSizes): Promise<void> => {
  const name = `scale.w${count}`
  const startMs = performance.now()
  const seeded = await seed(place, from, count)
  report(`${name}.seeded_per_s`, ((count - from) * 1_000) / (performance.now() - startMs), '1/s')
  const { daemonVault, cosignerVault } = dataDirPaths(place.dataDir)
  report(`${name}.vault_mb`, sizeOf(daemonVault) / MB, 'MB')
  report(`${name}.cosigner_vault_mb`, sizeOf(cosignerVault) / MB, 'MB')
  const startsMs: number[] = []
  const startsCpuMs: number[] = []
  for (let i = 0; i < sizes.starts; i++) {
    await using daemon = await startBenchDaemon({ dataDir: place.dataDir })
    startsMs.push(daemon.startMs)
    startsCpuMs.push((await daemon.read()).cpuMs)
    if (i === sizes.starts - 1) await reportServing(name, daemon, seeded, sizes)
  }
  report(`${name}.start_ms`, median(startsMs), 'ms')
  report(`${name}.start_cpu_ms`, median(startsCpuMs), 'ms')
}

export const benchScale = async (sizes: ScaleSizes): Promise<void> => {
  const base = mkdtempSync(join(tmpdir(), 'countersign-scale-'))
  try {
    const dataDir = join(base, 'data')
    const { config, secrets } = loadConfig({ 'data-dir': dataDir })
    await createDataDir(config, secrets, 'everything')
    const { counts } = sizes
    for (const [round, count] of counts.entries()) await benchCount({ dataDir, config }, counts[round - 1] ?? 0, count, sizes)
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}
