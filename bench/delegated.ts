/**
 * `npm run bench -- --delegated`: a delegate signs with the daemon that delegated, at no distance and through a proxy that
 * holds every byte back 5 ms each way.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AdminService } from '../gen/countersign/v1/admin_pb.ts'
import { DelegationService } from '../gen/countersign/v1/delegation_pb.ts'
import { receiver } from '../test/delegation/seal-delivery.ts'
import type { BenchDaemon } from './bench-daemon.ts'
import { type BenchSidecar, startBenchSidecar } from './bench-sidecar.ts'
import { inTurn, type Load, type LoadClient, type LoadSize, openLoadClient, type PreparedCall, runLoad } from './load.ts'
import { median, percentile, report } from './report.ts'

export type DelegatedSize = {
  readonly accesses: number
  readonly warmUp: number
  readonly single: number
  readonly many: number
  readonly sustainedMs: number
}
export const FULL_DELEGATED: DelegatedSize = { accesses: 4, warmUp: 200, single: 600, many: 2_400, sustainedMs: 10_000 }
export const QUICK_DELEGATED: DelegatedSize = { accesses: 2, warmUp: 4, single: 6, many: 16, sustainedMs: 0 }

const CONCURRENCY = 64
const DELAYS_MS = [0, 5] as const
const IDLE_SHARE = 0.15
const LOOK_MS = 500

/** As deep as the run needs, and filled again only when empty. */
const poolOptions = ({ accesses, warmUp, single, many }: DelegatedSize): string[] => {
  const depth = Math.ceil((DELAYS_MS.length * (warmUp + single + many)) / accesses) + CONCURRENCY
  return ['--presignatures-low-water', '1', '--presignatures-high-water', String(depth), '--presignatures-capacity', '65536']
}

const importAll = async (client: LoadClient, { delegated }: BenchSidecar): Promise<PreparedCall> => {
  const privateKeyPem = receiver.privateKey.export({ type: 'pkcs8', format: 'pem' })
  await client.call(AdminService.method.createDelegateKey, { privateKeyPem })
  const { importDelegatedAccess, delegatedSignMessage } = DelegationService.method
  const signs: PreparedCall[] = []
  for (const { accessId, delivery } of delegated) {
    await client.call(importDelegatedAccess, { content: { case: 'delivery', value: await delivery() } })
    const content = { case: 'text', value: 'a message of an ordinary length, to be signed' } as const
    signs.push(client.prepare(delegatedSignMessage, { access: accessId, content }))
  }
  return inTurn(signs)
}

/** Nobody tells how full a delegate's pools are; while they fill, it works. */
const untilFilled = async (daemon: BenchDaemon): Promise<void> => {
  for (let quiet = 0; quiet < 2; ) {
    const [before, sinceMs] = [await daemon.read(), performance.now()]
    await sleep(LOOK_MS)
    const { cpuMs } = await daemon.read()
    quiet = (cpuMs - before.cpuMs) / (performance.now() - sinceMs) < IDLE_SHARE ? quiet + 1 : 0
  }
}

const measure = async (name: string, { granting, sidecar }: BenchSidecar, sign: PreparedCall, size: LoadSize): Promise<Load> => {
  const [before, atGranting] = [await sidecar.read(), await granting.read()]
  const load = await runLoad(sign, size)
  const [after, afterGranting] = [await sidecar.read(), await granting.read()]
  report(`delegated.${name}_p50_ms`, median(load.latenciesMs), 'ms')
  report(`delegated.${name}_p99_ms`, percentile(load.latenciesMs, 0.99), 'ms')
  if (size.concurrency > 1) report(`delegated.${name}_rps`, load.perSecond, '1/s')
  report(`delegated.${name}_delegate_cpu_ms`, (after.cpuMs - before.cpuMs) / load.count, 'ms')
  report(`delegated.${name}_granting_cpu_ms`, (afterGranting.cpuMs - atGranting.cpuMs) / load.count, 'ms')
  return load
}

/** From pools that were filled before, and hold enough for all of it. */
const benchWarm = async (size: DelegatedSize): Promise<void> => {
  await using pair = await startBenchSidecar(size.accesses, poolOptions(size))
  const client = openLoadClient(pair.sidecar)
  const [alone, rates]: [number[], number[]] = [[], []]
  try {
    const sign = await importAll(client, pair)
    await runLoad(sign, { count: size.accesses, concurrency: 1 })
    if (size.many > QUICK_DELEGATED.many) await untilFilled(pair.sidecar)
    for (const delayMs of DELAYS_MS) {
      await pair.setDelay(delayMs)
      await runLoad(sign, { count: size.warmUp, concurrency: 8 })
      const one = await measure(`delay${delayMs}.c1`, pair, sign, { count: size.single, concurrency: 1 })
      const many = await measure(`delay${delayMs}.c64`, pair, sign, { count: size.many, concurrency: CONCURRENCY })
      alone.push(median(one.latenciesMs))
      rates.push(many.perSecond)
    }
  } finally {
    client.close()
  }
  const [here = NaN, away = NaN] = alone
  report('delegated.round_trips', (away - here) / (2 * DELAYS_MS[1]), '1')
  report('delegated.delayed_to_direct', (rates[1] ?? NaN) / (rates[0] ?? NaN), '1')
}

/** For longer than the pools last, with the settings of a daemon. */
const benchSustained = async (size: DelegatedSize): Promise<void> => {
  await using pair = await startBenchSidecar(size.accesses, [])
  const client = openLoadClient(pair.sidecar)
  try {
    const sign = await importAll(client, pair)
    for (const delayMs of DELAYS_MS) {
      await pair.setDelay(delayMs)
      await runLoad(sign, { count: size.warmUp, concurrency: CONCURRENCY, minMs: size.sustainedMs / 2 })
      const run = { count: size.warmUp, concurrency: CONCURRENCY, minMs: size.sustainedMs }
      await measure(`delay${delayMs}.sustained`, pair, sign, run)
    }
  } finally {
    client.close()
  }
}

export const benchDelegated = async (size: DelegatedSize): Promise<void> => {
  await benchWarm(size)
  await benchSustained(size)
}
