/**
 * `npm run bench -- --load`: a foreign client, h2load, sends one recorded `SignMessage` without a request_id over and
 * over, so that each answer is a signature of its own; and what the daemon wrote down is held against what was answered.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { create, toBinary } from '@bufbuild/protobuf'
import { AuditService } from '../gen/countersign/v1/audit_pb.ts'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType, SignMessageRequestSchema, WalletService } from '../gen/countersign/v1/wallet_pb.ts'
import { type BenchDaemon, startBenchDaemon } from './bench-daemon.ts'
import { type LoadClient, openLoadClient } from './load.ts'
import { fillPools } from './pools.ts'
import { largest, median, percentile, report } from './report.ts'

export type LoadLevel = { readonly concurrency: number; readonly requests: number }
export type LoadSizes = {
  readonly levels: readonly LoadLevel[]
  /** From the last answer of a level until its memory is read once more. */
  readonly afterMs: number
}

export const FULL_LOAD: LoadSizes = {
  levels: [
    { concurrency: 1, requests: 1_000 },
    { concurrency: 8, requests: 3_000 },
    { concurrency: 32, requests: 4_000 },
    { concurrency: 128, requests: 4_000 },
  ],
  afterMs: 2_000,
}
export const QUICK_LOAD: LoadSizes = {
  levels: [
    { concurrency: 1, requests: 4 },
    { concurrency: 8, requests: 16 },
  ],
  afterMs: 0,
}

/** The pool that is filled before each level, and nothing else, serves it. */
const OPTIONS = [
  '--presignatures-low-water', '0', '--presignatures-high-water', '1', '--metrics-listen', '127.0.0.1:0',
]
const MISSING = 'h2load is not installed: it comes with Debian’s nghttp2-client (apt-get install nghttp2-client)'
const WATCH_MS = 100
const PAGE = 500

/** One gRPC message of a request body: not compressed, its length, its bytes. */
const frameOf = (message: Uint8Array): Buffer => {
  const header = Buffer.alloc(5)
  header.writeUInt32BE(message.length, 1)
  return Buffer.concat([header, message])
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

const runH2load = async (args: readonly string[]): Promise<string> => {
  const child = spawn('h2load', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  try {
    const [code] = await once(child, 'close')
    if (code !== 0) throw new Error(`h2load ended with ${code}\n${output}`)
    return output
  } catch (error) {
    throw isMissing(error) ? new Error(MISSING) : error
  }
}

const numberIn = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN)

/** Signatures that the daemon counts as answered: h2load sees 200 for a refusal too. */
const countAnswered = async ({ metrics }: BenchDaemon): Promise<number> => {
  const text = await (await fetch(`http://${metrics}/metrics`)).text()
  const series = /^countersign_calls_total\{method="SignMessage",reason="OK",item="false"\} (\d+)$/m
  return Number(series.exec(text)?.[1] ?? 0)
}

const headOf = async (client: LoadClient): Promise<bigint> =>
  (await client.call(AuditService.method.getCheckpoint, {})).checkpoint?.sequence ?? 0n

const countIntents = async (client: LoadClient, after: bigint): Promise<number> => {
  let count = 0
  let pageToken = ''
  do {
    const ask = { afterSequence: after, kind: 'sign.intent', pageSize: PAGE, pageToken }
    const page = await client.call(AuditService.method.listEvents, ask)
    count += page.events.length
    pageToken = page.nextPageToken
  } while (pageToken !== '')
  return count
}

/** The most memory that the process has until `during` is over. */
const watchMemory = async (daemon: BenchDaemon, during: Promise<unknown>): Promise<number> => {
  const seen: number[] = []
  const over = during.then(
    () => true,
    () => true,
  )
  do seen.push((await daemon.read()).rssBytes)
  while (!(await Promise.race([over, sleep(WATCH_MS, false)])))
  return largest(seen)
}

type Recorded = { readonly wallet: string; readonly body: string; readonly log: string }

const runLevel = async (
  daemon: BenchDaemon,
  client: LoadClient,
  { wallet, body, log }: Recorded,
  { concurrency, requests }: LoadLevel,
  afterMs: number,
): Promise<void> => {
  await fillPools(client, [wallet], requests)
  const [head, answeredBefore, before] = [await headOf(client), await countAnswered(daemon), await daemon.read()]
  rmSync(log, { force: true })
  const headers = ['content-type: application/grpc', 'te: trailers', `authorization: Bearer ${daemon.adminKey}`]
  const counts = ['-n', String(requests), '-c', String(concurrency), '-m', '1']
  const url = `http://${daemon.grpc}/countersign.v1.WalletService/SignMessage`
  const running = runH2load([...counts, '-d', body, `--log-file=${log}`, ...headers.flatMap((line) => ['-H', line]), url])
  const peak = await watchMemory(daemon, running)
  const output = await running
  const { cpuMs } = await daemon.read()
  const times = readFileSync(log, 'utf8').trim().split('\n').map((line) => Number(line.split('\t')[2]) / 1_000)
  const answered = (await countAnswered(daemon)) - answeredBefore
  const intents = await countIntents(client, head)
  const refused = requests - answered
  await sleep(afterMs)
  const name = `load.c${concurrency}`
  report(`${name}_rps`, numberIn(output, /([\d.]+) req\/s/), '1/s')
  report(`${name}_p50_ms`, median(times), 'ms')
  report(`${name}_p99_ms`, percentile(times, 0.99), 'ms')
  report(`${name}_max_ms`, largest(times), 'ms')
  report(`${name}_cpu_ms`, (cpuMs - before.cpuMs) / requests, 'ms')
  report(`${name}_answers`, answered, '1')
  report(`${name}_intents`, intents, '1')
  report(`${name}_rss_before_mb`, before.rssBytes / 1e6, 'MB')
  report(`${name}_rss_during_mb`, peak / 1e6, 'MB')
  report(`${name}_rss_after_mb`, (await daemon.read()).rssBytes / 1e6, 'MB')
  if (refused !== 0 || times.length !== requests) throw new Error(`${refused} of ${requests} were refused`)
  if (intents !== answered) throw new Error(`${answered} answers and ${intents} intents`)
}

export const benchLoad = async ({ levels, afterMs }: LoadSizes): Promise<void> => {
  await runH2load(['--version'])
  await using daemon = await startBenchDaemon({ options: OPTIONS })
  const directory = mkdtempSync(join(tmpdir(), 'countersign-load-'))
  const client = openLoadClient(daemon)
  try {
    const { wallet } = await client.call(WalletService.method.createWallet, {
      userId: 'load',
      keyType: KeyType.SECP256K1,
      ownerType: OwnerType.PROJECT,
    })
    const content = { case: 'text', value: 'a message of an ordinary length, to be signed' } as const
    const request = create(SignMessageRequestSchema, { wallet: wallet?.walletId ?? '', content })
    const recorded = { wallet: request.wallet, body: join(directory, 'body'), log: join(directory, 'log') }
    writeFileSync(recorded.body, frameOf(toBinary(SignMessageRequestSchema, request)))
    for (const level of levels) await runLevel(daemon, client, recorded, level, afterMs)
  } finally {
    client.close()
    rmSync(directory, { recursive: true, force: true })
  }
}
