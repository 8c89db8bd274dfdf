import { randomBytes } from 'node:crypto'
import { encodeWalletRecord, WALLET_RECORD_AAD_BYTES, type WalletRecord } from '../src/engine/dkls23/records.ts'
import { ALG_ED25519 } from '../src/engine/dkls23/suite.ts'
import type { Initiator, ReadyPresignature } from '../src/party/initiator.ts'
import type { SignJob } from '../src/party/sign-initiator.ts'
import { sealShare } from '../src/vault/sealed-record.ts'
import { jobOf, twoParties } from '../test/party/two-parties.ts'

export type LocalPair = {
  readonly c: Pick<Initiator, 'warm'> & {
    readonly presign: (wallets: readonly Uint8Array[]) => Promise<ReadyPresignature[]>
  }
  readonly newWallet: () => Promise<Uint8Array>
  /** What the caller of a signature brings: request id and digest. */
  readonly prepare: (ready: ReadyPresignature) => SignJob
  readonly sign: (job: SignJob) => Promise<unknown>
  /** The same of Ed25519 wallets. */
  readonly ed: {
    readonly newWallet: () => Promise<Uint8Array>
    readonly presign: (wallets: readonly Uint8Array[]) => Promise<readonly ReadyPresignature[]>
    readonly sign: (ready: ReadyPresignature) => Promise<unknown>
  }
  /** What a side's vault holds for the wallet's share: every column of its sealed row. */
  readonly shareBytes: (walletId: Uint8Array) => Promise<number>
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
    prepare: (ready) => jobOf(ready, payload),
    sign: (job) => two.c.sign(job),
    ed: {
      newWallet: async () => {
        const { sid, wallets } = await two.c.generate(1, ALG_ED25519)
        for (const { walletId, wEpoch } of wallets) await two.storeC.activate(walletId, wEpoch)
        await two.c.acknowledge(sid)
        return wallets[0]?.walletId as Uint8Array
      },
      presign: (wallets) => two.c.ed.presign(wallets),
      sign: (ready) => two.c.ed.sign({ ...ready, reqId: new Uint8Array(randomBytes(16)), message: payload, payload }),
    },
    shareBytes: async (walletId) => {
      const record = await two.storeC.loadWallet(walletId)
      return record === undefined ? Number.NaN : sealedRowBytes(record)
    },
    countBytes: () => {
      const seen = bytes
      bytes = 0
      return seen
    },
  }
}

/** Columns of table wallet_shares beside the sealed ones: slot, w_epoch, last_used_epoch, record_version. */
const INTEGER_COLUMNS_BYTES = 1 + 4 + 4 + 8

const sealedRowBytes = (record: WalletRecord): number => {
  const { walletId, wEpoch, linkId, state } = record
  const bytes = encodeWalletRecord(record)
  const header = bytes.slice(0, WALLET_RECORD_AAD_BYTES)
  const place = { vaultId: randomBytes(16), walletId, wEpoch, recordVersion: 1n, header }
  const { wrappedKey, nonce, ciphertext } = sealShare(randomBytes(32), place, bytes)
  const columns = [walletId, linkId, header, wrappedKey, nonce, ciphertext]
  return columns.reduce((sum, { length }) => sum + length, INTEGER_COLUMNS_BYTES + state.length)
}
