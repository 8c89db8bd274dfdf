/**
 * `npm run bench -- --compare`: one gRPC method, `SignMessage`, before several makers of signatures, in one run. The two
 * parties, a viem key and a libsecp256k1 key stand behind the same edge and the same script (decode, permissions, intent
 * row, fsync, verification); only the rounds differ. The echo is the edge with nothing behind it.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { recoverMessageAddress } from 'viem'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType, SignMessageResponseSchema, SignStreamRequestSchema, WalletService } from '../gen/countersign/v1/wallet_pb.ts'
import { type BenchDaemon, startBenchDaemon } from './bench-daemon.ts'
import type { CompareSizes } from './compare-sizes.ts'
import { openItems } from './items.ts'
import { inTurn, type Load, type LoadClient, type LoadSize, openLoadClient, type PreparedCall, runLoad } from './load.ts'
import { countPresignatures, fillPools } from './pools.ts'
import { largest, median, percentile, report } from './report.ts'

const CONCURRENCY = 32
const TEXT = 'a message of an ordinary length, to be signed'
/** No presignature is made before somebody asks for it. */
const COLD = ['--presignatures-low-water', '0', '--presignatures-high-water', '1']
/** The same, with room for every pool that is filled on request. */
const WARM = [...COLD, '--presignatures-capacity', '65536']

const { signMessage, signStream, createWallet, warmPresignatures } = WalletService.method

type Party = { readonly walletId: string; readonly address: string; readonly sign: PreparedCall }

const newParty = async (client: LoadClient, userId: string): Promise<Party> => {
  const { wallet } = await client.call(createWallet, {
    userId,
    keyType: KeyType.SECP256K1,
    ownerType: OwnerType.PROJECT,
  })
  if (wallet === undefined) throw new Error('no wallet')
  const { walletId, address } = wallet
  return { walletId, address, sign: client.prepare(signMessage, requestFor(walletId)) }
}

const requestFor = (wallet: string) => ({ wallet, content: { case: 'text', value: TEXT } as const })

const newParties = async (client: LoadClient, count: number, name: string): Promise<Party[]> => {
  const made: Party[] = []
  for (let i = 0; i < count; i++) made.push(await newParty(client, `${name}-${i}`))
  return made
}

/** What was measured is a signature of the wallet, or it is no measurement. */
const requireSignature = async ({ sign, address }: Party): Promise<void> => {
  const { signature } = fromBinary(SignMessageResponseSchema, await sign())
  const recovered = await recoverMessageAddress({ message: TEXT, signature: signature?.hex as `0x${string}` })
  if (recovered !== address) throw new Error(`a signature of ${recovered}, not of ${address}`)
}

const reportLatencies = (name: string, { latenciesMs }: Load): void => {
  report(`compare.${name}_p50_ms`, median(latenciesMs), 'ms')
  report(`compare.${name}_p99_ms`, percentile(latenciesMs, 0.99), 'ms')
  report(`compare.${name}_max_ms`, largest(latenciesMs), 'ms')
}

/** Answers the rate. */
const measure = async (
  name: string,
  daemon: BenchDaemon,
  call: () => Promise<unknown>,
  size: LoadSize,
): Promise<Load> => {
  const before = await daemon.read()
  const load = await runLoad(call, size)
  const { cpuMs } = await daemon.read()
  if (size.concurrency > 1) report(`compare.${name}_rps`, load.perSecond, '1/s')
  reportLatencies(name, load)
  report(`compare.${name}_cpu_ms`, (cpuMs - before.cpuMs) / load.count, 'ms')
  return load
}

type Rates = { [name: string]: number }

const compareEcho = async (sizes: CompareSizes, rates: Rates): Promise<void> => {
  await using daemon = await startBenchDaemon({ program: 'echo-daemon.ts' })
  const client = openLoadClient(daemon)
  const echo = client.prepare(signMessage, requestFor('echo'))
  await runLoad(echo, { count: sizes.echo / 4, concurrency: CONCURRENCY })
  await measure('echo_c1', daemon, echo, { count: sizes.alone, concurrency: 1 })
  rates['echo'] = (await measure('echo', daemon, echo, { count: sizes.echo, concurrency: CONCURRENCY })).perSecond
  client.close()
}

const comparePlain = async (signer: 'viem' | 'libsecp256k1', sizes: CompareSizes, rates: Rates): Promise<void> => {
  await using daemon = await startBenchDaemon({ program: 'plain-daemon.ts', words: [signer] })
  const client = openLoadClient(daemon)
  const parties = await newParties(client, sizes.wallets, 'plain')
  for (const party of parties) await requireSignature(party)
  const sign = inTurn(parties.map((party) => party.sign))
  await runLoad(sign, { count: sizes.warmUp, concurrency: CONCURRENCY })
  const name = `plain_${signer}`
  await measure(`${name}_c1`, daemon, sign, { count: sizes.alone, concurrency: 1 })
  rates[name] = (await measure(name, daemon, sign, { count: sizes.plain, concurrency: CONCURRENCY })).perSecond
  client.close()
}

const compareCold = async (sizes: CompareSizes, rates: Rates): Promise<void> => {
  await using daemon = await startBenchDaemon({ options: COLD })
  const client = openLoadClient(daemon)
  const parties = await newParties(client, sizes.wallets, 'cold')
  const sign = inTurn(parties.map((party) => party.sign))
  await runLoad(sign, { count: sizes.warmUp / 4, concurrency: CONCURRENCY })
  const name = 'two_party_cold'
  await measure(`${name}_c1`, daemon, sign, { count: sizes.alone / 4, concurrency: 1 })
  rates[name] = (await measure(name, daemon, sign, { count: sizes.cold, concurrency: CONCURRENCY })).perSecond
  for (const party of parties) await requireSignature(party)
  client.close()
}

/** From full pools alone: none is refilled meanwhile, and none runs dry. */
const compareWarm = async (
  daemon: BenchDaemon,
  client: LoadClient,
  parties: readonly Party[],
  sizes: CompareSizes,
  rates: Rates,
): Promise<void> => {
  const sign = inTurn(parties.map((party) => party.sign))
  await runLoad(sign, { count: sizes.warmUp, concurrency: CONCURRENCY })
  const before = await countPresignatures(client)
  const alone = await measure('two_party_warm_c1', daemon, sign, { count: sizes.alone, concurrency: 1 })
  const size = { count: sizes.warm, concurrency: CONCURRENCY, minMs: sizes.warmMinMs }
  const warm = await measure('two_party_warm', daemon, sign, size)
  report('compare.two_party_warm_signatures', warm.count, '1')
  report('compare.two_party_warm_s', warm.count / warm.perSecond, 's')
  const items = openItems(client, signStream)
  const requests = parties.map(({ walletId }) => {
    const message = create(SignStreamRequestSchema, { request: { case: 'signMessage', value: requestFor(walletId) } })
    const bytes = toBinary(SignStreamRequestSchema, message)
    return () => items.send(bytes)
  })
  const stream = await measure('stream', daemon, inTurn(requests), { count: sizes.stream, concurrency: CONCURRENCY })
  await items.close()
  const after = await countPresignatures(client)
  const made = alone.count + warm.count + stream.count
  if (after === 0 || before - after !== made) throw new Error(`not warm: ${before} became ${after} by ${made} signatures`)
  rates['two_party_warm'] = warm.perSecond
  rates['stream'] = stream.perSecond
}

const compareFull = async (sizes: CompareSizes, rates: Rates): Promise<void> => {
  await using daemon = await startBenchDaemon({ options: WARM })
  const client = openLoadClient(daemon)
  const parties = await newParties(client, sizes.wallets, 'warm')
  for (const party of parties) await requireSignature(party)
  // A tenth more than is planned: a fast machine signs more than that in the least time.
  const planned = sizes.warmUp + sizes.alone + sizes.warm + sizes.stream + sizes.besideFiller
  const depth = Math.ceil((1.1 * planned) / sizes.wallets)
  const startMs = performance.now()
  await fillPools(client, parties.map(({ walletId }) => walletId), depth)
  report('compare.fill_rps', (depth * sizes.wallets * 1_000) / (performance.now() - startMs), '1/s')
  await compareWarm(daemon, client, parties, sizes, rates)

  const idle = await newParties(client, sizes.wallets, 'filler')
  for (const { walletId } of idle) client.call(warmPresignatures, { wallet: walletId, depth: sizes.fillerDepth }).catch(() => undefined)
  const live = inTurn(parties.map((party) => party.sign))
  await measure('two_party_beside_filler', daemon, live, { count: sizes.besideFiller, concurrency: 1 })
  for (const party of parties) await requireSignature(party)
  client.close()
}

/** With the settings a daemon has by itself, for longer than its pools last: as fast as they are refilled. */
const compareRefilling = async (sizes: CompareSizes, rates: Rates): Promise<void> => {
  await using daemon = await startBenchDaemon()
  const client = openLoadClient(daemon)
  const parties = await newParties(client, sizes.wallets, 'refilled')
  const sign = inTurn(parties.map((party) => party.sign))
  await runLoad(sign, { count: sizes.warmUp, concurrency: CONCURRENCY })
  const name = 'two_party_refilling'
  const size = { count: 0, concurrency: CONCURRENCY, minMs: sizes.refillingMs }
  rates[name] = (await measure(name, daemon, sign, size)).perSecond
  for (const party of parties) await requireSignature(party)
  client.close()
}

const RATIOS: readonly (readonly [string, string, string])[] = [
  ['warm_to_libsecp256k1', 'two_party_warm', 'plain_libsecp256k1'],
  ['warm_to_viem', 'two_party_warm', 'plain_viem'],
  ['warm_to_echo', 'two_party_warm', 'echo'],
  ['cold_to_warm', 'two_party_cold', 'two_party_warm'],
  ['refilling_to_warm', 'two_party_refilling', 'two_party_warm'],
  ['stream_to_unary', 'stream', 'two_party_warm'],
]

export const benchCompare = async (sizes: CompareSizes): Promise<void> => {
  const rates: Rates = {}
  await compareEcho(sizes, rates)
  await comparePlain('libsecp256k1', sizes, rates)
  await comparePlain('viem', sizes, rates)
  await compareCold(sizes, rates)
  await compareFull(sizes, rates)
  await compareRefilling(sizes, rates)
  for (const [name, of, by] of RATIOS) report(`compare.${name}`, (rates[of] ?? Number.NaN) / (rates[by] ?? Number.NaN), 'x')
}
