/** Thread entry of a crypto worker: serves its party's thread and gives way to every other thread. */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { keepCurveBlinded } from './blind-curve.ts'
import { createEntropy, systemClock } from './entropy.ts'
import { type CryptoWorkerData, SessionServer } from './serve-sessions.ts'
import type { FromWorker, ToWorker } from './session-calls.ts'

/**
 * Threads that answer somebody get three times the share of one of this niceness, and are run at once. Not more: it
 * counts against other processes as well, and somebody may wait for a presignature.
 */
const NICENESS = 5

if (parentPort !== null) {
  const port = parentPort
  giveWay()
  const entropy = createEntropy(systemClock)
  keepCurveBlinded(entropy)
  const { parties, firstId } = workerData as CryptoWorkerData
  const server = new SessionServer(parties, entropy, firstId, (message, transfer) => port.postMessage(message, transfer))
  port.postMessage({ isReady: true } satisfies FromWorker)
  port.on('message', (message: ToWorker) => {
    void server.receive(message)
    if ('note' in message && message.note.op === 'end') port.close()
  })
}

/** On Linux a priority is a thread's own. Elsewhere it is the whole process's, and stays. */
function giveWay(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, NICENESS)
  } catch {
    // Not allowed here: the filling pace alone keeps presigning behind signing.
  }
}
