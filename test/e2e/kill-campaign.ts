/**
 * Kills the daemon with SIGKILL under load, again and again, on one data directory. After each death, from the files
 * alone: both audit chains verify; every answer that a client holds is there (its row with its hash, its wallet, its
 * key); no presignature stands for two digests, in either vault or between them; no answered r repeats. After each
 * restart: the same request id gets the same bytes, revoked keys stay revoked, nothing is left running.
 *
 *     npm run campaign:kill -- [--rounds 50] [--seed 1]
 */
import Database from 'better-sqlite3'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { recoverAddress } from 'viem'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { type CampaignOptions, must, randomOf, runFromCommandLine } from './campaign.ts'
import { connect, hex, newKey, newWallet, outcomeOf } from './callers.ts'
import { SIGNING_NAMES, signAs, type SignedAnswer } from './signing-calls.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

export type KillTotals = { rounds: number; signed: number; repeated: number; wallets: number; keys: number; inDoubt: number }

type Signed = {
  readonly name: string
  readonly wallet: string
  readonly seed: string
  readonly requestId: string
  readonly answer: SignedAnswer
}

/** Everything that was answered, over all rounds. */
type Ledger = {
  readonly signed: Signed[]
  /** Wallet id → address. */
  readonly wallets: Map<string, string>
  readonly revoked: { apiKeyId: string; secret: string }[]
  readonly live: { apiKeyId: string; secret: string }[]
}

const RACERS = 24
const CHECKED_A_ROUND = 40

const bytesOf = (answer: unknown): string =>
  JSON.stringify(answer, (_key, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value instanceof Uint8Array ? hex(value) : value,
  )

/** One caller that goes on until the daemon is dead; notes only what was answered. */
const race = async (client: CountersignClient, ledger: Ledger, racer: number, random: () => number): Promise<void> => {
  try {
    for (let n = 0; ; n++) {
      const dice = random()
      if (dice < 0.02) {
        const wallet = await newWallet(client)
        ledger.wallets.set(wallet.walletId, wallet.address)
      } else if (dice < 0.03) {
        const key = await newKey(client, [{ name: 'wallet:read' }])
        if (random() < 0.5) ledger.live.push(key)
        else {
          await client.admin.revokeApiKey({ apiKeyId: key.apiKeyId })
          ledger.revoked.push(key)
        }
      } else {
        const wallets = [...ledger.wallets.keys()]
        const wallet = wallets[Math.floor(random() * Math.min(wallets.length, 8))] ?? ''
        const name = SIGNING_NAMES[Math.floor(random() * SIGNING_NAMES.length)] ?? ''
        const ask = { wallet, seed: `${racer} ${n} ${random()}`, requestId: random() < 0.6 ? randomUUID() : '' }
        ledger.signed.push({ name, ...ask, answer: await signAs(name, client, ask) })
      }
    }
  } catch {
    // The daemon died under it; what it asked last counts for nothing.
  }
}

type IntentRow = { presig: string; digest: string; state: string; hash: string; sequence: bigint }

const readIntents = (path: string): IntentRow[] => {
  const db = new Database(path, { fileMustExist: true })
  try {
    db.defaultSafeIntegers(true)
    return db
      .prepare(
        `SELECT hex(wallet_id) || hex(presig_id) AS presig, hex(intents.digest) AS digest, state, hex(hash) AS hash,
           sequence FROM intents JOIN audit USING (sequence)`,
      )
      .all() as IntentRow[]
  } finally {
    db.close()
  }
}

/** No presignature stands for two digests, within a vault or between the two. */
const checkPresignatures = (daemon: readonly IntentRow[], cosigner: readonly IntentRow[]): void => {
  const digests = new Map(daemon.map(({ presig, digest }) => [presig, digest]))
  must(digests.size === daemon.length, 'a presignature is in two intents of the daemon')
  must(new Set(cosigner.map(({ presig }) => presig)).size === cosigner.length, 'a presignature is in two intents of the cosigner')
  for (const { presig, digest } of cosigner) {
    must(digests.get(presig) === digest, 'the cosigner signed what the daemon has no intent for')
  }
}

const readRow = (path: string, sql: string, ...params: unknown[]): unknown => {
  const db = new Database(path, { fileMustExist: true })
  try {
    return db.prepare(sql).get(...params)
  } finally {
    db.close()
  }
}

/** What the files say after a death. Answers how many intents were cut off. */
const checkFiles = async (data: string, ledger: Ledger): Promise<number> => {
  const verdict = await runCli(['audit', 'verify', '--data-dir', data])
  must(verdict.code === 0, `audit verify: ${verdict.stdout}${verdict.stderr}`)
  const daemon = readIntents(join(data, 'vault.db'))
  checkPresignatures(daemon, readIntents(join(data, 'cosigner.db')))
  const hashes = new Map(daemon.map(({ sequence, hash }) => [sequence, hash]))
  for (const { name, answer } of ledger.signed) {
    const { sequence = 0n, hash } = answer.receipt ?? {}
    must(hashes.get(sequence) === Buffer.from(hash ?? []).toString('hex').toUpperCase(), `an answered ${name} is lost`)
  }
  for (const walletId of ledger.wallets.keys()) {
    const sql = `SELECT state FROM wallets WHERE lower(hex(wallet_id)) = ?`
    must(readRow(join(data, 'vault.db'), sql, walletId.slice(4)) !== undefined, `the wallet ${walletId} is lost`)
  }
  const nonces = ledger.signed.map(({ answer }) => hex(answer.signature?.r ?? new Uint8Array()))
  must(new Set(nonces).size === nonces.length, 'an r was answered twice')
  return daemon.filter(({ state }) => state === 'RUNNING').length
}

const checkRecovery = async (ledger: Ledger, recent: readonly Signed[], data: string): Promise<void> => {
  for (const { wallet, answer } of recent) {
    const { signature, receipt } = answer
    if (signature === undefined || receipt === undefined) throw new Error('an answer without a signature')
    const sql = 'SELECT hex(digest) AS digest FROM intents WHERE sequence = ?'
    const { digest } = readRow(join(data, 'vault.db'), sql, receipt.sequence) as { digest: string }
    const signer = await recoverAddress({ hash: `0x${digest.toLowerCase()}`, signature: signature.hex as `0x${string}` })
    must(signer === ledger.wallets.get(wallet), 'an answered signature is not its wallet’s')
  }
}

/** What the restarted daemon says of what was answered before. */
const checkRestarted = async (daemon: TestDaemon, ledger: Ledger, sample: readonly Signed[]): Promise<void> => {
  const client = connect(daemon, daemon.adminKey)
  try {
    for (const { name, wallet, seed, requestId, answer } of sample) {
      const again = await signAs(name, client, { wallet, seed, requestId })
      must(bytesOf(again) === bytesOf(answer), `a repeated ${name} was answered otherwise`)
    }
    for (const [keys, expected] of [[ledger.live, 'signed'], [ledger.revoked, 'API_KEY_INVALID']] as const) {
      for (const { secret } of keys.slice(-3)) {
        const holder = connect(daemon, secret)
        must((await outcomeOf(holder.wallets.listWallets({}))) === expected, `a key is not ${expected}`)
        holder.close()
      }
    }
    must((await client.audit.verifyChain({})).valid, 'VerifyChain finds a broken chain')
  } finally {
    client.close()
  }
}

const firstAnswer = async (ledger: Ledger, before: number): Promise<void> => {
  for (let waited = 0; ledger.signed.length === before; waited++) {
    must(waited < 20_000, 'nothing was signed')
    await sleep(1)
  }
}

/** Runs the campaign; throws at the first thing that is wrong. */
export const runKillCampaign = async ({ rounds, seed, say }: CampaignOptions): Promise<KillTotals> => {
  const random = randomOf(seed)
  const base = makeDataDir()
  const data = join(base, 'data')
  const ledger: Ledger = { signed: [], wallets: new Map(), revoked: [], live: [] }
  const totals: KillTotals = { rounds: 0, signed: 0, repeated: 0, wallets: 0, keys: 0, inDoubt: 0 }
  let daemon: TestDaemon | undefined
  try {
    for (let round = 1; round <= rounds; round++) {
      daemon = await startDaemon({ dataDir: base, keepData: true })
      const sample = ledger.signed.filter(({ requestId }) => requestId !== '').slice(-CHECKED_A_ROUND)
      await checkRestarted(daemon, ledger, sample)
      const client = connect(daemon, daemon.adminKey)
      for (let i = ledger.wallets.size; i < 3; i++) {
        const { walletId, address } = await newWallet(client)
        ledger.wallets.set(walletId, address)
      }
      const before = ledger.signed.length
      const racing = Array.from({ length: RACERS }, (_, racer) => race(client, ledger, racer, random))
      const isEarly = random() < 0.2
      if (!isEarly) await firstAnswer(ledger, before)
      const lifeMs = Math.floor(random() ** 2 * 600)
      await sleep(lifeMs)
      await daemon.kill('SIGKILL')
      client.close()
      await Promise.all(racing)
      const cut = await checkFiles(data, ledger)
      must(cut <= RACERS, `${cut} intents were cut off, and only ${RACERS} were in flight`)
      await checkRecovery(ledger, ledger.signed.slice(before).slice(-CHECKED_A_ROUND), data)
      totals.rounds = round
      totals.signed = ledger.signed.length
      totals.repeated += sample.length
      totals.inDoubt += cut
      say(`round ${round}: killed ${lifeMs} ms after ${isEarly ? 'the start' : 'the first answer'}, ${ledger.signed.length - before} signed, ${cut} cut off`)
    }
    daemon = await startDaemon({ dataDir: base, keepData: true })
    await checkRestarted(daemon, ledger, ledger.signed.filter(({ requestId }) => requestId !== '').slice(-CHECKED_A_ROUND))
    must((await daemon.kill('SIGTERM')) === 0, 'the last stop was not clean')
    must((await checkFiles(data, ledger)) === 0, 'an intent is left running after a clean stop')
    return { ...totals, wallets: ledger.wallets.size, keys: ledger.live.length + ledger.revoked.length }
  } finally {
    await daemon?.kill('SIGKILL')
    rmSync(base, { recursive: true, force: true })
  }
}

if (import.meta.main) await runFromCommandLine(runKillCampaign)
