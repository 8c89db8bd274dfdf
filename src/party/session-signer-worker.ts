/** Thread entry of session keys: batches in, signatures out (session-signing.ts). */
import { parentPort, workerData } from 'node:worker_threads'
import type { SessionAnswer, SessionOrder, SessionSignerData } from './session-signer.ts'
import { SessionSigning } from './session-signing.ts'

if (parentPort !== null) {
  const port = parentPort
  const { vaultId, ring } = workerData as SessionSignerData
  const signing = new SessionSigning(vaultId, ring)
  const answer = (message: SessionAnswer): void => port.postMessage(message)
  port.on('message', (order: SessionOrder) => {
    switch (order.op) {
      case 'sign':
        signing.learn(order.learn)
        return answer({ id: order.id, value: signing.sign(order) })
      case 'make':
        return answer({ id: order.id, value: signing.make(order.sessionKeyId, order.kind) })
      case 'seal':
        return answer({ id: order.id, value: signing.seal(order.place, order.text, order.encoding) })
      case 'reveal':
        return answer({ id: order.id, value: signing.reveal(order.sealed) })
      case 'forget':
        return signing.forget(order.numbers)
      case 'ring':
        return signing.renewRing(order.ring)
      case 'end':
        signing.close()
        return port.close()
    }
  })
}
