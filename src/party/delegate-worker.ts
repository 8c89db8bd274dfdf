/** Thread entry of party S towards delegates: calls of the main thread on one side, delegate-party.ts on the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../domain/failure.ts'
import { createDelegateParty, type DelegateCalls, type DelegateWorkerData } from './delegate-party.ts'
import type { DelegateHostCalls } from './delegate-store.ts'
import { openEngine } from './open-engine.ts'
import { openPortEnd, type PortEnd } from './port-calls.ts'

if (parentPort !== null) {
  const port = parentPort
  let end: PortEnd<DelegateHostCalls> | undefined
  let party: Promise<DelegateCalls> | undefined
  const opened = (): Promise<DelegateCalls> => {
    assert(end, 'the port is open')
    const host = end
    return (party ??= openEngine().then(() => createDelegateParty(workerData as DelegateWorkerData, host, () => port.close())))
  }
  const forward =
    <M extends keyof DelegateCalls>(method: M) =>
    async (args: never): Promise<unknown> =>
      (await opened())[method](args)
  const methods = ['frame', 'erase', 'close', 'status', 'useShareKey', 'stop'] as const satisfies readonly (keyof DelegateCalls)[]
  end = openPortEnd<DelegateHostCalls>(
    port,
    Object.fromEntries(methods.map((method) => [method, forward(method)])),
    (error) => void end?.call('alert', { what: 'internal', detail: String(error) }).catch(() => undefined),
  )
}
