/** Thread entry of party C: calls of the main thread on one side, signer.ts on the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { serveThread } from './serve-thread.ts'
import { createSigner, type SignerCalls, type SignerHostCalls, type SignerWorkerData } from './signer.ts'

if (parentPort !== null) {
  const port = parentPort
  serveThread<SignerCalls, SignerHostCalls>(
    port,
    {
      connect: true,
      warm: true,
      relink: true,
      relinkGranted: true,
      generate: true,
      acknowledge: true,
      presign: true,
      sign: true,
      prepareSign: true,
      signPrepared: true,
      discard: true,
      presignEd25519: true,
      signEd25519: true,
      wipeWallet: true,
      export: true,
      fork: true,
      confirmFork: true,
      importKey: true,
      import: true,
      lose: true,
      refreshWait: true,
      refresh: true,
      status: true,
      useShareKey: true,
      stop: true,
    },
    (host) => createSigner(workerData as SignerWorkerData, host, () => port.close()),
  )
}
