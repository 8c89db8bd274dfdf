/**
 * Refreshes wallets over and over while others sign, and kills the daemon with SIGKILL at any moment of it, on one data
 * directory. After each death and restart: every wallet signs under its old address; both vaults hold one record of it,
 * of one epoch, and nothing undecided; no refresh that was answered is lost, none is made that was not asked for; a
 * repeat under an answered request id gets the same answer and changes nothing.
 *
 *     npm run campaign:refresh -- [--rounds 50] [--seed 1]
 */
import Database from 'better-sqlite3'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { CountersignError } from '../../src/client/countersign-error.ts'
import { type CampaignOptions, must, randomOf, runFromCommandLine } from './campaign.ts'
import { connect, newWallet, outcomeOf } from './callers.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

export type RefreshTotals = { rounds: number; refreshed: number; unanswered: number; signed: number; repeated: number }

type Kept = {
  readonly walletId: string
  readonly address: string
  readonly keyType: KeyType
  /** Answered refreshes, and those whose answer never came. */
  answered: { requestId: string; refreshCount: number; sequence: bigint }[]
  asked: number
}

const KINDS = [KeyType.ED25519, KeyType.SECP256K1, KeyType.ED25519, KeyType.SECP256K1] as const
/** What may refuse a refresh in here, each with nothing done. */
const EXPECTED = new Set(['REFRESH_NOT_DUE', 'RATE_LIMITED'])

const refreshUntilDead = async (client: CountersignClient, kept: Kept): Promise<void> => {
  for (;;) {
    const requestId = randomUUID()
    kept.asked += 1
    try {
      const { refreshCount, receipt } = await client.wallets.refreshShares({ wallet: kept.walletId, requestId })
      kept.answered.push({ requestId, refreshCount, sequence: receipt?.sequence ?? 0n })
    } catch (error) {
      const reason = error instanceof CountersignError ? error.reason : undefined
      if (reason === undefined || !EXPECTED.has(reason)) return
      kept.asked -= 1
      await sleep(150)
    }
  }
}

const signUntilDead = async (client: CountersignClient, kept: Kept, refused: string[]): Promise<number> => {
  for (let signed = 0; ; signed++) {
    const content = { case: 'text', value: `${kept.walletId} ${signed}` } as const
    const outcome = await outcomeOf(client.wallets.signMessage({ wallet: kept.walletId, content }))
    if (outcome === 'signed') continue
    if (!outcome.startsWith('lost: ')) refused.push(outcome)
    return signed
  }
}

type ShareRow = { readonly id: string; readonly slot: bigint; readonly epoch: bigint; readonly state: string }

const sharesIn = (path: string): Map<string, ShareRow[]> => {
  const db = new Database(path, { fileMustExist: true })
  try {
    db.defaultSafeIntegers(true)
    const sql = `SELECT 'wal_' || lower(hex(wallet_id)) AS id, slot, w_epoch AS epoch, state FROM wallet_shares`
    return Map.groupBy(db.prepare(sql).all() as ShareRow[], ({ id }) => id)
  } finally {
    db.close()
  }
}

/** From the files of a daemon that was stopped: one record of each wallet, of one epoch, as many as were made. */
const checkFiles = async (data: string, wallets: readonly Kept[]): Promise<void> => {
  const [daemon, cosigner] = ['vault.db', 'cosigner.db'].map((name) => sharesIn(join(data, name)))
  for (const { walletId, answered, asked } of wallets) {
    const rows = [daemon?.get(walletId), cosigner?.get(walletId)]
    for (const own of rows) must(own?.length === 1 && own[0]?.slot === 1n && own[0].state === 'ACTIVE', 'not one ACTIVE record')
    const [own, peer] = rows.map((one) => one?.[0]?.epoch)
    must(own === peer, `the epochs of ${walletId} are ${own} and ${peer}`)
    const last = answered.at(-1)?.refreshCount ?? 0
    must(Number(own) >= last && Number(own) <= asked, `${own} refreshes where ${last} were answered and ${asked} asked for`)
  }
  const verdict = await runCli(['audit', 'verify', '--data-dir', data])
  must(verdict.code === 0, `audit verify: ${verdict.stdout}${verdict.stderr}`)
}

/** The daemon that came up again: those of `signers` sign under the old address; an answered request is not run again. */
const checkRestarted = async (
  client: CountersignClient,
  wallets: readonly Kept[],
  totals: RefreshTotals,
  signers: readonly Kept[],
): Promise<void> => {
  for (const kept of wallets) {
    const content = { case: 'text', value: `after ${totals.rounds}` } as const
    const signs = (): Promise<string> => outcomeOf(client.wallets.signMessage({ wallet: kept.walletId, content }))
    const outcome = signers.includes(kept) ? await signs() : 'signed'
    must(outcome === 'signed', `${kept.walletId} does not sign after a restart: ${outcome}`)
    const { wallet } = await client.wallets.getWallet({ wallet: kept.walletId })
    must(wallet?.address === kept.address, 'an address changed')
    const last = kept.answered.at(-1)
    if (last === undefined) continue
    const again = await client.wallets.refreshShares({ wallet: kept.walletId, requestId: last.requestId })
    must(again.refreshCount === last.refreshCount, 'a repeated refresh was answered otherwise')
    must(again.receipt?.sequence === last.sequence, 'a repeated refresh names another audit row')
    totals.repeated += 1
  }
}

/** Runs the campaign; throws at the first thing that is wrong. */
export const runRefreshCampaign = async ({ rounds, seed, say }: CampaignOptions): Promise<RefreshTotals> => {
  const random = randomOf(seed)
  const base = makeDataDir()
  const data = join(base, 'data')
  const wallets: Kept[] = []
  const totals: RefreshTotals = { rounds: 0, refreshed: 0, unanswered: 0, signed: 0, repeated: 0 }
  let daemon: TestDaemon | undefined
  const stop = async (client: CountersignClient): Promise<void> => {
    client.close()
    must((await daemon?.kill('SIGTERM')) === 0, 'the daemon did not stop cleanly')
    await checkFiles(data, wallets)
  }
  try {
    for (let round = 1; round <= rounds; round++) {
      daemon = await startDaemon({ dataDir: base, keepData: true })
      const client = connect(daemon, daemon.adminKey)
      for (let i = wallets.length; i < KINDS.length; i++) {
        const { walletId, address, keyType } = await newWallet(client, `kept-${i}`, '', KINDS[i])
        wallets.push({ walletId, address, keyType, answered: [], asked: 0 })
      }
      // The last signs at the end only: its shares meet no material, so they change without a set-up.
      await checkRestarted(client, wallets, totals, wallets.slice(0, -1))
      const refused: string[] = []
      const refreshing = wallets.map((kept) => refreshUntilDead(client, kept))
      const signing = wallets.slice(0, 2).map((kept) => signUntilDead(client, kept, refused))
      // Long enough, now and then, for the set-up that a share which signed has to wait for.
      const lifeMs = Math.floor(round % 3 === 0 ? 5_000 + random() * 600 : random() * 500)
      await sleep(lifeMs)
      await daemon.kill('SIGKILL')
      client.close()
      await Promise.all(refreshing)
      const counts = await Promise.all(signing)
      must(refused.length === 0, `signing was refused during a refresh: ${refused.join()}`)
      const answered = wallets.reduce((sum, kept) => sum + kept.answered.length, 0)
      totals.rounds = round
      totals.signed += counts.reduce((sum, count) => sum + count, 0)
      totals.unanswered = wallets.reduce((sum, kept) => sum + kept.asked, 0) - answered
      say(`round ${round}: killed after ${lifeMs} ms, ${answered - totals.refreshed} refreshed, ${counts.join(' and ')} signed`)
      totals.refreshed = answered
    }
    daemon = await startDaemon({ dataDir: base, keepData: true })
    const client = connect(daemon, daemon.adminKey)
    await checkRestarted(client, wallets, totals, wallets)
    await stop(client)
    return totals
  } finally {
    await daemon?.kill('SIGKILL')
    rmSync(base, { recursive: true, force: true })
  }
}

if (import.meta.main) await runFromCommandLine(runRefreshCampaign)
