/** Fills pools of a daemon before what is measured, and sees to it that nothing fills them meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import { AdminService } from '../gen/countersign/v1/admin_pb.ts'
import { WalletService } from '../gen/countersign/v1/wallet_pb.ts'
import type { LoadClient } from './load.ts'

const POLL_MS = 50
/** For as long as pools fill, however slowly; when none does for this long it is over. */
const STALLED_MS = 20_000

export const countPresignatures = async (client: LoadClient): Promise<number> => {
  const { status } = await client.call(AdminService.method.getStatus, {})
  return Number(status?.presignatureCount ?? 0n)
}

const warm = (client: LoadClient, wallet: string, depth: number) =>
  client.call(WalletService.method.warmPresignatures, { wallet, depth })

/**
 * Until each is `depth` deep; no other wallet has a pool. From then on they are not refilled before they are empty.
 */
export const fillPools = async (client: LoadClient, wallets: readonly string[], depth: number): Promise<void> => {
  for (const wallet of wallets) warm(client, wallet, depth).catch(() => undefined)
  let have = 0
  let lastNewsMs = performance.now()
  while (have < wallets.length * depth) {
    if (performance.now() - lastNewsMs > STALLED_MS) throw new Error(`the pools stand still at ${have}`)
    await sleep(POLL_MS)
    const now = await countPresignatures(client)
    if (now !== have) lastNewsMs = performance.now()
    have = now
  }
  for (const wallet of wallets) await warm(client, wallet, 1)
}
