/**
 * `npm run bench -- --delegated`: a sidecar signs with what another daemon delegated, each with an embedded cosigner, at no
 * distance and with 5 ms each way between the two. Pools are refilled as they are emptied.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { AdminService } from '../gen/countersign/v1/admin_pb.ts'
import { DelegationService } from '../gen/countersign/v1/delegation_pb.ts'
import { receiver } from '../test/delegation/seal-delivery.ts'
import { startSidecar } from '../test/e2e/start-sidecar.ts'
import { inTurn, openLoadClient, runLoad } from './load.ts'
import { median, percentile, report } from './report.ts'

export type DelegatedSize = {
  readonly accesses: number
  readonly warmUp: number
  readonly single: number
  readonly many: number
  readonly sustainedMs: number
}
export const FULL_DELEGATED: DelegatedSize = { accesses: 8, warmUp: 200, single: 400, many: 1_000, sustainedMs: 10_000 }
export const QUICK_DELEGATED: DelegatedSize = { accesses: 2, warmUp: 4, single: 8, many: 16, sustainedMs: 0 }

const CONCURRENCY = 64
const DELAYS_MS = [0, 5] as const

/** In a process of its own: nobody else's work delays it further. */
const startProxy = async (target: string): Promise<{ readonly child: ChildProcess; readonly address: string }> => {
  const child = fork(join(import.meta.dirname, 'proxy-process.ts'))
  child.send({ target })
  const [address] = (await once(child, 'message')) as [string]
  return { child, address }
}

export const benchDelegated = async (size: DelegatedSize): Promise<void> => {
  let proxy: ChildProcess | undefined
  const pair = await startSidecar(Array.from({ length: size.accesses }, () => ({})), async (grpc) => {
    const { child, address } = await startProxy(grpc)
    proxy = child
    return address
  })
  const { sidecar } = pair
  const client = openLoadClient({ grpc: sidecar.endpoints.grpc, adminKey: sidecar.adminKey } as Parameters<typeof openLoadClient>[0])
  try {
    const privateKeyPem = receiver.privateKey.export({ type: 'pkcs8', format: 'pem' })
    await client.call(AdminService.method.createDelegateKey, { privateKeyPem })
    for (const one of pair.delegated) {
      const value = await one.delivery()
      await client.call(DelegationService.method.importDelegatedAccess, { content: { case: 'delivery', value } })
    }
    const content = { case: 'text', value: 'a message of an ordinary length, to be signed' } as const
    const { delegatedSignMessage } = DelegationService.method
    const sign = inTurn(pair.delegated.map(({ accessId: access }) => client.prepare(delegatedSignMessage, { access, content })))
    for (const delayMs of DELAYS_MS) {
      proxy?.send({ delayMs })
      await runLoad(sign, { count: size.warmUp, concurrency: 8 })
      const one = await runLoad(sign, { count: size.single, concurrency: 1 })
      report(`delegated.delay${delayMs}.c1_p50_ms`, median(one.latenciesMs), 'ms')
      report(`delegated.delay${delayMs}.c1_p99_ms`, percentile(one.latenciesMs, 0.99), 'ms')
      const many = await runLoad(sign, { count: size.many, concurrency: CONCURRENCY, minMs: size.sustainedMs })
      report(`delegated.delay${delayMs}.c64_p50_ms`, median(many.latenciesMs), 'ms')
      report(`delegated.delay${delayMs}.c64_rps`, many.perSecond, '1/s')
    }
  } finally {
    client.close()
    proxy?.kill()
    await pair.close()
  }
}
