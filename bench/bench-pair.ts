/** A daemon and its cosigner for the bench: two processes with two vaults, joined over mutual TLS through a proxy. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { makePair } from '../test/e2e/start-cosigner.ts'
import { type BenchDaemon, launchWatched, startBenchDaemon, waitForEndpoints } from './bench-daemon.ts'
import type { ProcessReading } from './process-watch.ts'

export type BenchPair = {
  readonly daemon: BenchDaemon
  readonly cosigner: { readonly read: () => Promise<ProcessReading> }
  /** Of everything between the two from now on, each way. */
  readonly setDelay: (delayMs: number) => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** One answer to one message. */
export const askProcess = async <T>(child: ChildProcess, message: unknown): Promise<T> => {
  const answer = once(child, 'message')
  child.send(message as never)
  return (await answer)[0] as T
}

export const endProcess = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

export const startBenchPair = async (options: readonly string[]): Promise<BenchPair> => {
  const pair = await makePair()
  const children: ChildProcess[] = []
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) await endProcess(child)
    pair.remove()
  }
  try {
    const words = ['cosigner', 'serve', '--data-dir', pair.cosignerDir, '--cosigner-listen', '127.0.0.1:0', '--log-level', 'error']
    const cosigner = launchWatched('served-daemon.ts', words)
    children.push(cosigner)
    const { cosigner: target = '' } = await waitForEndpoints(join(pair.cosignerDir, 'endpoints.json'), cosigner)
    const proxy = fork(join(import.meta.dirname, 'proxy-process.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    children.push(proxy)
    const address = await askProcess<string>(proxy, { target })
    const daemon = await startBenchDaemon({ dataDir: pair.daemonDir, options: ['--cosigner', address, ...options] })
    return {
      daemon,
      cosigner: { read: () => askProcess(cosigner, 'read') },
      setDelay: async (delayMs) => void (await askProcess(proxy, { delayMs })),
      [Symbol.asyncDispose]: async () => {
        await daemon[Symbol.asyncDispose]()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

