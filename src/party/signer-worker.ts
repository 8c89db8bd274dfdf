/** Thread entry of party C: calls of the main thread on one side, signer.ts on the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../domain/failure.ts'
import { openEngine } from './open-engine.ts'
import { openPortEnd, type PortEnd } from './port-calls.ts'
import { createSigner, type SignerCalls, type SignerHostCalls, type SignerWorkerData } from './signer.ts'

if (parentPort !== null) {
  const port = parentPort
  let end: PortEnd<SignerHostCalls> | undefined
  let signer: Promise<SignerCalls> | undefined
  const opened = (): Promise<SignerCalls> => {
    assert(end, 'the port is open')
    const host = end
    const open = () => createSigner(workerData as SignerWorkerData, host, () => port.close())
    return (signer ??= openEngine().then(open))
  }
  const forward =
    <M extends keyof SignerCalls>(method: M) =>
    async (args: never): Promise<unknown> =>
      (await opened())[method](args)
  const methods = [
    'connect',
    'warm',
    'relink',
    'relinkGranted',
    'generate',
    'acknowledge',
    'presign',
    'sign',
    'prepareSign',
    'signPrepared',
    'discard',
    'presignEd25519',
    'signEd25519',
    'wipeWallet',
    'export',
    'fork',
    'confirmFork',
    'importKey',
    'import',
    'lose',
    'refreshWait',
    'refresh',
    'status',
    'useShareKey',
    'stop',
  ] as const satisfies readonly (keyof SignerCalls)[]
  end = openPortEnd<SignerHostCalls>(
    port,
    Object.fromEntries(methods.map((method) => [method, forward(method)])),
    (error) => void end?.call('alert', { what: 'internal', detail: String(error) }).catch(() => undefined),
  )
}
