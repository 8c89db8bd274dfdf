/** A daemon and a delegate of it for the bench: two processes with two vaults, joined through a proxy. */
import { type ChildProcess, fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Delegated, prepareSidecar, writeSidecarConfig } from '../test/e2e/start-sidecar.ts'
import { type BenchDaemon, startBenchDaemon } from './bench-daemon.ts'
import { askProcess, endProcess } from './bench-pair.ts'

export type BenchSidecar = {
  readonly granting: BenchDaemon
  readonly sidecar: BenchDaemon
  readonly delegated: readonly Delegated[]
  /** Of everything between the two from now on, each way. */
  readonly setDelay: (delayMs: number) => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** With this many accesses, and options of the delegate. */
export const startBenchSidecar = async (accesses: number, options: readonly string[]): Promise<BenchSidecar> => {
  await using resources = new AsyncDisposableStack()
  const prepared = await prepareSidecar(Array.from({ length: accesses }, () => ({})))
  const { bases, delegated } = prepared
  resources.defer(() => {
    for (const base of Object.values(bases)) rmSync(base, { recursive: true, force: true })
  })
  const granting = resources.use(await startBenchDaemon({ dataDir: join(bases.granting, 'data') }))
  const proxy: ChildProcess = fork(join(import.meta.dirname, 'proxy-process.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  resources.defer(() => endProcess(proxy))
  const address = await askProcess<string>(proxy, { target: granting.grpc })
  const config = ['--config', writeSidecarConfig(prepared, address)]
  const sidecar = resources.use(
    await startBenchDaemon({ dataDir: join(bases.sidecar, 'data'), options: [...config, ...options] }),
  )
  const held = resources.move()
  return {
    granting,
    sidecar,
    delegated,
    setDelay: async (delayMs) => void (await askProcess(proxy, { delayMs })),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
