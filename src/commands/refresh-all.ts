/** `countersign wallet refresh --all`: one wallet after the other, at the pace that the daemon allows. */
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeError } from '../client/countersign-error.ts'
import type { Flags } from '../config/load-config.ts'
import { WalletState } from '../../gen/countersign/v1/wallet_pb.ts'
import { type DaemonClient, withDaemon } from './daemon-client.ts'
import { listPages } from './list-pages.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

const WAIT_MS = 1_000

/** What the daemon asks to wait for is waited for. */
const refreshInTime = async ({ wallets }: DaemonClient, wallet: string): Promise<void> => {
  for (;;) {
    const refusal = await wallets.refreshShares({ wallet }).then(() => undefined, decodeError)
    if (refusal === undefined) return
    if (!['RATE_LIMITED', 'REFRESH_NOT_DUE', 'OVERLOADED'].includes(refusal.reason ?? '')) throw refusal
    await sleep(refusal.retryAfterMs ?? WAIT_MS)
  }
}

export const refreshAll = (flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemon(flags, terminal, async (client) => {
    const all = await listPages(0, async (page) => {
      const { wallets, nextPageToken } = await client.wallets.listWallets({ ...page, state: WalletState.ACTIVE })
      return { items: wallets, nextPageToken }
    })
    const failed: string[] = []
    for (const { walletId } of all) {
      await refreshInTime(client, walletId).catch((error: unknown) => {
        failed.push(walletId)
        terminal.note(`${walletId}: ${error instanceof Error ? error.message : String(error)}`)
      })
    }
    terminal.print(`${all.length - failed.length} of ${all.length} wallets have new shares`)
    if (failed.length > 0) throw new CommandRefusal('the others have the old ones')
  })
