/** Thread entry of the embedded cosigner: calls of the main thread on one side, cosigner.ts on the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { type CosignerCalls, type CosignerEvents, type CosignerWorkerData, createCosigner } from './cosigner.ts'
import { serveThread } from './serve-thread.ts'

if (parentPort !== null) {
  const port = parentPort
  serveThread<CosignerCalls, CosignerEvents>(
    port,
    {
      open: true,
      pair: true,
      rememberHead: true,
      status: true,
      freeze: true,
      unfreeze: true,
      freezeAsOperator: true,
      unfreezeAsOperator: true,
      standing: true,
      importKey: true,
      claimWallet: true,
      claimForProject: true,
      ownerWord: true,
      permitFork: true,
      changeSecret: true,
      stopWallet: true,
      discard: true,
      abandonWallet: true,
      dropPresignatures: true,
      lose: true,
      backup: true,
      rotateKey: true,
      backupStanding: true,
      shareEpochs: true,
      quarantine: true,
      stop: true,
    },
    (main) => createCosigner(workerData as CosignerWorkerData, main, () => port.close()),
  )
}
