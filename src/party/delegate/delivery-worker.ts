/** Thread entry of deliveries: sealed envelopes in, sealed rows out (open-delivery.ts). */
import { parentPort, workerData } from 'node:worker_threads'
import { openEngine } from '../open-engine.ts'
import { openPortEnd } from '../port-calls.ts'
import { ShareSeal } from '../share-sealing.ts'
import type { DeliveryCalls, DeliveryWorkerData } from './delivery-opener.ts'
import { openDelivery } from './open-delivery.ts'

if (parentPort !== null) {
  const port = parentPort
  const { vaultId } = workerData as DeliveryWorkerData
  const ready = openEngine()
  const calls: DeliveryCalls = {
    open: async ({ order, shareKey }) => {
      await ready
      const seal = new ShareSeal(shareKey, vaultId)
      try {
        return openDelivery(seal, order)
      } finally {
        seal.close()
      }
    },
    end: () => port.close(),
  }
  openPortEnd(port, calls, () => undefined)
}
