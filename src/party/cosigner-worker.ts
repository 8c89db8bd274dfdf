/** Thread entry of the embedded cosigner: calls of the main thread on one side, cosigner.ts on the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../domain/failure.ts'
import { type CosignerCalls, type CosignerEvents, type CosignerWorkerData, createCosigner } from './cosigner.ts'
import { openEngine } from './open-engine.ts'
import { openPortEnd, type PortEnd } from './port-calls.ts'

if (parentPort !== null) {
  const port = parentPort
  let end: PortEnd<CosignerEvents> | undefined
  const main = (): PortEnd<CosignerEvents> => {
    assert(end, 'the port is open')
    return end
  }
  let cosigner: Promise<CosignerCalls> | undefined
  const opened = (): Promise<CosignerCalls> =>
    (cosigner ??= openEngine().then(() => createCosigner(workerData as CosignerWorkerData, main, () => port.close())))
  const forward =
    <M extends keyof CosignerCalls>(method: M) =>
    async (args: never) =>
      (await opened())[method](args)
  end = openPortEnd<CosignerEvents>(
    port,
    {
      open: forward('open'),
      pair: forward('pair'),
      rememberHead: forward('rememberHead'),
      status: forward('status'),
      freeze: forward('freeze'),
      unfreeze: forward('unfreeze'),
      freezeAsOperator: forward('freezeAsOperator'),
      unfreezeAsOperator: forward('unfreezeAsOperator'),
      standing: forward('standing'),
      importKey: forward('importKey'),
      claimWallet: forward('claimWallet'),
      claimForProject: forward('claimForProject'),
      ownerWord: forward('ownerWord'),
      permitFork: forward('permitFork'),
      changeSecret: forward('changeSecret'),
      stopWallet: forward('stopWallet'),
      discard: forward('discard'),
      abandonWallet: forward('abandonWallet'),
      dropPresignatures: forward('dropPresignatures'),
      lose: forward('lose'),
      backup: forward('backup'),
      rotateKey: forward('rotateKey'),
      backupStanding: forward('backupStanding'),
      shareEpochs: forward('shareEpochs'),
      quarantine: forward('quarantine'),
      stop: forward('stop'),
    } satisfies { readonly [M in keyof CosignerCalls]: unknown },
    (error) => void main().call('alert', { what: 'internal', detail: String(error) }).catch(() => undefined),
  )
}
