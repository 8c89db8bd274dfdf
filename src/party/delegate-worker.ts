/** Thread entry of party S towards delegates: calls of the main thread on one side, delegate-party.ts on the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { createDelegateParty, type DelegateCalls, type DelegateWorkerData } from './delegate-party.ts'
import type { DelegateHostCalls } from './delegate-store.ts'
import { serveThread } from './serve-thread.ts'

if (parentPort !== null) {
  const port = parentPort
  serveThread<DelegateCalls, DelegateHostCalls>(
    port,
    { frame: true, erase: true, close: true, status: true, useShareKey: true, stop: true },
    (host) => createDelegateParty(workerData as DelegateWorkerData, host, () => port.close()),
  )
}
