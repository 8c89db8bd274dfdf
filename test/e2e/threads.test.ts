/** A thread that ends under load takes nothing else along: what waited on it may be asked again, the rest goes on. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LinkState } from '../../gen/countersign/v1/admin_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { CountersignError } from '../../src/client/countersign-error.ts'
import { connect, newWallet } from './callers.ts'
import { healthOf } from './health.ts'
import { signAs } from './signing-calls.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

const base = makeDataDir()
const orders = join(base, 'orders')
let daemon: TestDaemon
let client: CountersignClient
const wallets: string[] = []

const linksReady = async (): Promise<boolean> => {
  const { status } = await client.admin.getStatus({})
  return status?.links.length === 2 && status.links.every(({ state }) => state === LinkState.READY)
}

/** Resolves once it is so. */
const until = async (isSo: () => Promise<boolean> | boolean, what: string): Promise<void> => {
  const lateMs = performance.now() + 30_000
  while (!(await isSo())) {
    if (performance.now() > lateMs) throw new Error(`not within 30 s: ${what}`)
    await sleep(50)
  }
}

beforeAll(async () => {
  mkdirSync(orders)
  const preload = pathToFileURL(resolve(import.meta.dirname, 'end-threads.ts'))
  preload.searchParams.set('directory', orders)
  // The preloaded file is an argument of Node's own, which its threads inherit.
  const within = `node="$1"; shift; set -- "$node" '--import=${preload.href}' "$@"`
  daemon = await startDaemon({ dataDir: base, within })
  client = connect(daemon, daemon.adminKey)
  wallets.push((await newWallet(client)).walletId)
  await until(linksReady, 'both links are set up')
  // From here on wallets are made over both links in turn.
  for (let i = 0; i < 4; i++) wallets.push((await newWallet(client)).walletId)
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
})

const rowsOf = (file: string, sql: string): readonly unknown[] => {
  const db = new Database(join(daemon.dataDir, file), { readonly: true, fileMustExist: true })
  try {
    return db.prepare(sql).all()
  } finally {
    db.close()
  }
}

/** Signs with every wallet until told to stop; what was refused is collected. */
const load = () => {
  const refused: CountersignError[] = []
  const over = new AbortController()
  let signed = 0
  const work = wallets.map(async (wallet, worker) => {
    for (let n = 0; !over.signal.aborted; n++) {
      try {
        await signAs('SignMessage text', client, { wallet, seed: `${worker} ${n}` }, { timeoutMs: 20_000 })
        signed += 1
      } catch (error) {
        if (!(error instanceof CountersignError)) throw error
        refused.push(error)
        await sleep(20)
      }
    }
  })
  const stop = async () => {
    over.abort()
    await Promise.all(work)
    return { refused, signed }
  }
  return { stop }
}

const end = async (thread: string): Promise<void> => {
  const file = join(orders, thread)
  writeFileSync(file, '')
  await until(() => !existsSync(file), `${thread} ends`)
}

describe('a thread that ends under load', () => {
  const workers = ['signer-crypto-0', 'cosigner-crypto-1', 'signer-crypto-1', 'cosigner-crypto-0']
  it.each([...workers, 'signer', 'cosigner'])('%s: what is refused may be asked again, and every wallet signs', async (name) => {
    // A crypto worker that was just replaced is loaded again by now.
    await until(linksReady, 'both links are set up')
    const { stop } = load()
    await sleep(300)
    await end(name)
    if (workers.includes(name)) expect(await healthOf(daemon, '')).toBe('SERVING')
    await sleep(500)
    const { refused, signed } = await stop()
    for (const { reason, retryable } of refused) expect(`${reason} ${retryable}`).not.toMatch(/ no$/)
    expect(signed).toBeGreaterThan(0)
    const again = async (wallet: string) => signAs('SignMessage text', client, { wallet }).then(() => true, () => false)
    for (const wallet of wallets) await until(() => again(wallet), `${wallet} signs`)
    expect(await healthOf(daemon, '')).toBe('SERVING')
  }, 90_000)

  it('no presignature is in two intents of either side, and wallets are on both links', () => {
    for (const file of ['vault.db', 'cosigner.db']) {
      const twice = 'SELECT wallet_id FROM intents GROUP BY wallet_id, presig_id HAVING count(*) > 1'
      expect(rowsOf(file, twice)).toEqual([])
      expect(rowsOf(file, 'SELECT DISTINCT link_id FROM wallet_shares')).toHaveLength(2)
    }
  })

  it('fewer crypto_workers than there are links: every wallet still signs, and the operator is told', async () => {
    client.close()
    await daemon.kill('SIGTERM')
    daemon = await startDaemon({ dataDir: base, args: ['--crypto-workers', '1'] })
    client = connect(daemon, daemon.adminKey)
    for (const wallet of wallets) await signAs('SignMessage text', client, { wallet })
    expect((await client.admin.getStatus({})).status?.links.map(({ shard }) => shard)).toEqual([0, 1])
    expect(daemon.output()).toContain('1 links beyond crypto_workers have wallets')
  })
})
