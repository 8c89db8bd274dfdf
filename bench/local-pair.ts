import { randomBytes } from 'node:crypto'
import { WALLET_RECORD_BYTES } from '../src/engine/dkls23/records.ts'
import type { Initiator, ReadyPresignature } from '../src/party/initiator.ts'
import { jobOf, twoParties } from '../test/party/two-parties.ts'

export type LocalPair = {
  readonly c: Pick<Initiator, 'warm'> & {
    readonly presign: (wallets: readonly Uint8Array[]) => Promise<ReadyPresignature[]>
  }
  readonly newWallet: () => Promise<Uint8Array>
  readonly sign: (ready: ReadyPresignature) => Promise<unknown>
  readonly shareBytes: number
  /** Bytes on the wire since the last call, both directions. */
  readonly countBytes: () => number
}

export const createLocalPair = async (): Promise<LocalPair> => {
  const two = await twoParties({ idC: randomBytes(32), idS: randomBytes(32) })
  let bytes = 0
  two.wire.toS = (frame) => {
    bytes += frame.length
    return frame
  }
  two.wire.toC = (frame) => {
    bytes += frame?.length ?? 0
    return frame
  }
  const payload = Buffer.alloc(64, 7)
  return {
    c: { warm: () => two.c.warm(), presign: async (wallets) => [...(await two.c.presign(wallets))] },
    newWallet: async () => (await two.newWallets(1))[0] as Uint8Array,
    sign: (ready) => two.c.sign(jobOf(ready, payload)),
    shareBytes: WALLET_RECORD_BYTES,
    countBytes: () => {
      const seen = bytes
      bytes = 0
      return seen
    },
  }
}
